"""The types of ASGI that the edge uses.

Source: https://asgi.readthedocs.io/en/latest/specs/www.html
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = tuple[tuple[bytes, bytes], ...]


def is_private(scope: Scope) -> bool:
    """Whether a connection came through a unix socket, which has no port."""
    server = scope.get("server")
    return server is not None and server[1] is None


async def respond(
    send: Send, status: int, headers: Headers = (), body: bytes = b""
) -> None:
    """Send a whole response in one piece."""
    length = (b"content-length", str(len(body)).encode())
    await send(
        {"type": "http.response.start", "status": status, "headers": [*headers, length]}
    )
    await send({"type": "http.response.body", "body": body})
