"""The ledger in PostgreSQL: concurrent mints share one statement and one commit.

While a commit is on its way the next batch gathers. A batch is a single statement,
hence a single transaction and a single round trip. If its answer is lost, the session
that ran it is terminated before its outcome is read, so that nothing can commit after
callers got "unavailable".
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from broker.model.account import AccountId
from broker.model.audit import ActivityCounts, AuditFilter, AuditRecord
from broker.model.page import Page, PageRequest
from broker.runtime.offload import begin
from broker.stores.audit_rows import (
    AuditRow,
    MarkRow,
    ReplayMark,
    decode_audit,
    encode_audit,
    encode_mark,
)
from broker.stores.connect import connect_postgresql
from broker.stores.database import translate_errors
from broker.stores.errors import (
    ConflictError,
    OutcomeUnknownError,
    ReplayedError,
    StoreUnavailableError,
)
from broker.stores.ledger import counts
from broker.stores.ledger import postgresql_statements as sql
from broker.stores.ledger.port import NameOf
from broker.stores.ledger.search import Search
from broker.stores.postgresql_servers import servers_of
from broker.stores.spool import Spool, SpoolFullError
from broker.stores.times import to_micros
from broker.stores.urls import PostgresqlLocation

# An fsync may take longer than other answers; after giving up too early, the outcome of
# the commit would have to be read back.
WRITE_SECONDS = 1.0
READ_SECONDS = 5.0
_BATCH = 128
_HAND_OVER_SECONDS = 0.05
# Callers that arrived together tend to do so again, so a short wait makes one
# transaction of two. It ends when all have arrived; a lone caller never waits.
_GATHER_SECONDS = 0.0002
_GATHER_SECONDS_MAX = 0.003
_RETRY_SECONDS = 1.0
_WAITING_ROWS_MAX = 10_000
_PURGE_ROWS = 1000
# After a failure, fail fast for this long: each attempt would wait for a time-out.
_PAUSE_SECONDS = 0.1
_CLOSE_SECONDS = 1.0
_UNCLEAR_MAX = 10_000
_TERMINATE_MS = 500
SETTLE_SECONDS = 5.0
"""Longer than any write takes: see ``WRITE_SECONDS``, and how unclear ones are ended."""

_PORTION, _SIGN_INS, _FAILURES, _COUNTS, _PURGE_COUNTS, _ADD, _ADVANCE, _REACHED = map(
    counts.in_postgresql,
    (
        *(counts.PORTION, counts.SIGN_INS, counts.FAILURES, counts.READ),
        *(counts.PURGE, counts.ADD, counts.ADVANCE, counts.REACHED),
    ),
)
_FAULTS = frozenset({"22", "23"})
"""SQLSTATE's classes of values that are wrong and rules that they break."""

_log = logging.getLogger(__name__)


_Session = tuple[object, ...]
"""Identifies a server session: its process and its start."""


class _Mint:
    __slots__ = ("future", "mark", "row")

    def __init__(
        self, row: AuditRow, mark: MarkRow | None, future: asyncio.Future[None]
    ) -> None:
        self.row = row
        self.mark = mark
        self.future = future

    def settle(self, error: Exception | None) -> None:
        if self.future.done():
            return  # its caller gave up
        if error is None:
            self.future.set_result(None)
        else:
            self.future.set_exception(error)


