"""A small HTTP/1.1 server for endpoints of this machine.

Requests are short and are answered from memory. What is held for a client is bounded: the
size of a head and of a body, which no endpoint reads, the number of connections, and the
time until a request is there. When all connections are taken, one that waits for a request
gives way: of the address that has most of them, the one that has waited longest.
"""

import asyncio
import json
import logging
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus

import httptools

HEAD_BYTES_MAX = 16_384
BODY_BYTES_MAX = 4096
HEADERS_MAX = 64
CONNECTIONS_MAX = 256
"""Of a server. An agent has two, in a process that usually may open 1,024 files: it must
still reach the broker when strangers fill both."""

IDLE_SECONDS = 30.0

_TEXT = "text/plain"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """One request; names of headers are in lower case, and no header came twice."""

    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True)
class Answer:
    """What is sent back."""

    status: int = 200
    body: bytes = b""
    content_type: str = _TEXT
    headers: tuple[tuple[str, str], ...] = ()

    @classmethod
    def text(cls, body: str) -> "Answer":
        """Plain text, as EC2 answers most paths."""
        return cls(body=body.encode())

    @classmethod
    def json(cls, document: Mapping[str, object], status: int = 200) -> "Answer":
        """A JSON object, in the form that EC2 writes."""
        body = json.dumps(document, indent=2).encode()
        return cls(status, body, "application/json")

    @classmethod
    def refusal(cls, status: int) -> "Answer":
        """An error that says no more than its status."""
        return cls(status, HTTPStatus(status).phrase.encode())


Handler = Callable[[Request], Answer | Awaitable[Answer]]


class Server:
    """Connections of all listeners that share a handler."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.connections: dict[Connection, str] = {}
        """With the client's address; what has waited longest comes first."""

    def __call__(self) -> "Connection":
        """A new connection's protocol."""
        return Connection(self)

    def admit(self, connection: "Connection", address: str) -> bool:
        """Take a connection, or say that all others are being served."""
        if len(self.connections) >= CONNECTIONS_MAX and not self._make_room():
            return False
        self.connections[connection] = address
        return True

    def _make_room(self) -> bool:
        held = Counter(self.connections.values())
        # The first of those with most.
        longest = max(
            (connection for connection in self.connections if connection.is_waiting),
            key=lambda connection: held[self.connections[connection]],
            default=None,
        )
        if longest is None:
            return False
        del self.connections[longest]
        longest.abort()
        return True

    def close(self) -> None:
        """End all connections."""
        for connection in tuple(self.connections):
            connection.close()


