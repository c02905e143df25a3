"""One client's connection: uvicorn's, with bounds on size and slowness.

A refusal is answered by the application: ``scope["state"]["refusal"]`` holds its
status, from the beginning or while a body is still coming, and `broker.edges.edge`
gives it the form, headers and log line of every answer. Connections that say nothing
are closed without one.

Source: RFC 9112, 2.2, 3.2 and 9; CWE-400.
"""

import asyncio
import re
from collections.abc import Mapping
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import (
    HttpToolsProtocol,
    RequestResponseCycle,
)
from uvicorn.server import ServerState

from broker.edges.bounds import Bodies, Limits, Watch

_BAD_REQUEST = 400
_REQUEST_TIMEOUT = 408
_CONTENT_TOO_LARGE = 413
_HEAD_TOO_LARGE = 431
_UNAVAILABLE = 503
_ABSOLUTE = re.compile(rb"https?://([^/?#@]+)(/[^#]*)?", re.IGNORECASE)


class _Unparseable(Exception):
    """A head that is refused although it can be parsed."""


class _Trailers(list[tuple[bytes, bytes]]):
    """Drops the trailer fields of a chunked body.

    uvicorn would add them to the headers, where they could pass for those of a proxy.
    Source: RFC 9110, 6.5.1.
    """

    def append(self, _field: tuple[bytes, bytes]) -> None:
        """Forget it."""


_TRAILERS = _Trailers()


