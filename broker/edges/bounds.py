"""Bounds on what clients can make a worker hold, and for how long.

One `Watch` looks after all connections of a server. A full worker makes room by closing
the connection that has kept it waiting longest, so that a flood evicts its own
connections while honest requests, which arrive whole, get through.
"""

import asyncio
import resource
from typing import Protocol

import structlog
from msgspec import Struct

from broker.runtime.bounded import CACHES
from broker.runtime.memory import return_free_pages

_log = structlog.get_logger(__name__)

CONNECTIONS_MAX = 1024
FILES_MAX = 65_536
"""More would be of no use, and some libraries iterate over all possible ones."""

FILES_RESERVED = 256
"""For stores, outbound connections, and what is accepted before room is made."""

_STEP_SECONDS = 1.0
_LOG_SECONDS = 60.0
_FLOOD_CONNECTIONS = 64
"""After this many at once, returning free memory is worth the time."""

_RETURNS = 8
_FREED_BYTES = 4 * 1024 * 1024
"""After so much was forgotten by the caches, too."""

_PATIENCE_SECONDS = 1.0
"""A body that takes longer makes room for one that comes when there is none."""


class Limits(Struct, frozen=True, kw_only=True):
    """The bounds of one worker; bytes are as they come over the wire."""

    connections: int = CONNECTIONS_MAX
    head_bytes: int = 64 * 1024
    headers: int = 100
    pipelined: int = 8
    head_seconds: float = 10
    body_seconds: float = 30
    unread_seconds: float = 60
    """For an answer that the client does not read."""

    body_bytes: int = 12_000_000
    """Of one message: what is read after a refusal, and its framing."""

    chunks: int = 5_000
    """Of one body; each costs as much as reading a kilobyte."""

    free_body_bytes: int = 32 * 1024
    """Allowed to each connection on top of the totals that follow."""

    signed_bytes: int = 48 * 1024 * 1024
    """Unfinished bodies of requests that carry a signature, true or not."""

    unsigned_bytes: int = 16 * 1024 * 1024


class WatchedConnection(Protocol):
    """What the watch needs of a connection; ``edges.connection`` has it."""

    reading_since: float | None
    """By the loop's clock; None if not checked since reading began."""

    is_reading_body: bool

    def close_if_late(self, now: float) -> None:
        """End what takes longer than its limit."""

    def give_up(self) -> None:
        """End it at once, without an answer."""

    def refuse(self, status: int) -> None:
        """Answer what is under way with this status, and close."""


class Bodies:
    """The unfinished bodies of one kind of caller, and the sum that they may reach."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._held: dict[WatchedConnection, int] = {}
        self.bytes = 0

    def hold(self, connection: WatchedConnection, size: int, now: float) -> bool:
        """Count more of a connection's body; False when there is no room for it.

        Those that have been coming for longest make room.
        """
        while self.bytes + size > self._bytes_max:
            coming = (each for each in self._held if each.is_reading_body)
            oldest = next(coming, None)
            if (
                oldest is None
                or oldest is connection
                or _age(oldest, now) < _PATIENCE_SECONDS
            ):
                return False
            self.release(oldest)
            oldest.refuse(503)
        self._held[connection] = self._held.get(connection, 0) + size
        self.bytes += size
        return True

    def release(self, connection: WatchedConnection) -> None:
        """Forget a connection's body, if it had any."""
        self.bytes -= self._held.pop(connection, 0)


class Watch:
    """Looks after the connections of one server in one process."""

    def __init__(self, limits: Limits, loop: asyncio.AbstractEventLoop) -> None:
        self.limits = limits
        self.signed = Bodies(limits.signed_bytes)
        self.unsigned = Bodies(limits.unsigned_bytes)
        self._loop = loop
        self._connections_max = _below_the_file_limit(limits.connections)
        self._open: set[WatchedConnection] = set()
        self._waiting: dict[WatchedConnection, None] = {}
        self._step = min(
            _STEP_SECONDS, limits.head_seconds / 4, limits.body_seconds / 4
        )
        self._most_open = 0
        self._returns_left = 0
        self._returned_at = CACHES.bytes_freed
        self._is_ticking = False
        self._said_at = float("-inf")

    def admit(self, connection: WatchedConnection) -> bool:
        """Admit a connection, closing another if needed; False if none can."""
        if len(self._open) >= self._connections_max and not self._make_room():
            return False
        self._open.add(connection)
        self._most_open = max(self._most_open, len(self._open))
        self._waiting[connection] = None
        if not self._is_ticking:
            self._is_ticking = True
            self._loop.call_later(self._step, self._tick)
        return True

    def wait(self, connection: WatchedConnection) -> None:
        """The connection is idle from now on, or is to begin a request."""
        if connection in self._open:
            self._waiting[connection] = None

    def begin(self, connection: WatchedConnection) -> None:
        """A head is whole: the connection is no longer waiting for one."""
        self._waiting.pop(connection, None)

    def leave(self, connection: WatchedConnection) -> None:
        """The connection is over, or as good as."""
        self._open.discard(connection)
        self._waiting.pop(connection, None)
        self.signed.release(connection)
        self.unsigned.release(connection)

    def _make_room(self) -> bool:
        now = self._loop.time()
        if now - self._said_at > _LOG_SECONDS:
            self._said_at = now
            _log.warning("connections are full", connections=len(self._open))
        oldest = next(iter(self._waiting), None)
        if oldest is None:
            slow = [
                each
                for each in self._open
                if each.is_reading_body and _age(each, now) >= _PATIENCE_SECONDS
            ]
            oldest = max(slow, key=lambda each: _age(each, now), default=None)
        if oldest is None:
            return False
        self.leave(oldest)
        oldest.give_up()
        return True

    def _tick(self) -> None:
        now = self._loop.time()
        for connection in tuple(self._open):
            connection.close_if_late(now)
        self._return_memory()
        self._is_ticking = bool(self._open or self._returns_left)
        if self._is_ticking:
            self._loop.call_later(self._step, self._tick)

    def _return_memory(self) -> None:
        """For some ticks after a flood, since not all memory is freed at once.

        And while entries of the caches make room for others: what an entry leaves is
        seldom of the size that the next one takes.
        """
        now_open = len(self._open)
        if self._most_open >= _FLOOD_CONNECTIONS and now_open < self._most_open // 4:
            self._returns_left = _RETURNS
            self._most_open = now_open
        freed = CACHES.bytes_freed
        if self._returns_left or freed - self._returned_at >= _FREED_BYTES:
            self._returns_left = max(0, self._returns_left - 1)
            self._returned_at = freed
            return_free_pages()


def _age(connection: WatchedConnection, now: float) -> float:
    since = connection.reading_since
    return 0.0 if since is None else now - since


def raise_file_limit() -> None:
    """Let this process open as many files as it needs, if the system allows it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = FILES_MAX if hard == resource.RLIM_INFINITY else min(hard, FILES_MAX)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


def _below_the_file_limit(connections: int) -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return connections
    return max(1, min(connections, soft - min(FILES_RESERVED, soft // 2)))
