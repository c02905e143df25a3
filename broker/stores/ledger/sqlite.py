"""The ledger in the embedded database; writes go through the worker's one writer."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from broker.model.account import AccountId
from broker.model.audit import ActivityCounts, AuditFilter, AuditRecord
from broker.model.page import Page, PageRequest
from broker.stores.audit_rows import (
    MarkRow,
    ReplayMark,
    decode_audit,
    encode_audit,
    encode_mark,
)
from broker.stores.connect import connect_sqlite
from broker.stores.errors import ReplayedError, StoreUnavailableError
from broker.stores.ledger import counts
from broker.stores.ledger.port import NameOf
from broker.stores.ledger.search import Search
from broker.stores.sqlite_batch import give_back as give_back_marks
from broker.stores.sqlite_space import give_back
from broker.stores.sqlite_writer import SqliteWriter
from broker.stores.times import to_micros

Result = TypeVar("Result")

_BUSY_SECONDS = 2.0
_PURGE_ROWS = 1000
_FIND = (
    "SELECT event_id, at, account, body FROM audit WHERE event_id = ? "
    "ORDER BY seq DESC LIMIT 1"
)
# In small portions, so that no mint waits long for the write lock.
_PURGE_MARKS = (
    "DELETE FROM replay_marks WHERE key IN "
    "(SELECT key FROM replay_marks WHERE expires_at < ? LIMIT ?)"
)
_PURGE_AUDIT = (
    "DELETE FROM audit WHERE seq IN "
    "(SELECT seq FROM audit WHERE at < ? ORDER BY at, seq LIMIT ?)"
)
_RESERVE = (
    "INSERT INTO replay_marks (key, mint_id, expires_at) VALUES (?, ?, ?)"
    " ON CONFLICT DO NOTHING"
)
_OWNER = "SELECT mint_id FROM replay_marks WHERE key = ?"
_PLACE, _COUNTS, _PURGE_COUNTS, _ADD, _ADVANCE, _REACHED = map(
    counts.in_sqlite,
    (
        *(counts.PLACE, counts.READ, counts.PURGE),
        *(counts.ADD, counts.ADVANCE, counts.REACHED),
    ),
)


def _reserve(connection: sqlite3.Connection, row: MarkRow) -> str:
    """Insert a mark unless its key is there; whose mark it is."""
    connection.execute(_RESERVE, row)
    (owner,) = connection.execute(_OWNER, row[:1]).fetchone()
    return str(owner)


class SqliteLedger:
    """See ``Ledger``; the writer is shared with the embedded cache."""

    def __init__(self, path: Path, writer: SqliteWriter) -> None:
        self._path = path
        self._writer = writer
        self._reads = ThreadPoolExecutor(1, "sqlite-ledger")
        self._connection: sqlite3.Connection | None = None

    async def start(self) -> None:
        self._writer.start()

    async def close(self) -> None:
        await self._writer.close()
        await asyncio.to_thread(self._reads.shutdown)
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @property
    def is_behind(self) -> bool:
        return self._writer.is_behind

    def mint(self, record: AuditRecord, mark: ReplayMark | None) -> Awaitable[None]:
        row = encode_audit(record)
        return self._writer.mint(row, None if mark is None else encode_mark(mark))

    async def reserve(self, mark: ReplayMark) -> None:
        row = encode_mark(mark)
        owner = await self._writer.run(lambda c: _reserve(c, row))
        if owner != mark.mint_id:
            raise ReplayedError(owner)

    async def release(self, mark: ReplayMark) -> None:
        rows = [encode_mark(mark)]
        await self._writer.run(lambda c: give_back_marks(c, rows))

    async def append(self, record: AuditRecord) -> None:
        if self._writer.is_full:
            await self._writer.wait_for_room()
        self._writer.append(encode_audit(record))

    async def find(self, event_id: str) -> AuditRecord | None:
        def read(connection: sqlite3.Connection) -> AuditRecord | None:
            row = connection.execute(_FIND, (event_id,)).fetchone()
            return None if row is None else decode_audit(*row)

        return await self._read(read)

    async def search(
        self, filters: AuditFilter, page: PageRequest
    ) -> Page[AuditRecord]:
        search = Search.of(filters, page, lambda _: "?")

        def read(connection: sqlite3.Connection) -> Page[AuditRecord]:
            end = None
            if search.needs_window:
                made = search.window_end()
                end = connection.execute(made.text, made.values).fetchone()
            made = search.rows(end)
            rows = connection.execute(made.text, made.values).fetchall()
            return search.read_page(rows, end)

        return await self._read(read)

    async def count(self, name_of: NameOf) -> bool:
        portion = await self._read(lambda c: _read_portion(c, name_of))
        if portion.is_empty:
            return False
        # Refused where another process was quicker; either way there may be more.
        await self._writer.run(lambda c: _add_portion(c, portion))
        return True

    def forget_settled(self) -> None:
        """A file has one writer at a time: every record is settled."""

    async def counts(
        self, account: AccountId, since: datetime, *, bucket_hours: int
    ) -> ActivityCounts:
        first = to_micros(since) // counts.HOUR
        values = (bucket_hours, account, first - first % bucket_hours)

        def read(connection: sqlite3.Connection) -> ActivityCounts:
            return counts.read_counts(
                connection.execute(_PLACE).fetchall(),
                connection.execute(_COUNTS, values).fetchall(),
            )

        return await self._read(read)

    async def purge(self, *, marks_before: datetime, audit_before: datetime) -> None:
        for statement, before in (
            (_PURGE_MARKS, to_micros(marks_before)),
            (_PURGE_AUDIT, to_micros(audit_before)),
        ):
            while await self._delete(statement, before) == _PURGE_ROWS:
                pass
        hour = to_micros(audit_before) // counts.HOUR
        await self._writer.run(lambda c: c.execute(_PURGE_COUNTS, (hour,)).rowcount)
        await give_back(self._writer)

    async def _delete(self, statement: str, before: int) -> int:
        return await self._writer.run(
            lambda c: c.execute(statement, (before, _PURGE_ROWS)).rowcount
        )

    async def _read(self, query: Callable[[sqlite3.Connection], Result]) -> Result:
        def work() -> Result:
            try:
                if self._connection is None:
                    self._connection = connect_sqlite(
                        self._path, busy_seconds=_BUSY_SECONDS
                    )
                return query(self._connection)
            except sqlite3.Error as error:
                raise StoreUnavailableError("the database cannot be read") from error

        return await asyncio.get_running_loop().run_in_executor(self._reads, work)


def _read_portion(connection: sqlite3.Connection, name_of: NameOf) -> counts.Portion:
    def read(statement: str, *values: int) -> list[Any]:
        return connection.execute(counts.in_sqlite(statement), values).fetchall()

    after = dict(read(counts.PLACE)).get("seq", 0)
    # Sequence numbers are given and committed in one order: there is one writer.
    ((newest,),) = read(counts.NEWEST)
    ((end, newest_at),) = read(counts.PORTION, after, newest, counts.PORTION_ROWS)
    return counts.count_portion(
        (after, end, newest_at),
        read(counts.SIGN_INS, after, end),
        read(counts.FAILURES, after, end),
        name_of,
    )


def _add_portion(connection: sqlite3.Connection, portion: counts.Portion) -> bool:
    connection.execute(counts.BEGIN)
    place = (portion.end, portion.after)
    if connection.execute(_ADVANCE, place).rowcount != 1:
        return False
    connection.executemany(_ADD, portion.rows)
    connection.execute(_REACHED, (portion.newest_at,))
    return True
