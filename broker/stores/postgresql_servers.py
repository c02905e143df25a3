"""Which server of a PostgreSQL address may be used: the newest that was ever seen.

PostgreSQL numbers the timelines of a cluster: a replica that is promoted begins one with a
higher number than its old primary's. So an old primary that comes back is told by its
number, and is neither read nor written: what a process has seen is kept here, and on disk
for the processes that follow on the same machine. Which changes a database lost is not
decided here, but by ``directory.timeline``.
"""

import asyncio
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import msgspec
from msgspec import Struct

from broker.runtime.offload import begin
from broker.stores.errors import StoreUnavailableError
from broker.stores.urls import PostgresqlLocation, split_hosts

FILE = "postgresql-timeline.json"
"""In the data folder: the newest timeline that a process of this machine has seen."""

_ASK = """
SELECT pg_is_in_recovery(),
  CASE WHEN pg_is_in_recovery() THEN NULL
  ELSE pg_walfile_name(pg_current_wal_insert_lsn()) END,
  (SELECT system_identifier FROM pg_control_system())
"""
_TIMELINE_DIGITS = 8
_GRACE_SECONDS = 0.25
"""How long a newer server may take once one that is good enough has answered."""

_FIRST_GRACE_SECONDS = 0.8
"""The same while nothing was seen yet: less than a connection may take."""

_CANNOT_SAY = frozenset({"0A", "42"})
"""SQLSTATE's classes of functions that are not there, or not for us."""

_log = logging.getLogger(__name__)


class ServerTimeline(Struct, frozen=True):
    """The cluster of a server, and the number of its timeline."""

    system: int
    number: int

    def is_behind(self, other: "ServerTimeline | None") -> bool:
        """Whether the cluster has gone on elsewhere."""
        return (
            other is not None
            and self.system == other.system
            and self.number < other.number
        )


@cache
def servers_of(location: PostgresqlLocation) -> "PostgresqlServers":
    """The one of this process."""
    return PostgresqlServers(location)


class PostgresqlServers:
    """The servers of one address, as this process sees them."""

    def __init__(self, location: PostgresqlLocation) -> None:
        self._dsn = location.dsn
        self._hosts = split_hosts(location.dsn)
        self._timelines: WeakKeyDictionary[Any, ServerTimeline | None] = (
            WeakKeyDictionary()
        )
        self._newest: ServerTimeline | None = None
        self._file: Path | None = None
        self._is_refusing = False

    def remember_in(self, folder: Path) -> None:
        """Take over what earlier processes saw, and keep what this one sees."""
        self._file = folder / FILE
        with suppress(OSError, msgspec.DecodeError):
            seen = msgspec.json.decode(self._file.read_bytes(), type=ServerTimeline)
            if self._newest is None or self._newest.is_behind(seen):
                self._newest = seen

    def is_current(self, connection: Any) -> bool:  # noqa: ANN401  # asyncpg publishes no types
        """Whether a connection leads to the newest timeline that was seen."""
        timeline = self._timelines.get(connection)
        return timeline is None or timeline == self._newest

    async def connect(self, **options: object) -> Any:  # noqa: ANN401  # as above
        """A connection to the newest of the servers.

        Raises:
            StoreUnavailableError: only servers answer that were left behind.
        """
        attempts = [begin(self._try(host, options)) for host in self._hosts]
        try:
            best = await self._choose(attempts)
        finally:
            for attempt in attempts:
                attempt.cancel()
            results = await asyncio.gather(*attempts, return_exceptions=True)
        for other in results:
            if not isinstance(other, BaseException) and other is not best:
                other.terminate()
        if best is None:
            raise _most_telling(results)
        self._see(self._timelines[best])
        return best

    async def _choose(self, attempts: Iterable[asyncio.Task[Any]]) -> Any:  # noqa: ANN401  # as above
        """The connection of the newest timeline, of those that come soon enough."""
        waiting, best = {*attempts}, None
        until: float | None = None
        now = asyncio.get_running_loop().time
        while waiting and (until is None or now() < until):
            seconds = None if until is None else until - now()
            done, waiting = await asyncio.wait(
                waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
            for attempt in done:
                if attempt.exception() is not None:
                    continue
                connection = attempt.result()
                if best is None or self._is_newer(connection, best):
                    best = connection
                grace = _FIRST_GRACE_SECONDS if self._newest is None else _GRACE_SECONDS
                until = until or now() + grace
        return best

    def _is_newer(self, connection: Any, other: Any) -> bool:  # noqa: ANN401  # as above
        timeline, others = self._timelines[connection], self._timelines[other]
        return others is None or (timeline is not None and others.is_behind(timeline))

    async def _try(self, host: Mapping[str, object], options: dict[str, Any]) -> Any:  # noqa: ANN401  # as above
        import asyncpg  # noqa: PLC0415  # an embedded installation never loads it

        connection = await asyncpg.connect(self._dsn, **host, **options)
        try:
            timeline = await _find_timeline(connection)
            if timeline is not None and timeline.is_behind(self._newest):
                self._refuse(timeline)
        except BaseException:
            connection.terminate()
            raise
        self._timelines[connection] = timeline
        return connection

    def _refuse(self, timeline: ServerTimeline) -> None:
        text = (
            f"the server is on timeline {timeline.number} of its cluster, which has gone"
            " on elsewhere: it is an old primary and is not used. If it was restored on"
            f" purpose, remove {self._file or FILE} on every node and restart"
        )
        if not self._is_refusing:
            self._is_refusing = True
            _log.error("%s", text)
        raise StoreUnavailableError(text)

    def _see(self, timeline: ServerTimeline | None) -> None:
        """Close nothing yet: connections to other timelines end at their next use."""
        if timeline is None or timeline == self._newest:
            return
        if self._newest is not None:
            _log.warning("PostgreSQL went on with timeline %d", timeline.number)
        self._newest, self._is_refusing = timeline, False
        if self._file is not None:
            with suppress(OSError):  # the next process asks every server
                _replace(self._file, msgspec.json.encode(timeline))


async def _find_timeline(connection: Any) -> ServerTimeline | None:  # noqa: ANN401  # as above
    """Where a connection leads; None where the server does not say, or only follows."""
    import asyncpg  # noqa: PLC0415  # as above

    try:
        follows, file, system = await connection.fetchrow(_ASK)
    except asyncpg.PostgresError as error:
        if error.sqlstate[:2] not in _CANNOT_SAY:
            raise
        return None
    if follows:
        return None
    return ServerTimeline(system, int(file[:_TIMELINE_DIGITS], 16))


def _most_telling(results: Sequence[object]) -> BaseException:
    """Why no server can be used: that one was left behind, before all else."""
    errors = [error for error in results if isinstance(error, BaseException)]
    refused = [error for error in errors if isinstance(error, StoreUnavailableError)]
    return (*refused, *errors)[0]


def _replace(file: Path, content: bytes) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = file.with_name(f"{file.name}.{os.getpid()}")
    new.write_bytes(content)
    new.replace(file)
