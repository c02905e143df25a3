"""Receives a request's body, within a bound."""

from broker.edges.asgi import Headers, Message, Receive
from broker.runtime.batches import ClientGoneError

BODY_BYTES_MAX = 1_000_000
"""Unless an endpoint has a smaller bound."""


class TooLargeError(Exception):
    """The body is longer than the endpoint accepts."""


async def receive_body(
    receive: Receive, headers: Headers, bytes_max: int = BODY_BYTES_MAX
) -> bytes:
    """The whole body, in one growing piece of memory; its time ends below us.

    Raises:
        ClientGoneError: the client went away.
        TooLargeError: it is longer, or declared to be.
    """
    for name, value in headers:
        if name == b"content-length" and _declares_too_much(value, bytes_max):
            raise TooLargeError
    message = await receive()
    if not message.get("more_body"):
        return _chunk(message, bytes_max)
    body = bytearray()
    while True:
        body += _chunk(message, bytes_max - len(body))
        if not message.get("more_body"):
            return bytes(body)
        message = await receive()


def has_left(receive: Receive) -> bool:
    """Whether the client of a request went away whose whole body was received."""
    waiting = receive()
    # Asked for once, without waiting for it.
    step = waiting.__await__()
    try:
        next(step)
    except StopIteration as end:
        message: Message = end.value
        return bool(message["type"] == "http.disconnect")
    finally:
        step.close()
    return False


def _declares_too_much(content_length: bytes, bytes_max: int) -> bool:
    digits = content_length.lstrip(b"0")
    return len(digits) > len(str(bytes_max)) or (
        digits.isdigit() and int(digits) > bytes_max
    )


def _chunk(message: Message, bytes_max: int) -> bytes:
    """A message's part of the body, of which so many bytes are left."""
    if message["type"] == "http.disconnect":
        raise ClientGoneError
    body: bytes = message.get("body", b"")
    if len(body) > bytes_max:
        raise TooLargeError
    return body
