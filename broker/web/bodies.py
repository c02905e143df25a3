"""Receives a request's body, within the bound that all endpoints have."""

from broker.web.asgi import Headers, Message, Receive

BODY_BYTES_MAX = 10_000_000


class ClientGoneError(Exception):
    """The client went away before its request was whole."""


class TooLargeError(Exception):
    """The body is longer than the endpoint accepts."""


async def receive_body(receive: Receive, headers: Headers) -> bytes:
    """The whole body, in one growing piece of memory; its time ends below us."""
    for name, value in headers:
        if name == b"content-length" and _declares_too_much(value):
            raise TooLargeError
    message = await receive()
    if not message.get("more_body"):
        return _chunk(message, 0)
    body = bytearray()
    while True:
        body += _chunk(message, len(body))
        if not message.get("more_body"):
            return bytes(body)
        message = await receive()


def _declares_too_much(content_length: bytes) -> bool:
    digits = content_length.lstrip(b"0")
    return len(digits) > len(str(BODY_BYTES_MAX)) or (
        digits.isdigit() and int(digits) > BODY_BYTES_MAX
    )


def _chunk(message: Message, size: int) -> bytes:
    """A message's part of the body, after ``size`` bytes that came before."""
    if message["type"] == "http.disconnect":
        raise ClientGoneError
    body: bytes = message.get("body", b"")
    if size + len(body) > BODY_BYTES_MAX:
        raise TooLargeError
    return body
