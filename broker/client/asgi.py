"""The middleware for ASGI: Starlette, FastAPI, Quart, Django and others."""

import hashlib
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any

from broker.client.answers import (
    TOO_LARGE,
    UNAVAILABLE,
    UNSIGNED,
    Answer,
    BrokerAway,
    Refusal,
    ambiguous,
)
from broker.client.decisions import DecisionClient
from broker.client.request import (
    BODY_BYTES_MAX,
    AmbiguousRequest,
    Headers,
    Request,
    TooLarge,
    address,
    check_same_path,
    is_signed,
)

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class _ClientGone(Exception):
    """The client went away before its request was whole."""


class AsgiMiddleware:
    """Lets through what the broker allows.

    The application finds the `Principal` in ``scope["state"]["principal"]``, which is
    ``request.state.principal`` in Starlette and FastAPI. Only ``open_paths``, as the
    application sees them, are served to everybody; they have no principal. WebSockets
    are refused.
    """

    def __init__(
        self,
        app: App,
        client: DecisionClient,
        *,
        open_paths: Collection[str] = (),
        body_bytes_max: int = BODY_BYTES_MAX,
    ) -> None:
        self._app = app
        self._client = client
        self._open_paths = frozenset(open_paths)
        self._body_bytes_max = body_bytes_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close"})
            return
        if scope["path"] in self._open_paths:
            await self._app(scope, receive, send)
            return
        headers: Headers = tuple((name, value) for name, value in scope["headers"])
        try:
            if not is_signed(headers, scope["query_string"]):
                await _refuse(send, UNSIGNED)
                return
            body = await _receive_body(receive, self._body_bytes_max)
            answer = await self._client.decide_soon(_request(scope, headers, body))
        except _ClientGone:
            return
        except TooLarge:
            await _refuse(send, TOO_LARGE)
        except AmbiguousRequest as error:
            await _refuse(send, ambiguous(error))
        except BrokerAway:
            await _refuse(send, UNAVAILABLE)
        else:
            await self._serve(scope, receive, send, body, answer)

    async def _serve(
        self, scope: Scope, receive: Receive, send: Send, body: bytes, answer: Answer
    ) -> None:
        if answer.refusal is not None:
            await _refuse(send, answer.refusal)
            return
        state = {**scope.get("state", {}), "principal": answer.principal}
        await self._app({**scope, "state": state}, _replay(body, receive), send)


def _request(scope: Scope, headers: Headers, body: bytes) -> Request:
    raw_path: bytes | None = scope.get("raw_path")
    if raw_path is None:
        raise AmbiguousRequest("The server does not tell the path as it was sent.")
    check_same_path(raw_path, scope["path"].encode("utf-8", "surrogatepass"))
    query: bytes = scope["query_string"]
    peer = scope.get("client")
    return Request(
        method=scope["method"],
        target=raw_path + b"?" + query if query else raw_path,
        headers=headers,
        body_sha256=hashlib.sha256(body).hexdigest(),
        source_ip=address(peer[0]) if peer else "",
        secure=scope.get("scheme") == "https",
    )


async def _receive_body(receive: Receive, bytes_max: int) -> bytes:
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise _ClientGone
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > bytes_max:
            raise TooLarge
    return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    """The body that was judged, and then what the server has to say."""
    is_sent = False

    async def receive_again() -> Message:
        nonlocal is_sent
        if is_sent:
            return await receive()
        is_sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again


async def _refuse(send: Send, refusal: Refusal) -> None:
    body = refusal.body()
    headers = [
        *(
            (name.encode("latin-1"), value.encode("latin-1"))
            for name, value in refusal.headers()
        ),
        (b"content-length", str(len(body)).encode("ascii")),
    ]
    await send(
        {"type": "http.response.start", "status": refusal.status, "headers": headers}
    )
    await send({"type": "http.response.body", "body": body})