class BoundedConnection(HttpToolsProtocol):
    """What `uvicorn.Config` takes as ``http``; its limits are per process."""

    limits: ClassVar[Limits] = Limits()
    _watches: ClassVar[WeakKeyDictionary[ServerState, Watch]] = WeakKeyDictionary()

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        watch = self._watches.get(server_state)
        if watch is None:
            watch = self._watches[server_state] = Watch(self.limits, self.loop)
        self._watch = watch
        self._head_bytes = 0
        self._body_bytes = 0
        self._chunks = 0
        self._is_deaf = False
        self._refusal = _BAD_REQUEST
        self._bodies: Bodies | None = None
        self.is_reading_body = False
        self.reading_since: float | None = self.loop.time()

    # What comes in

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's
        """Begin, or close at once if no room can be made."""
        super().connection_made(transport)
        if not self._watch.admit(self):
            self.give_up()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._watch.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser no more than the limits allow."""
        self._unset_keepalive_if_required()
        while data and not self._is_deaf:
            if self.is_reading_body:
                piece, data = data, b""
                if not self._hold(len(piece)):
                    return
            else:
                room = self.limits.head_bytes - self._head_bytes
                if room <= 0:
                    self._refusal = _HEAD_TOO_LARGE
                    self._refuse_head()
                    return
                piece, data = data[:room], data[room:]
                self._head_bytes += len(piece)
            self._feed(piece)

    def _feed(self, piece: bytes) -> None:
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserError:
            self._refuse_head()
        except httptools.HttpParserUpgrade as wished:
            # Nothing is upgraded to, and the parser would not go on behind it: it
            # reads the head again, without the wish. Source: RFC 9110, 7.8.
            again = self._head_without_upgrade()
            self.parser = httptools.HttpRequestParser(self)
            self._feed(again + piece[wished.args[0] :])

    def _head_without_upgrade(self) -> bytes:
        version = self.parser.get_http_version().encode()
        start = b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, version)
        fields = [b"%s: %s" % field for field in self.headers if field[0] != b"upgrade"]
        return b"\r\n".join((start, *fields, b"\r\n"))

    # What the parser finds

    def on_headers_complete(self) -> None:
        """Pass on a request whose head is acceptable."""
        self._head_bytes = 0
        if len(self.headers) > self.limits.headers:
            self._refusal = _HEAD_TOO_LARGE
            raise _Unparseable
        if len(self.pipeline) >= self.limits.pipelined:
            raise _Unparseable
        if self.parser.get_method() == b"CONNECT":
            raise _Unparseable  # an upgrade, whatever its head says
        if not self.url.startswith(b"/"):
            self._read_target()
        if self.parser.should_upgrade():
            return
        self.is_reading_body = True
        self._watch.begin(self)
        super().on_headers_complete()
        self.headers = _TRAILERS
        self.url = b""

    def on_chunk_header(self) -> None:
        """A part of a chunked body begins."""
        self._chunks += 1
        if self._chunks > self.limits.chunks:
            self._refusal = _CONTENT_TOO_LARGE
            raise _Unparseable

    def on_message_complete(self) -> None:
        """The body is whole."""
        if not self.is_reading_body:
            return  # of a head that is read again
        self.is_reading_body = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """The answer is sent; free what the request held."""
        if self._bodies is not None:
            self._release()
        if not self.pipeline:
            self._body_bytes = self._chunks = 0
            self.reading_since = None
            if not self.is_reading_body:
                self._watch.wait(self)
        super().on_response_complete()

    def _read_target(self) -> None:
        """Reduce an absolute target to its path; ``*`` is the whole server's.

        Source: RFC 9112, 3.2.2 and 3.2.4.
        """
        if self.url == b"*" and self.parser.get_method() == b"OPTIONS":
            self.url = b"/"
            return
        absolute = _ABSOLUTE.fullmatch(self.url)
        hosts = [value for name, value in self.headers if name == b"host"]
        if absolute is None or hosts != [absolute[1]]:
            raise _Unparseable
        self.url = absolute[2] or b"/"

    # Bounds

    def close_if_late(self, now: float) -> None:
        """End what takes longer than its limit.

        What a request takes is counted from the first look that finds it begun.
        """
        if self.reading_since is None:
            if self.timeout_keep_alive_task is None or self.transport.is_closing():
                self.reading_since = now
            return
        late = now - self.reading_since
        if self.transport.is_closing() or self.flow.write_paused:
            if late > self.limits.unread_seconds:
                self.give_up()
        elif self.is_reading_body:
            if late > self.limits.body_seconds:
                self.refuse(_REQUEST_TIMEOUT)
        elif self._is_answering:
            pass
        elif late > self.limits.head_seconds:
            self.give_up()

    def give_up(self) -> None:
        """End it at once, without an answer."""
        self._is_deaf = True
        self.transport.abort()

    def refuse(self, status: int) -> None:
        """Answer the request whose body is coming with this status, and close."""
        self._release()
        if not self._is_answering or self.pipeline or self.cycle.response_started:
            self.transport.close()
            return
        self._end_after_answer()
        self.cycle.scope["state"]["refusal"] = status
        self.cycle.body = bytearray()
        self.cycle.more_body = False
        self.cycle.message_event.set()

    def _end_after_answer(self) -> None:
        self._is_deaf = True
        self.is_reading_body = False
        self.cycle.keep_alive = False

    @property
    def _is_answering(self) -> bool:
        # Before the first request there is none, whatever its type says.
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    def _hold(self, size: int) -> bool:
        self._body_bytes += size
        if self._body_bytes > self.limits.body_bytes:
            self.refuse(_CONTENT_TOO_LARGE)
            return False
        if (
            self._body_bytes <= self.limits.free_body_bytes
            or self.cycle.response_started
        ):
            return True
        if self.pipeline:
            self.give_up()
            return False
        if self._bodies is None:
            signed = _is_signed(self.cycle.scope)
            self._bodies = self._watch.signed if signed else self._watch.unsigned
        if self._bodies.hold(self, size, self.loop.time()):
            return True
        self.refuse(_UNAVAILABLE)
        return False

    def _release(self) -> None:
        if self._bodies is not None:
            self._bodies.release(self)
            self._bodies = None

    def _refuse_head(self) -> None:
        """Answer an unacceptable head or body framing."""
        if self.is_reading_body:
            self.refuse(self._refusal)
            return
        if self._is_answering:
            self._end_after_answer()
            return
        begun: object = self.scope
        if begun is None:
            self.on_message_begin()
        self._is_deaf = True
        self._watch.begin(self)
        self.reading_since = self.loop.time()
        path = self.url.partition(b"?")[0] if self.url[:1] == b"/" else b""
        scope: dict[str, Any] = {
            **self.scope,
            "method": self.parser.get_method().decode("ascii") if self.url else "",
            "path": path.decode("latin-1"),
            "raw_path": path,
            "query_string": b"",
            "headers": self.headers,
            "state": {**self.app_state, "refusal": self._refusal},
        }
        self.cycle = RequestResponseCycle(
            scope=scope,  # type: ignore[arg-type] # it is one
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=False,
            on_response=self.on_response_complete,
        )
        self._start_asgi_task(self.cycle, self.app)


def _is_signed(scope: Mapping[str, Any]) -> bool:
    """Whether a request claims to be signed, which only its proof can refute."""
    return b"X-Amz-Signature=" in scope["query_string"] or any(
        name == b"authorization" and value.startswith(b"AWS4-")
        for name, value in scope["headers"]
    )
