"""Receives a request, its body within a bound."""

from collections.abc import Mapping

from broker.edges.asgi import Message, Receive, Scope
from broker.model.request import RawRequest
from broker.runtime.batches import ClientGoneError

BODY_BYTES_MAX = 1_000_000
"""Unless an endpoint has a smaller bound."""

_DIGITS_MAX = 20
"""Of a length, which is too much if it has them all."""


class TooLargeError(Exception):
    """The body is longer than the endpoint accepts."""


async def receive_raw(
    scope: Scope, receive: Receive, bytes_max: int = BODY_BYTES_MAX
) -> RawRequest:
    """The request with its whole body, the time of which ends below us.

    Raises:
        ClientGoneError: the client went away.
        TooLargeError: the body is longer, or declared to be.
    """
    state = scope["state"]
    named: Mapping[bytes, bytes] = state["named"]
    declared = named.get(b"content-length", b"").lstrip(b"0")[:_DIGITS_MAX]
    if declared.isdigit() and int(declared) > bytes_max:
        raise TooLargeError
    message = await receive()
    body: bytes | bytearray = _chunk(message, bytes_max)
    if message.get("more_body"):
        body = bytearray(body)  # one growing piece of memory
        while message.get("more_body"):
            message = await receive()
            body += _chunk(message, bytes_max - len(body))
    if "refusal" in state:
        raise ClientGoneError  # which is answered
    raw = RawRequest(
        method=scope["method"],
        raw_path=scope["raw_path"],
        query=scope["query_string"],
        headers=tuple(scope["headers"]),
        body=bytes(body),
        source_ip=state["source_ip"],
        secure=state["secure"],
    )
    raw.named = named
    return raw


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


def _chunk(message: Message, bytes_max: int) -> bytes:
    """A message's part of the body, of which so many bytes are left."""
    if message["type"] == "http.disconnect":
        raise ClientGoneError
    body: bytes = message.get("body", b"")
    if len(body) > bytes_max:
        raise TooLargeError
    return body
