"""A body that is longer than its endpoint takes is not received to its end."""

import pytest

from broker.edges.asgi import Message, Scope
from broker.edges.bodies import TooLargeError, receive_raw
from broker.runtime.batches import ClientGoneError

BOUND = 1000


def scope(declared: bytes = b"") -> Scope:
    named = {b"content-length": declared} if declared else {}
    asked = {"method": "POST", "raw_path": b"/", "query_string": b"", "headers": ()}
    return {**asked, "state": {"named": named, "source_ip": "", "secure": False}}


class Sender:
    """A client that sends pieces of 400 bytes, as many as are wanted."""

    def __init__(self, pieces: int) -> None:
        self.left = pieces

    async def __call__(self) -> Message:
        if not self.left:
            return {"type": "http.disconnect"}
        self.left -= 1
        return {"type": "http.request", "body": b"x" * 400, "more_body": True}


async def test_no_piece_is_received_beyond_the_bound() -> None:
    sender = Sender(9)
    with pytest.raises(TooLargeError):
        await receive_raw(scope(), sender, BOUND)
    assert sender.left == 6


@pytest.mark.parametrize("declared", [b"1001", b"01001", b"9" * 5000])
async def test_what_declares_too_much_is_not_received_at_all(declared: bytes) -> None:
    sender = Sender(9)
    with pytest.raises(TooLargeError):
        await receive_raw(scope(declared), sender, BOUND)
    assert sender.left == 9


@pytest.mark.parametrize("size", [0, 999, 1000])
async def test_up_to_the_bound_it_is_whole(size: int) -> None:
    async def receive() -> Message:
        return {"type": "http.request", "body": b"x" * size}

    received = await receive_raw(scope(b"%d" % size), receive, BOUND)
    assert received.body == b"x" * size


async def test_a_client_that_goes_away_has_no_body() -> None:
    with pytest.raises(ClientGoneError):
        await receive_raw(scope(), Sender(2), BOUND)