class PostgresqlLedger:
    """See ``Ledger``."""

    def __init__(self, location: PostgresqlLocation, spool: Spool) -> None:
        self._location = location
        self._spool = spool
        self._mints: list[_Mint] = []
        self._rows: list[AuditRow] = []
        self._is_holding = False
        self._writer: asyncio.Task[None] | None = None
        self._timer: asyncio.Handle | None = None
        self._due = 0.0
        self._connection: Any = None  # asyncpg publishes no types
        self._identity: tuple[object, ...] = ()
        self._reader_identity: tuple[object, ...] = ()
        self._unclear: dict[_Session, list[MarkRow]] = {}
        self._reader: Any = None
        self._reading = asyncio.Lock()
        self._paused_until = float("-inf")
        self._batch_size = 0
        self._batch_complete: asyncio.Future[None] | None = None
        self._closed = False
        self._numbered = (float("-inf"), 0)
        self._last_settled = 0

    async def start(self) -> None:
        await asyncio.to_thread(self._spool.adopt)
        with contextlib.suppress(StoreUnavailableError):
            await self._connect()
        if not self._spool.is_empty:
            self._schedule(0)

    async def close(self) -> None:
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._writer is None and (self._rows or self._mints):
            self._wake()
        while self._writer is not None:
            await asyncio.wait([self._writer])
        for connection in (self._connection, self._reader):
            if connection is not None:
                await _close(connection)
        self._connection = self._reader = None
        await asyncio.to_thread(self._spool.close)

    @property
    def is_behind(self) -> bool:
        return self._is_holding or not self._spool.is_empty

    async def mint(self, record: AuditRecord, mark: ReplayMark | None) -> None:
        if self._closed:
            raise StoreUnavailableError("the store is closed")
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        row = encode_audit(record)
        self._mints.append(_Mint(row, encode_mark(mark) if mark else None, future))
        if self._writer is None:
            self._wake()
        elif self._batch_complete is not None and len(self._mints) == self._batch_size:
            self._batch_complete.set_result(None)
        await future

    async def reserve(self, mark: ReplayMark) -> None:
        row = encode_mark(mark)
        async with self._reads_for(row) as connection:
            owner = await connection.fetchval(sql.RESERVE, *row)
            if owner is None:
                owner = await connection.fetchval(sql.OWNER, row[0])
        if owner != mark.mint_id:
            raise ReplayedError(str(owner))

    async def release(self, mark: ReplayMark) -> None:
        row = encode_mark(mark)
        async with self._reads_for(row) as connection:
            await connection.execute(sql.GIVE_BACK, [row[0]], [row[1]])

    async def append(self, record: AuditRecord) -> None:
        if self._closed or len(self._rows) >= _WAITING_ROWS_MAX:
            raise StoreUnavailableError("the audit trail takes no more records")
        self._rows.append(encode_audit(record))
        self._schedule(_HAND_OVER_SECONDS)

    async def find(self, event_id: str) -> AuditRecord | None:
        async with self._reads() as connection:
            row = await connection.fetchrow(sql.FIND, event_id)
        return None if row is None else decode_audit(*row)

    async def search(
        self, filters: AuditFilter, page: PageRequest
    ) -> Page[AuditRecord]:
        search = Search.of(filters, page, lambda n: f"${n}")
        end = None
        async with self._reads() as connection:
            if search.needs_window:
                made = search.window_end()
                end = await connection.fetchrow(made.text, *made.values)
            made = search.rows(end)
            rows = await connection.fetch(made.text, *made.values)
        return search.read_page([tuple(row) for row in rows], end)

    async def count(self, name_of: NameOf) -> bool:
        async with self._reads() as connection:
            after = dict(await connection.fetch(counts.PLACE)).get("seq", 0)
            newest = self._settled(await connection.fetchval(counts.NEWEST))
            place = await connection.fetchrow(
                _PORTION, after, newest, counts.PORTION_ROWS
            )
            end = place[0]
            sign_ins = await connection.fetch(_SIGN_INS, after, end)
            failures = await connection.fetch(_FAILURES, after, end)
        portion = counts.count_portion(
            (after, end, place[1]),
            [tuple(row) for row in sign_ins],
            [tuple(row) for row in failures],
            name_of,
        )
        if portion.is_empty:
            return False
        await self._add_portion(portion)
        return True

    def forget_settled(self) -> None:
        self._numbered, self._last_settled = (float("-inf"), 0), 0

    def _settled(self, newest: int) -> int:
        """The newest sequence number of some time ago.

        Other processes' transactions commit in another order than they were numbered
        in; what is under way has ended by then.
        """
        now = self._loop_time()
        if now - self._numbered[0] >= SETTLE_SECONDS:
            self._last_settled, self._numbered = self._numbered[1], (now, newest)
        return self._last_settled

    async def _add_portion(self, portion: counts.Portion) -> None:
        async with self._reads() as connection, connection.transaction():
            await connection.execute(counts.BEGIN)
            done = await connection.execute(_ADVANCE, portion.end, portion.after)
            if done != "UPDATE 1":
                return  # another process was quicker
            if portion.rows:
                await connection.executemany(_ADD, portion.rows)
            await connection.execute(_REACHED, portion.newest_at)

    async def counts(
        self, account: AccountId, since: datetime, *, bucket_hours: int
    ) -> ActivityCounts:
        first = to_micros(since) // counts.HOUR
        first -= first % bucket_hours
        async with self._reads() as connection:
            place = await connection.fetch(counts.PLACE)
            rows = await connection.fetch(_COUNTS, bucket_hours, account, first)
        return counts.read_counts(
            [tuple(row) for row in place], [tuple(row) for row in rows]
        )

    async def purge(self, *, marks_before: datetime, audit_before: datetime) -> None:
        for statement, before in (
            (sql.PURGE_MARKS, to_micros(marks_before)),
            (sql.PURGE_AUDIT, to_micros(audit_before)),
        ):
            deleted = _PURGE_ROWS
            while deleted == _PURGE_ROWS:
                async with self._reads() as connection:
                    said = await connection.execute(statement, before, _PURGE_ROWS)
                deleted = int(said.rpartition(" ")[2])
        hour = to_micros(audit_before) // counts.HOUR
        async with self._reads() as connection:
            await connection.execute(_PURGE_COUNTS, hour)

    def _wake(self) -> None:
        self._writer = begin(self._write_all(), "ledger-writer")

    def _schedule(self, seconds: float) -> None:
        """Have the writer woken within this time."""
        due = self._loop_time() + seconds
        # The timer itself need not know: uvloop's has no time when none is left.
        if self._closed or (self._timer is not None and self._due <= due):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._due = due
        self._timer = asyncio.get_running_loop().call_at(due, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if self._writer is None:
            self._wake()

    def _loop_time(self) -> float:
        return asyncio.get_running_loop().time()

    async def _write_all(self) -> None:
        try:
            while self._mints or self._rows:
                taken = await self._write_batch()
                if taken and not self._spool.is_empty:
                    break  # where mints always come it would never be emptied
                if not taken and not self._mints:
                    break
            if not self._spool.is_empty:
                await self._drain_spool()
            if self._unclear:
                await self._try_to_give_back()
        finally:
            self._writer = None
            if self._mints:
                self._wake()  # they came while the spool was emptied
            elif self._rows or self._unclear or not self._spool.is_empty:
                self._schedule(_RETRY_SECONDS)

    async def _write_batch(self) -> bool:
        """Write what waits, as much as a statement holds; whether it was taken."""
        await self._wait_for_others()
        mints, self._mints = self._mints[:_BATCH], self._mints[_BATCH:]
        rows, self._rows = self._rows[:_BATCH], self._rows[_BATCH:]
        taken = await self._write(mints, rows)
        self._batch_size = len(mints) + len(self._mints)
        return taken

    async def _wait_for_others(self) -> None:
        if len(self._mints) < self._batch_size > 1:
            self._batch_complete = asyncio.get_running_loop().create_future()
            wait_seconds = min(_GATHER_SECONDS_MAX, _GATHER_SECONDS * self._batch_size)
            await asyncio.wait([self._batch_complete], timeout=wait_seconds)
            self._batch_complete = None

    async def _write(self, mints: list[_Mint], rows: list[AuditRow]) -> bool:
        """Write one batch and settle it; whether the database took it."""
        sent = taken = False
        try:
            connection = await self._connect()
            await self._give_back(connection)
            arguments = sql.write_arguments([(m.row, m.mark) for m in mints], rows)
            sent = True
            with translate_errors():
                fresh = await connection.fetch(sql.WRITE, *arguments)
            outcomes = await self._outcomes(mints, {tuple(row) for row in fresh})
        except Exception as error:  # noqa: BLE001  # callers must not wait forever
            if _is_away(error):
                _log.warning("cannot write to the database: %s", _cause(error))
                outcomes = await self._look_after(mints, sent=sent)
                refused, self._rows = rows + self._rows, []
            else:
                _log.exception("the writer failed")
                outcomes = [_unavailable() for _ in mints]
                await self._drop_connection()
                refused = await self._insert(rows)
                taken = not refused
            await self._keep(refused)
        else:
            taken = True
            self._is_holding = False
        for mint, outcome in zip(mints, outcomes, strict=True):
            mint.settle(outcome)
        return taken

    async def _outcomes(
        self, mints: list[_Mint], fresh: set[tuple[object, ...]]
    ) -> list[Exception | None]:
        marked = sum(mint.mark is not None for mint in mints)
        if marked == len(fresh):
            return [None] * len(mints)
        others = [m for m in mints if m.mark is not None and m.mark[:2] not in fresh]
        owners = await _read_owners(self._connection, others)
        return [
            None
            if mint.mark is None or mint.mark[:2] in fresh
            else _compare_owner(mint.mark, owners)
            for mint in mints
        ]

    async def _look_after(
        self, mints: list[_Mint], *, sent: bool
    ) -> list[Exception | None]:
        """After a failure: end the session that ran the batch, then read its fate."""
        identity = self._identity
        await self._drop_connection()
        refused: list[Exception | None] = [_unavailable() for _ in mints]
        if not sent or not mints:
            return refused
        try:
            connection = await self._connect()
            with translate_errors():
                await connection.fetchval(sql.TERMINATE, *identity, _TERMINATE_MS)
                owners = await _read_owners(connection, mints)
                ids = [mint.row[0] for mint in mints if mint.mark is None]
                rows = await connection.fetch(sql.EVENTS, ids) if ids else []
        except (StoreUnavailableError, ConflictError):
            return self._leave_unclear(mints, identity)
        events = {row[0] for row in rows}
        return [
            _compare_owner(mint.mark, owners)
            if mint.mark is not None
            else (None if mint.row[0] in events else _unavailable())
            for mint in mints
        ]

    def _leave_unclear(
        self, mints: list[_Mint], identity: _Session
    ) -> list[Exception | None]:
        """The outcome of these mints is unknown; no caller got their credentials."""
        self._keep_unclear([m.mark for m in mints if m.mark is not None], identity)
        return [
            OutcomeUnknownError("the database went away while it committed")
            for _ in mints
        ]

    def _keep_unclear(self, marks: list[MarkRow], identity: _Session) -> None:
        """Delete these marks when the database is back."""
        if sum(map(len, self._unclear.values())) + len(marks) <= _UNCLEAR_MAX:
            self._unclear.setdefault(identity, []).extend(marks)

    async def _give_back(self, connection: Any) -> None:  # noqa: ANN401  # asyncpg publishes no types
        """Delete the marks of mints whose callers got an error.

        The sessions that were to commit them are ended first, if they are still there.
        """
        for identity, marks in list(self._unclear.items()):
            with translate_errors():
                await connection.fetchval(sql.TERMINATE, *identity, _TERMINATE_MS)
                rows = await connection.fetch(
                    sql.GIVE_BACK,
                    [mark[0] for mark in marks],
                    [mark[1] for mark in marks],
                )
            del self._unclear[identity]
            for (mint_id,) in rows:
                _log.warning(
                    "a mint that was answered as unavailable had been committed;"
                    " its proof is valid again: %s",
                    mint_id,
                )

    async def _try_to_give_back(self) -> None:
        with contextlib.suppress(StoreUnavailableError, ConflictError):
            await self._give_back(await self._connect())

    async def _drain_spool(self) -> None:
        # In portions, since the records of a long outage would exceed the statement
        # time-out; new ones go in between.
        try:
            rows = await asyncio.to_thread(self._spool.rows)
            for start in range(0, len(rows), _BATCH):
                if await self._insert(rows[start : start + _BATCH]):
                    return
                if (self._mints or self._rows) and not await self._write_batch():
                    return  # the spool may have got more
            await asyncio.to_thread(self._spool.clear)
        except OSError as error:
            _log.error("cannot empty the audit spool: %s", error)

    async def _insert(self, rows: list[AuditRow]) -> list[AuditRow]:
        """Insert records unless present; returns those to retry.

        An invalid record is lost alone, and logged in full.
        """
        try:
            connection = await self._connect()
            with translate_errors():
                await connection.execute(sql.DRAIN, *sql.columns_of(rows))
        except Exception as error:  # noqa: BLE001  # a bug must not cost the others
            await self._drop_connection()
            if _is_away(error):
                return rows
            if len(rows) <= 1:
                _log.exception("an audit record is lost: %s", rows)
                return []
            half = len(rows) // 2
            return await self._insert(rows[:half]) + await self._insert(rows[half:])
        return []

    async def _keep(self, rows: list[AuditRow]) -> None:
        if not rows:
            return
        try:
            await asyncio.to_thread(self._spool.put, rows)
        except SpoolFullError:
            self._rows = rows + self._rows
            self._is_holding = True

    async def _connect(self) -> Any:  # noqa: ANN401  # asyncpg publishes no types
        if self._is_good(self._connection):
            return self._connection
        await self._drop_connection()
        if self._loop_time() < self._paused_until:
            raise StoreUnavailableError("the database did not answer a moment ago")
        try:
            with translate_errors():
                self._connection, self._identity = await self._open(WRITE_SECONDS)
        except StoreUnavailableError:
            self._paused_until = self._loop_time() + _PAUSE_SECONDS
            raise
        return self._connection

    async def _open(self, statement_seconds: float) -> tuple[Any, _Session]:
        connection = await connect_postgresql(
            self._location, statement_seconds=statement_seconds
        )
        try:
            return connection, tuple(await connection.fetchrow(sql.WHO_AM_I))
        except BaseException:
            connection.terminate()  # its session could not be ended later
            raise

    def _is_good(self, connection: Any) -> bool:  # noqa: ANN401  # asyncpg publishes no types
        return (
            connection is not None
            and not connection.is_closed()
            and servers_of(self._location).is_current(connection)
        )

    async def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    @asynccontextmanager
    async def _reads_for(self, mark: MarkRow) -> AsyncIterator[Any]:
        """As `_reads`; what becomes of the mark if it fails is unclear."""
        try:
            async with self._reads() as connection:
                yield connection
        except StoreUnavailableError:
            if self._reader_identity:
                self._keep_unclear([mark], self._reader_identity)
                self._schedule(_RETRY_SECONDS)
            raise

    @asynccontextmanager
    async def _reads(self) -> AsyncIterator[Any]:
        async with self._reading:
            with translate_errors():
                if not self._is_good(self._reader):
                    if self._reader is not None:
                        self._reader.terminate()
                    self._reader, self._reader_identity = await self._open(READ_SECONDS)
                yield self._reader


def _unavailable() -> StoreUnavailableError:
    return StoreUnavailableError("the database cannot be written")


def _is_away(error: Exception) -> bool:
    """Whether the database failed, rather than the data written."""
    if not isinstance(error, StoreUnavailableError | ConflictError):
        return False
    state: str = getattr(_cause(error), "sqlstate", None) or ""
    return state[:2] not in _FAULTS


def _cause(error: Exception) -> BaseException:
    return error.__cause__ or error


def _compare_owner(mark: MarkRow, owners: dict[bytes, str]) -> Exception | None:
    """Whose a mark is: None when it is this mint's own."""
    owner = owners.get(mark[0])
    if owner is None:
        return _unavailable()
    return None if owner == mark[1] else ReplayedError(owner)


async def _read_owners(connection: Any, mints: list[_Mint]) -> dict[bytes, str]:  # noqa: ANN401  # asyncpg publishes no types
    keys = [mint.mark[0] for mint in mints if mint.mark is not None]
    with translate_errors():
        rows = await connection.fetch(sql.OWNERS, keys) if keys else []
    return {row[0]: row[1] for row in rows}


async def _close(connection: Any) -> None:  # noqa: ANN401  # asyncpg publishes no types
    try:
        with translate_errors():
            await connection.close(timeout=_CLOSE_SECONDS)
    except StoreUnavailableError:
        connection.terminate()
