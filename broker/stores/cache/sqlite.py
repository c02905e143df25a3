"""The embedded cache: tables beside the ledger's, written by the same writer.

A session's record is written after the answer (a lost one is rewritten when the session
is next resolved), in batches; everything else waits for its commit. Reads are looked up
on the spot: in WAL mode readers never wait.
"""

import asyncio
import contextlib
import sqlite3
from datetime import datetime
from pathlib import Path
from typing import Any

from broker.model.account import AccountId
from broker.model.page import Page, PageRequest
from broker.runtime.clock import Clock
from broker.runtime.offload import begin
from broker.stores.cache.port import SessionRecord, decode_session, encode_session
from broker.stores.cache.rates import SharedRates
from broker.stores.connect import connect_sqlite
from broker.stores.errors import InvalidMarkerError, StoreUnavailableError
from broker.stores.sqlite_batch import BATCH
from broker.stores.sqlite_space import give_back
from broker.stores.sqlite_writer import SqliteWriter
from broker.stores.times import to_millis

_BUSY_SECONDS = 0.2
# What one page of the index takes in this time is written once. Another worker sees
# a session this much later.
_GATHER_SECONDS = 0.05
_PURGE_SECONDS = 30.0
_PURGE_ROWS = 1000
_RATES_SUFFIX = "-rates"
_ROW_DIGITS = 18

_PUT_SESSION = (
    "INSERT INTO cache_sessions (access_key_id, account, expires_at, body) VALUES "
)
# Every worker that meets a session puts it again: its row number stays, and with it
# its place in a listing that a client is paging through.
_OR_UPDATE = (
    " ON CONFLICT (access_key_id) DO UPDATE SET account = excluded.account, "
    "expires_at = excluded.expires_at, body = excluded.body"
)
_FIND_SESSION = (
    "SELECT body FROM cache_sessions WHERE access_key_id = ? AND expires_at > ?"
)
_LIST_SESSIONS = (
    "SELECT rowid, body FROM cache_sessions WHERE account = ? "
    "AND rowid > ? AND expires_at > ? ORDER BY rowid LIMIT ?"
)
_DROP_SESSION = "DELETE FROM cache_sessions WHERE access_key_id = ?"
_PUT = (
    "INSERT OR REPLACE INTO cache_entries (space, key, value, expires_at_ms) "
    "VALUES (?, ?, ?, ?)"
)
_GET = (
    "SELECT value FROM cache_entries WHERE space = ? AND key = ? AND expires_at_ms > ?"
)
_DROP = "DELETE FROM cache_entries WHERE space = ? AND key = ?"
_TAKE = _DROP + " RETURNING value, expires_at_ms"
_ADD = (
    "INSERT INTO cache_entries (space, key, value, expires_at_ms) "
    "VALUES (?, ?, ?, ?) ON CONFLICT (space, key) DO UPDATE SET "
    "value = excluded.value, expires_at_ms = excluded.expires_at_ms "
    "WHERE cache_entries.expires_at_ms <= ?"
)
_COUNT = (
    "INSERT INTO cache_entries (space, key, value, expires_at_ms) "
    "VALUES (?1, ?2, CAST(?3 AS BLOB), ?4) ON CONFLICT (space, key) DO UPDATE SET "
    "value = CAST(?3 + CASE WHEN expires_at_ms > ?5 "
    "THEN CAST(CAST(value AS TEXT) AS INTEGER) ELSE 0 END AS BLOB), "
    "expires_at_ms = CASE WHEN expires_at_ms > ?5 THEN expires_at_ms ELSE ?4 END "
    "RETURNING value"
)
_PURGE_SESSIONS = (
    "DELETE FROM cache_sessions WHERE access_key_id IN "
    "(SELECT access_key_id FROM cache_sessions WHERE expires_at <= ? LIMIT ?)"
)
_PURGE_ENTRIES = (
    "DELETE FROM cache_entries WHERE (space, key) IN "
    "(SELECT space, key FROM cache_entries WHERE expires_at_ms <= ? LIMIT ?)"
)

_SessionRow = tuple[str, str, int, str]


