"""The outermost layer: host names, client addresses and the access log.

Every answer passes through it and gets the same headers, a request id and a log line,
including failures and requests refused by `broker.edges.connection`.

Every request gets ``scope["state"]`` entries for those behind: ``request_id``,
``source_ip``, ``secure``, ``named``, the headers by name, and ``line``, a dictionary of
facts that they may add to the canonical log line. The line holds the path, never a query, body or cookie.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping

import structlog

from broker.edges.api import AnyEndpoint, ApiEndpoint
from broker.edges.asgi import (
    Headers,
    Message,
    Receive,
    Scope,
    Send,
    is_private,
    respond,
)
from broker.edges.proxies import TrustedProxies
from broker.edges.refusals import (
    FAILURE,
    HEADS,
    STOPPING,
    Refusal,
    answer_refusal,
    identify_client,
    other_host,
    other_service,
)
from broker.model.request import Answer, name_headers
from broker.runtime.batches import ClientGoneError
from broker.runtime.bounded import KEY_CHARACTERS_MAX, remembered
from broker.runtime.clock import Clock
from broker.runtime.entropy import new_request_id
from broker.runtime.shares import Meter, Shares

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
_FOUND, _NOT_FOUND, _CLIENT_GONE = 302, 404, 499

Route = Callable[[Scope], Awaitable[AnyEndpoint]]
"""What answers a request, by its path; there is always something."""

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
        self._find = remembered(KEY_CHARACTERS_MAX)(self._accept)

    def accept(self, header: bytes) -> bool:
        """Whether a Host header has one of the names."""
        # A name has at most 253 characters (RFC 1035, 2.3.4), and a port.
        return len(header) <= KEY_CHARACTERS_MAX and self._find(header)

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
    """Answers every request, by an endpoint or by itself.

    ``at`` are endpoints by their exact path, those of most calls among them; ``route``
    finds any other. ``open_paths`` answer whatever the Host header says: probes come by
    address. Whatever is ``open_below`` one does, too: proxies pass on their clients'
    hosts, and what comes through a socket of the machine is for no host.
    ``data_paths`` answer with data alone, never with a page, and do without the
    headers that only a page needs. ``gateway`` is a path below which every answer is
    data and has these headers; through the private socket nothing else is served.
    ``hsts`` is for installations whose public URL is https. ``observe`` is called after
    each request. ``shares`` are told what each takes of the processor.
    """

    def __init__(
        self,
        route: Route,
        *,
        hosts: AllowedHosts,
        proxies: TrustedProxies,
        clock: Clock,
        public_origin: str,
        open_paths: Collection[str] = ("/healthz", "/readyz", "/metrics"),
        open_below: tuple[str, ...] = (),
        data_paths: Collection[str] = (),
        at: Mapping[str, AnyEndpoint] | None = None,
        gateway: tuple[str, Headers] = ("", ()),
        hsts: bool = False,
        observe: Observe | None = None,
        shares: Shares | None = None,
    ) -> None:
        self._shares = shares or Shares()
        self._route = route
        self._at = at or {}
        self._hosts = hosts
        self._proxies = proxies
        self._monotonic = clock.monotonic
        self._open_paths = frozenset((*open_paths, *open_below))
        self._open_below = tuple(f"{path}/" for path in open_below)
        self._observe = observe
        self._other_host = other_host(public_origin)
        headers = (*_HEADERS, _HSTS) if hsts else _HEADERS
        self._page_headers = (*headers, *_PAGE_HEADERS)
        self._headers_at = dict.fromkeys(data_paths, headers)
        self._log_request = _log.bind().info
        self._below, spoken = gateway
        self._spoken = (*headers, *spoken)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request. WebSockets are closed: nothing here has any."""
        if scope["type"] != "http":
            await send({"type": "websocket.close"})
            return
        await Meter(self._shares, self._serve(scope, receive, send))

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = self._monotonic()
        path: str = scope["path"]
        headers = self._headers_at.get(path) or self._headers_below(path)
        exchange = _Exchange(scope, receive, send, headers)
        state, peer = exchange.state, scope.get("client")
        state["source_ip"], state["secure"] = self._proxies.identify_client(
            peer[0] if peer else "", scope.get("scheme", "http"), scope["headers"]
        )
        try:
            try:
                if "refusal" not in state:
                    endpoint = self._choose(scope, path) or await self._route(scope)
                    if not isinstance(endpoint, ApiEndpoint):
                        await endpoint(scope, exchange.receive, exchange.send)
                    elif raw := await endpoint.receive(scope, receive, exchange.send):
                        answer = await endpoint.answer(raw, state["request_id"])
                        await exchange.answer(answer, endpoint.cross_origin)
            except ClientGoneError:
                pass  # refused below
            if "refusal" in state and not exchange.status:
                await exchange.refuse(HEADS[state["refusal"]])
        except (asyncio.CancelledError, Exception) as error:  # noqa: BLE001  # answered
            await exchange.fail(error)
        finally:
            self._finish(exchange, self._monotonic() - began)

    def _choose(self, scope: Scope, path: str) -> AnyEndpoint | None:
        """What answers; None if it is to be found first."""
        is_private_socket = not scope.get("client") and is_private(scope)
        if is_private_socket and self._headers_below(path) is not self._spoken:
            return _answer_nothing
        # Of two hosts, which are one value here, neither is a name.
        if not (
            self._hosts.accept(scope["state"]["named"].get(b"host", b""))
            or path in self._open_paths
            or path.startswith(self._open_below)
        ):
            return self._refuse_host
        return self._at.get(path)

    def _headers_below(self, path: str) -> Headers:
        is_gateway = self._below and path.startswith(self._below)
        return self._spoken if is_gateway else self._page_headers

    async def _refuse_host(self, scope: Scope, _receive: Receive, send: Send) -> None:
        await answer_refusal(scope, send, self._other_host, identify_client(scope))

    def _finish(self, exchange: "_Exchange", seconds: float) -> None:
        scope, status = exchange.scope, exchange.status or _CLIENT_GONE
        state = exchange.state
        path: bytes = scope.get("raw_path") or b""
        if self._observe is not None:
            self._observe(scope["path"], state["line"], status, seconds)
        self._log_request(
            "request",
            method=scope["method"],
            path=path[:_PATH_CHARACTERS].decode("ascii", "backslashreplace"),
            status=status,
            duration_ms=round(seconds * 1000, 2),
            request_id=state["request_id"],
            source_ip=state["source_ip"],
            **state["line"],
        )