class Connection(asyncio.Protocol):
    """One client; its requests are answered in turn."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._idle: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._begin()

    def _begin(self) -> None:
        self._url = b""
        self._headers: dict[str, str] = {}
        self._repeated = False
        self._head_bytes = 0
        self._in_head = True
        self._body_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take it, unless there are too many."""
        if not isinstance(transport, asyncio.Transport):
            raise TypeError("a stream is expected")
        self._transport = transport
        address = str((transport.get_extra_info("peername") or [""])[0])
        if not self._server.admit(self, address):
            transport.abort()
            return
        self._wait()

    def connection_lost(self, _error: Exception | None) -> None:
        """Forget it."""
        self._server.connections.pop(self, None)
        if self._idle is not None:
            self._idle.cancel()
        if self._task is not None:
            self._task.cancel()

    def close(self) -> None:
        """End it."""
        if self._transport is not None:
            self._transport.close()

    @property
    def is_waiting(self) -> bool:
        """Whether no request of it is being answered."""
        return self._task is None

    def abort(self) -> None:
        """End it, though the client does not read what was sent."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Parse what came; anything odd ends the connection."""
        try:
            while data and not self._is_over():
                data = self._feed(data)
        except httptools.HttpParserUpgrade:
            self.close()  # the request itself was answered
        except httptools.HttpParserError:
            self._refuse(400)

    def _feed(self, data: bytes) -> bytes:
        """Parse as much as a head may have, or all of a body; what is left."""
        if not self._in_head:
            self._parser.feed_data(data)
            return b""
        room = HEAD_BYTES_MAX - self._head_bytes
        if not room:
            self._refuse(431)
            return b""
        self._head_bytes += min(room, len(data))
        self._parser.feed_data(data[:room])
        return data[room:]

    def on_headers_complete(self) -> None:
        """Called by the parser."""
        self._in_head = False
        if "transfer-encoding" in self._headers:
            # What is not the body of such a message (trailers) has no bound.
            self._refuse(411)

    def on_url(self, url: bytes) -> None:
        """Called by the parser."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser."""
        key = name.decode("latin-1").lower()
        if key in self._headers or len(self._headers) >= HEADERS_MAX:
            self._repeated = True
        self._headers[key] = value.decode("latin-1").strip()

    def on_body(self, body: bytes) -> None:
        """Called by the parser."""
        if self._is_over():
            return
        self._body_bytes += len(body)
        if self._body_bytes > BODY_BYTES_MAX:
            self._refuse(413)

    def on_message_complete(self) -> None:
        """Called by the parser: a request is there."""
        if self._is_over():
            return
        transport = self._transport
        waiting = transport.get_write_buffer_size() if transport else 0
        if self._task is not None or waiting:
            # Sent before the last was answered, or the answers were taken; no client
            # of these endpoints does that.
            self.abort()
            return
        request = Request(
            self._parser.get_method().decode("latin-1"),
            self._url.decode("latin-1"),
            self._headers,
        )
        keeps = self._parser.should_keep_alive()
        if self._repeated:
            self._refuse(400)
            return
        self._begin()
        try:
            answer = self._server.handler(request)
        except Exception:  # noqa: BLE001  # the client must not wait for nothing
            answer = _surprise()
        if isinstance(answer, Answer):
            self._send(request, answer, keeps=keeps)
        else:
            self._task = asyncio.get_running_loop().create_task(
                self._send_later(request, answer, keeps=keeps)
            )

    async def _send_later(
        self, request: Request, answer: Awaitable[Answer], *, keeps: bool
    ) -> None:
        try:
            ready = await answer
        except Exception:  # noqa: BLE001  # as above
            ready = _surprise()
        self._task = None
        self._send(request, ready, keeps=keeps)

    def _send(self, request: Request, answer: Answer, *, keeps: bool) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        lines = [
            f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}",
            f"Content-Type: {answer.content_type}",
            f"Content-Length: {len(answer.body)}",
            "Cache-Control: no-store",
            "X-Content-Type-Options: nosniff",
            f"Date: {formatdate(usegmt=True)}",
            "Server: broker-agent",
            *(f"{name}: {value}" for name, value in answer.headers),
            *(() if keeps else ("Connection: close",)),
        ]
        head = "\r\n".join(lines).encode("latin-1")
        body = b"" if request.method == "HEAD" else answer.body
        transport.write(head + b"\r\n\r\n" + body)
        if keeps:
            self._wait()
        else:
            transport.close()

    def _is_over(self) -> bool:
        return self._transport is None or self._transport.is_closing()

    def _refuse(self, status: int) -> None:
        self._send(Request("", "", {}), Answer.refusal(status), keeps=False)

    def _wait(self) -> None:
        connections = self._server.connections
        if self in connections:
            connections[self] = connections.pop(self)  # from now on
        if self._idle is not None:
            self._idle.cancel()
        loop = asyncio.get_running_loop()
        self._idle = loop.call_later(IDLE_SECONDS, self.abort)


def _surprise() -> Answer:
    """The answer for the exception that is being handled, which is logged."""
    _log.exception("unexpected failure")
    return Answer.refusal(500)


def bind(host: str, port: int, hop_limit: int = 0) -> socket.socket:
    """A listening socket; answers travel ``hop_limit`` hops, 0 for as many as usual.

    Raises:
        OSError: the address is not this machine's, or is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        limit_hops(listener, hop_limit)
        listener.bind((host, port))
        listener.listen(128)
    except BaseException:
        listener.close()
        raise
    listener.setblocking(False)  # noqa: FBT003  # the library's
    return listener


def limit_hops(listener: socket.socket, hop_limit: int) -> None:
    """Let the answers of a listener's connections travel so many hops."""
    if not hop_limit:
        return
    if listener.family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, hop_limit)
    else:
        listener.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, hop_limit)
