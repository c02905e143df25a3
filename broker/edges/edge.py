"""The outermost layer: host names, client addresses and the access log.

Every answer passes through it and gets the same headers, a request id and a log line,
including failures and requests refused by `broker.edges.connection`.

Every request gets ``scope["state"]`` entries for those behind: ``request_id``,
``source_ip``, ``secure``, ``named``, the headers by name, and ``line``, a dictionary of
facts that they may add to the canonical log line. The line holds the path, never a query, body or cookie.
"""

import asyncio
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import lru_cache

import structlog

from broker.edges.asgi import (
    App,
    Headers,
    Message,
    Receive,
    Scope,
    Send,
    is_private,
    respond,
)
from broker.edges.proxies import Client, TrustedProxies
from broker.edges.refusals import (
    FAILURE,
    HEADS,
    STOPPING,
    Refusal,
    answer_refusal,
    identify_client,
    other_host,
)
from broker.model.raw import name_headers
from broker.runtime.batches import ClientGoneError
from broker.runtime.clock import Clock
from broker.runtime.entropy import new_request_id

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
_UNAVAILABLE = 503
_RETRY_AFTER = (b"retry-after", b"1")
"""Seconds; a store that is away is retried within that time."""
_REQUEST_ID = b"x-amzn-requestid"
_DISCONNECTED: Message = {"type": "http.disconnect"}
_NOT_FOUND, _CLIENT_GONE = 404, 499
_CACHED_HOSTS = 1024
_HOST_BYTES_MAX = 300
"""A name has at most 253 characters (RFC 1035, 2.3.4), and a port."""

Observe = Callable[[str, dict[str, object], int, float], None]
"""Takes a request's path, line, status and duration in seconds."""

_PATH_CHARACTERS = 256
_AWS_LABELS = re.compile(
    r"sts|iam|signin"
    r"|sts\.[a-z]{2}(?:-[a-z]+)+-[0-9]{1,2}"
    r"|[a-z]{2}(?:-[a-z]+)+-[0-9]{1,2}\.signin",
    re.ASCII,
)


class AllowedHosts:
    """The names under which the broker answers, at any port.

    ``names`` are host names and addresses (IPv6 without brackets), accepted as they
    are. ``below`` is one whose names of AWS's pattern are accepted as well:
    ``sts.``, ``iam.``, ``signin.``, ``sts.REGION.`` and ``REGION.signin.``.
    """

    def __init__(self, names: Iterable[str], below: str = "") -> None:
        self._exact = frozenset(name.lower() for name in names)
        self._tail = f".{below.lower()}"
        self._find = lru_cache(_CACHED_HOSTS)(self._accept)

    def accept(self, header: bytes) -> bool:
        """Whether a Host header has one of the names."""
        # Nothing longer than a name is remembered.
        return len(header) <= _HOST_BYTES_MAX and self._find(header)

    def _accept(self, header: bytes) -> bool:
        name = host_name(header)
        if name is None:
            return False
        if name in self._exact:
            return True
        return (
            len(self._tail) > 1
            and name.endswith(self._tail)
            and _AWS_LABELS.fullmatch(name[: -len(self._tail)]) is not None
        )


def host_name(header: bytes) -> str | None:
    """A Host header's name in lower case, without port and brackets; None if broken."""
    host = header.decode("latin-1").lower()
    if host.startswith("["):
        name, _, port = host[1:].partition("]")
        port = port.removeprefix(":")
    else:
        name, _, port = host.partition(":")
    if port and not (port.isascii() and port.isdigit()):
        return None
    return name


