"""The outermost layer: which hosts we are, who the client is, one line a request.

Every request gets ``scope["state"]`` entries for those behind: ``request_id``,
``source_ip``, ``secure``, and ``line``, a dictionary of facts that they may add to
the canonical log line. The line holds the path, never a query, body or cookie.
"""

from collections.abc import Callable, Collection, Iterable
from functools import lru_cache

import structlog

from broker.clock import Clock
from broker.entropy import new_request_id
from broker.web.asgi import App, Headers, Message, Receive, Scope, Send, respond
from broker.web.proxies import TrustedProxies

_log = structlog.get_logger(__name__)

_HEADERS: Headers = (
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)
_PAGE_HEADERS: Headers = (
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"x-frame-options", b"DENY"),
)
_HSTS = (b"strict-transport-security", b"max-age=31536000")
_MISDIRECTED_REQUEST = 421
_UNAVAILABLE = 503
_RETRY_AFTER = (b"retry-after", b"1")
"""In seconds: what is away is tried again within that time."""
_CLIENT_GONE = 499
_CACHED_HOSTS = 1024
Observe = Callable[[str, dict[str, object], int, float], None]
"""Takes a request's path, line, status and duration in seconds."""

_PATH_CHARACTERS = 256


class AllowedHosts:
    """The names under which the broker answers.

    An entry is a host name or address without a port, or ``*.name`` for every name
    below ``name``.
    """

    def __init__(self, names: Iterable[str]) -> None:
        lowered = [name.lower() for name in names]
        self._exact = frozenset(n for n in lowered if not n.startswith("*."))
        self._suffixes = tuple(n[1:] for n in lowered if n.startswith("*."))
        self.accept = lru_cache(_CACHED_HOSTS)(self._accept)

    def _accept(self, header: bytes) -> bool:
        host = header.decode("latin-1").lower()
        if host.startswith("["):
            name, _, port = host[1:].partition("]")
            port = port.removeprefix(":")
        else:
            name, _, port = host.partition(":")
        if port and not (port.isascii() and port.isdigit()):
            return False
        return name in self._exact or name.endswith(self._suffixes)


class Edge:
    """Wraps the whole application.

    ``open_paths`` answer whatever the Host header says: probes come by address.
    ``data_paths`` answer with data alone, never with a page, and do without the
    headers that only a page needs.
    ``hsts`` is for installations whose public URL is https. ``observe`` is told of
    each request at its end.
    """

    def __init__(
        self,
        app: App,
        *,
        hosts: AllowedHosts,
        proxies: TrustedProxies,
        clock: Clock,
        open_paths: Collection[str] = ("/healthz", "/readyz", "/metrics"),
        data_paths: Collection[str] = (),
        hsts: bool = False,
        observe: Observe | None = None,
    ) -> None:
        self._app = app
        self._hosts = hosts
        self._proxies = proxies
        self._clock = clock
        self._open_paths = frozenset(open_paths)
        self._observe = observe
        self._data_paths = frozenset(data_paths)
        self._headers = (*_HEADERS, _HSTS) if hsts else _HEADERS
        self._page_headers = (*self._headers, *_PAGE_HEADERS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection. WebSockets are closed: nothing here has any."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = self._clock.monotonic()
        path: str = scope["path"]
        headers = scope["headers"]
        peer = scope.get("client")
        client = self._proxies.find_client(
            peer[0] if peer else "", scope.get("scheme", "http"), headers
        )
        line: dict[str, object] = {}
        request_id = new_request_id()
        scope.setdefault("state", {}).update(
            request_id=request_id,
            source_ip=client.address,
            secure=client.secure,
            line=line,
        )
        status = 0
        ours = self._headers if path in self._data_paths else self._page_headers

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                sent = dict(message.get("headers", ()))
                added = (*ours, _RETRY_AFTER) if status == _UNAVAILABLE else ours
                message["headers"] = [
                    *message.get("headers", ()),
                    *[header for header in added if header[0] not in sent],
                ]
            await send(message)

        try:
            if self._is_ours(path, headers):
                await self._app(scope, receive, send_with_headers)
                status = status or _CLIENT_GONE
            else:
                await respond(send_with_headers, _MISDIRECTED_REQUEST)
        finally:
            status = status or 500
            seconds = self._clock.monotonic() - began
            if self._observe is not None:
                self._observe(path, line, status, seconds)
            _log.info(
                "request",
                method=scope["method"],
                path=_shown_path(scope),
                status=status,
                duration_ms=round(seconds * 1000, 2),
                request_id=request_id,
                source_ip=client.address,
                **line,
            )

    def _is_ours(self, path: str, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        if path in self._open_paths:
            return True
        named = [value for name, value in headers if name == b"host"]
        return len(named) == 1 and self._hosts.accept(named[0])


def _shown_path(scope: Scope) -> str:
    raw: bytes = scope.get("raw_path") or b""
    return raw[:_PATH_CHARACTERS].decode("ascii", "backslashreplace")