async def _answer_nothing(_scope: Scope, _receive: Receive, send: Send) -> None:
    await respond(send, _NOT_FOUND)


class _Exchange:
    """One request and its answer, which gets the headers of every answer."""

    __slots__ = ("_headers", "_receive", "_send", "scope", "state", "status")

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, headers: Headers
    ) -> None:
        self.scope = scope
        self.status = 0
        self._receive = receive
        self._send = send
        self._headers = headers
        self.state = state = scope.setdefault("state", {})
        state["request_id"] = new_request_id()
        state["line"] = {}
        state["named"] = name_headers(scope["headers"])

    async def receive(self) -> Message:
        """As the server's; a request that is being refused has no more to come."""
        message = await self._receive()
        return _DISCONNECTED if "refusal" in self.state else message

    async def send(self, message: Message) -> None:
        """As the server's, unless the request is being refused."""
        if message["type"] == "http.response.start":
            if "refusal" in self.state:
                return
            headers = message.get("headers", ())
            sent = dict(headers)
            added = self._added(message["status"])
            if not sent.keys().isdisjoint(dict(added)):
                added = tuple(header for header in added if header[0] not in sent)
            message["headers"] = [*headers, *added]
        elif not self.status:
            return
        await self._send(message)

    async def answer(self, answer: Answer, cross_origin: Headers) -> None:
        """Send a call's answer, which has none of the headers that every answer gets."""
        scope, state = self.scope, self.state
        if answer.status == _FOUND or answer.error_code == "InvalidAction":
            client = identify_client(scope)
            if client.means_another_service:
                await self.refuse(other_service(client))
                return
        line = state["line"]
        if answer.action:
            line["action"] = answer.action
        if answer.error_code:
            line["error_code"] = answer.error_code
        if "refusal" in state:
            return
        length = (b"content-length", b"%d" % len(answer.body))
        headers = [*answer.headers, length, *self._added(answer.status)]
        if b"origin" in state["named"]:
            headers += cross_origin
        await self._send(
            {
                "type": "http.response.start",
                "status": answer.status,
                "headers": headers,
            }
        )
        await self._send({"type": "http.response.body", "body": answer.body})

    def _added(self, status: int) -> Headers:
        """The headers of every answer, which begins with them."""
        self.status = status
        added = (*self._headers, (_REQUEST_ID, self.state["request_id"].encode()))
        return added if status != _UNAVAILABLE else (*added, _RETRY_AFTER)

    async def fail(self, error: BaseException) -> None:
        """Answer a failure of ours, or an end before the answer."""
        if not isinstance(error, asyncio.CancelledError):
            _log.error(
                "unexpected failure",
                request_id=self.state["request_id"],
                exc_info=error,
            )
        if self.status:
            raise error  # the server closes what was begun
        await self.refuse(
            STOPPING if isinstance(error, asyncio.CancelledError) else FAILURE
        )

    async def refuse(self, refusal: Refusal) -> None:
        """Answer with it."""
        self.state.pop("refusal", None)
        scope = self.scope
        await answer_refusal(scope, self.send, refusal, identify_client(scope))