class Edge:
    """Wraps the whole application.

    ``open_paths`` answer whatever the Host header says: probes come by address.
    Whatever is ``open_below`` one does, too: proxies pass on their clients' hosts, and
    what comes through a socket of the machine is for no host.
    ``data_paths`` answer with data alone, never with a page, and do without the
    headers that only a page needs. ``at`` are applications found by their exact path
    before ``app`` is asked. ``gateway`` is a path below which every answer is data and
    has these headers; through the private socket nothing else is served.
    ``hsts`` is for installations whose public URL is https. ``observe`` is called after
    each request.
    """

    def __init__(
        self,
        app: App,
        *,
        hosts: AllowedHosts,
        proxies: TrustedProxies,
        clock: Clock,
        public_origin: str,
        open_paths: Collection[str] = ("/healthz", "/readyz", "/metrics"),
        open_below: tuple[str, ...] = (),
        data_paths: Collection[str] = (),
        at: Mapping[str, App] | None = None,
        gateway: tuple[str, Headers] = ("", ()),
        hsts: bool = False,
        observe: Observe | None = None,
    ) -> None:
        self._app = app
        self._at = at or {}
        self._hosts = hosts
        self._proxies = proxies
        self._clock = clock
        self._open_paths = frozenset((*open_paths, *open_below))
        self._open_below = tuple(f"{path}/" for path in open_below)
        self._observe = observe
        self._other_host = other_host(public_origin)
        headers = (*_HEADERS, _HSTS) if hsts else _HEADERS
        self._page_headers = (*headers, *_PAGE_HEADERS)
        self._headers_at = dict.fromkeys(data_paths, headers)
        self._below, spoken = gateway
        self._spoken = (*headers, *spoken)

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
        peer = scope.get("client")
        client = self._proxies.identify_client(
            peer[0] if peer else "", scope.get("scheme", "http"), scope["headers"]
        )
        headers = self._headers_at.get(path, self._page_headers)
        is_gateway = path.startswith(self._below) if self._below else False
        if is_gateway:
            headers = self._spoken
        exchange = _Exchange(scope, receive, send, headers, client)
        state = scope["state"]
        try:
            if "refusal" in state:
                pass
            elif not peer and not is_gateway and is_private(scope):
                await respond(exchange.send, _NOT_FOUND)
            elif self._is_ours(path, state["named"].get(b"host", b"")):
                app = self._at.get(path, self._app)
                try:  # noqa: SIM105  # the other way takes two frames
                    await app(scope, exchange.receive, exchange.send)
                except ClientGoneError:
                    pass  # refused below
            else:
                await exchange.refuse(self._other_host)
            if "refusal" in state and not exchange.status:
                await exchange.refuse(HEADS[state["refusal"]])
        except (asyncio.CancelledError, Exception) as error:  # noqa: BLE001  # answered
            await exchange.fail(error)
        finally:
            self._finish(exchange, self._clock.monotonic() - began)

    def _finish(self, exchange: "_Exchange", seconds: float) -> None:
        scope, status = exchange.scope, exchange.status or _CLIENT_GONE
        state = scope["state"]
        path: bytes = scope.get("raw_path") or b""
        if self._observe is not None:
            self._observe(scope["path"], state["line"], status, seconds)
        _log.info(
            "request",
            method=scope["method"],
            path=path[:_PATH_CHARACTERS].decode("ascii", "backslashreplace"),
            status=status,
            duration_ms=round(seconds * 1000, 2),
            request_id=state["request_id"],
            source_ip=state["source_ip"],
            **state["line"],
        )

    def _is_ours(self, path: str, host: bytes) -> bool:
        # Of two hosts, which are one value here, neither is a name.
        return (
            self._hosts.accept(host)
            or path in self._open_paths
            or path.startswith(self._open_below)
        )


class _Exchange:
    """One request and its answer, which gets the headers of every answer."""

    __slots__ = ("_headers", "_receive", "_send", "scope", "status")

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        headers: Headers,
        client: Client,
    ) -> None:
        self.scope = scope
        self.status = 0
        self._receive = receive
        self._send = send
        self._headers = headers
        state = scope.setdefault("state", {})
        state["request_id"] = new_request_id()
        state["source_ip"], state["secure"] = client
        state["line"] = {}
        state["named"] = name_headers(scope["headers"])

    async def receive(self) -> Message:
        """As the server's; a request that is being refused has no more to come."""
        message = await self._receive()
        return _DISCONNECTED if "refusal" in self.scope["state"] else message

    async def send(self, message: Message) -> None:
        """As the server's, unless the request is being refused."""
        state = self.scope["state"]
        if message["type"] == "http.response.start":
            if "refusal" in state:
                return
            self.status = message["status"]
            headers, added = message.get("headers", ()), self._headers
            if self.status == _UNAVAILABLE:
                added = (*added, _RETRY_AFTER)
            sent = dict(headers)
            if not sent.keys().isdisjoint(dict(added)):
                added = tuple(header for header in added if header[0] not in sent)
            request_id = state["request_id"].encode()
            message["headers"] = [*headers, *added, (_REQUEST_ID, request_id)]
        elif not self.status:
            return
        await self._send(message)

    async def fail(self, error: BaseException) -> None:
        """Answer a failure of ours, or an end before the answer."""
        if not isinstance(error, asyncio.CancelledError):
            _log.error(
                "unexpected failure",
                request_id=self.scope["state"]["request_id"],
                exc_info=error,
            )
        if self.status:
            raise error  # the server closes what was begun
        await self.refuse(
            STOPPING if isinstance(error, asyncio.CancelledError) else FAILURE
        )

    async def refuse(self, refusal: Refusal) -> None:
        """Answer with it."""
        self.scope["state"].pop("refusal", None)
        await answer_refusal(
            self.scope, self.send, refusal, identify_client(self.scope)
        )