class SqliteCache:
    """See ``Cache``."""

    def __init__(self, path: Path, writer: SqliteWriter, clock: Clock) -> None:
        self._path = path
        self._writer = writer
        self._clock = clock
        self._connection: sqlite3.Connection | None = None
        self._rates: SharedRates | None = None
        self._purger: asyncio.Task[None] | None = None
        # Written behind: the records that wait, and those that only we can read yet.
        self._waiting: dict[str, SessionRecord] = {}
        self._unwritten: dict[str, SessionRecord] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        self._writer.start()
        try:
            self._rates = SharedRates(
                self._path.with_name(self._path.name + _RATES_SUFFIX)
            )
        except OSError as error:
            raise StoreUnavailableError("the data folder cannot be written") from error
        self._purger = begin(self._purge_forever(), "cache-purge")

    async def close(self) -> None:
        if self._purger is not None:
            self._purger.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._purger
        if self._timer is not None:
            self._timer.cancel()
            self._submit()
        await self._writer.close()
        if self._rates is not None:
            self._rates.close()
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def ping(self) -> None:
        self._rows("SELECT 1 FROM cache_entries LIMIT 1", ())

    async def put_session(self, record: SessionRecord) -> None:
        self._unwritten[record.access_key_id] = record
        self._waiting[record.access_key_id] = record
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(_GATHER_SECONDS, self._submit)

    async def find_session(self, access_key_id: str) -> SessionRecord | None:
        now = self._seconds()
        unwritten = self._unwritten.get(access_key_id)
        if unwritten is not None:
            return unwritten if unwritten.expires_at > now else None
        rows = self._rows(_FIND_SESSION, (access_key_id, now))
        return decode_session(rows[0][0]) if rows else None

    async def drop_session(self, access_key_id: str) -> None:
        self._unwritten.pop(access_key_id, None)
        self._waiting.pop(access_key_id, None)
        await self._run(_DROP_SESSION, (access_key_id,))

    async def list_sessions(
        self, account: AccountId, page: PageRequest
    ) -> Page[SessionRecord]:
        # Cancelling a listing cancels neither the write nor other reads of it.
        await asyncio.shield(self._write_waiting())
        after = (account, _read_marker(page.marker), self._seconds(), page.limit + 1)
        rows = self._rows(_LIST_SESSIONS, after)
        listed_rows = rows[: page.limit]
        records = [decode_session(body) for _, body in listed_rows]
        more = len(rows) > page.limit and bool(listed_rows)
        return Page(
            tuple(record for record in records if record is not None),
            str(listed_rows[-1][0]) if more else None,
        )

    async def put(
        self, space: str, key: bytes, value: bytes, *, expires_at: datetime
    ) -> None:
        values = (space, key, value, to_millis(expires_at))
        await self._run(_PUT, values)

    async def get(self, space: str, key: bytes) -> bytes | None:
        rows = self._rows(_GET, (space, key, self._millis()))
        return bytes(rows[0][0]) if rows else None

    async def take(self, space: str, key: bytes) -> bytes | None:
        now = self._millis()
        rows = await self._writer.run(
            lambda c: c.execute(_TAKE, (space, key)).fetchall()
        )
        return next((value for value, expires_at in rows if expires_at > now), None)

    async def drop(self, space: str, key: bytes) -> None:
        await self._run(_DROP, (space, key))

    async def add(
        self, space: str, key: bytes, value: bytes, *, expires_at: datetime
    ) -> bool:
        now = self._millis()
        values = (space, key, value, to_millis(expires_at), now)
        return await self._run(_ADD, values) == 1

    async def count(
        self, space: str, key: bytes, amount: int, *, expires_at: datetime
    ) -> int:
        values = (space, key, amount, to_millis(expires_at), self._millis())
        rows = await self._writer.run(lambda c: c.execute(_COUNT, values).fetchall())
        return int(rows[0][0])

    async def hit(self, space: str, key: bytes, amount: int = 1) -> int:
        if self._rates is None:
            raise StoreUnavailableError("the cache is closed")
        return self._rates.count(space, key, self._seconds(), amount)

    def _seconds(self) -> int:
        return int(self._clock.now().timestamp())

    def _millis(self) -> int:
        return to_millis(self._clock.now())

    def _rows(
        self, statement: str, values: tuple[str | bytes | int, ...]
    ) -> list[tuple[Any, ...]]:
        try:
            if self._connection is None:
                self._connection = connect_sqlite(
                    self._path, busy_seconds=_BUSY_SECONDS
                )
            return self._connection.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise StoreUnavailableError("the database cannot be read") from error

    async def _run(self, statement: str, values: tuple[str | bytes | int, ...]) -> int:
        return await self._writer.run(
            lambda connection: connection.execute(statement, values).rowcount
        )

    def _submit(self) -> None:
        self._timer = None
        with contextlib.suppress(StoreUnavailableError):
            self._write_waiting()

    def _write_waiting(self) -> asyncio.Future[None]:
        """Have the writer write what waits; returns once all of it is written."""
        records, self._waiting = self._waiting, {}
        rows: list[_SessionRow] = [
            (key, record.account, record.expires_at, encode_session(record))
            for key, record in records.items()
        ]
        written = self._writer.run(lambda connection: _put_sessions(connection, rows))
        written.add_done_callback(lambda written: self._forget(written, records))
        return written

    def _forget(
        self, written: asyncio.Future[None], records: dict[str, SessionRecord]
    ) -> None:
        """Read these from the database again, unless they were put again.

        A cache may lose failed writes; a listing caller gets the error.
        """
        if not written.cancelled():
            written.exception()
        for key, record in records.items():
            if self._unwritten.get(key) is record:
                del self._unwritten[key]

    async def _purge_forever(self) -> None:
        while True:
            await asyncio.sleep(_PURGE_SECONDS)
            with contextlib.suppress(StoreUnavailableError):
                await self.purge()

    async def purge(self) -> None:
        """Remove what has expired, in portions."""
        for statement, before in (
            (_PURGE_SESSIONS, self._seconds()),
            (_PURGE_ENTRIES, self._millis()),
        ):
            while await self._run(statement, (before, _PURGE_ROWS)) == _PURGE_ROWS:
                pass
        await give_back(self._writer)


def _put_sessions(connection: sqlite3.Connection, rows: list[_SessionRow]) -> None:
    for start in range(0, len(rows), BATCH):
        some = rows[start : start + BATCH]
        connection.execute(
            _PUT_SESSION + ", ".join(["(?, ?, ?, ?)"] * len(some)) + _OR_UPDATE,
            [value for row in some for value in row],
        )


def _read_marker(marker: str | None) -> int:
    """The row number after which a page begins."""
    if marker is None:
        return 0
    if not (marker.isascii() and marker.isdecimal() and len(marker) <= _ROW_DIGITS):
        raise InvalidMarkerError("the marker is not one of this list's")
    return int(marker)
