"""The one thread of a worker that writes ledger and embedded cache to SQLite.

Whatever waits when a transaction begins shares its commit, and its fsync. Each item
has an outcome of its own, known only after the commit: a replayed mint costs the
others nothing. The directory's transactions go their own way (they are rare) and
take turns with this thread by SQLite's lock.
"""

import asyncio
import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from broker.stores.database import connect_sqlite
from broker.stores.errors import ReplayedError, StoreUnavailableError
from broker.stores.ledger.rows import (
    AUDIT_COLUMNS,
    MARK_COLUMNS,
    AuditRow,
    MarkRow,
)
from broker.stores.ledger.spool import Spool, SpoolFullError

Result = TypeVar("Result")
Job = Callable[[sqlite3.Connection], Result]

_BATCH = 128
_GATHER_SECONDS = 0.05
_RETRY_SECONDS = 1.0
_BUSY_SECONDS = 2.0
_MAX_WAITING_ROWS = 10_000

_AUDIT_HEAD = f"INSERT INTO audit ({', '.join(AUDIT_COLUMNS)}) VALUES "  # noqa: S608  # constants
_AUDIT_VALUES = f"({', '.join('?' * len(AUDIT_COLUMNS))})"
_MARK_HEAD = f"INSERT OR IGNORE INTO replay_marks ({', '.join(MARK_COLUMNS)}) VALUES "  # noqa: S608  # constants
_MARK_VALUES = f"({', '.join('?' * len(MARK_COLUMNS))})"
_FIND_MARK = "SELECT mint_id FROM replay_marks WHERE key = ?"
_FIND_EVENT = "SELECT 1 FROM audit WHERE event_id = ?"
_DRAIN = (
    f"INSERT INTO audit ({', '.join(AUDIT_COLUMNS)}) "  # noqa: S608  # constants
    f"SELECT {', '.join('?' * len(AUDIT_COLUMNS))} "
    "WHERE NOT EXISTS (SELECT 1 FROM audit WHERE event_id = ?)"
)

_log = logging.getLogger(__name__)


class _Mint:
    __slots__ = ("future", "mark", "outcome", "row")
    result = None

    def __init__(
        self, row: AuditRow, mark: MarkRow | None, future: asyncio.Future[Any]
    ) -> None:
        self.row = row
        self.mark = mark
        self.future = future
        self.outcome: BaseException | None = None


class _Call:
    __slots__ = ("future", "job", "outcome", "result")

    def __init__(self, job: Job[Any], future: asyncio.Future[Any]) -> None:
        self.job = job
        self.future = future
        self.outcome: BaseException | None = None
        self.result: object = None


class _Stop:
    pass


_Item = _Mint | _Call | AuditRow | _Stop


class SqliteWriter:
    """Owns the writing connection of one worker; see the module."""

    def __init__(self, path: Path, spool: Spool) -> None:
        self._path = path
        self._spool = spool
        self._queue: queue.SimpleQueue[_Item] = queue.SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._connection: sqlite3.Connection | None = None
        self._kept: list[AuditRow] = []
        self._waiting_rows = 0

    def start(self) -> None:
        """Start the thread; a second start does nothing."""
        if self._thread is None:
            self._loop = asyncio.get_running_loop()
            self._thread = threading.Thread(
                target=self._work, name="sqlite-writer", daemon=True
            )
            self._thread.start()

    async def close(self) -> None:
        """Write out what waits, then end the thread."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._queue.put(_Stop())
            await asyncio.to_thread(thread.join)

    def mint(self, row: AuditRow, mark: MarkRow | None) -> asyncio.Future[None]:
        """Record and mark, both or neither; see ``Ledger.mint``."""
        future = self._future()
        self._queue.put(_Mint(row, mark, future))
        return future

    def append(self, row: AuditRow) -> None:
        """A record that nobody waits for.

        Raises:
            StoreUnavailableError: too many wait already.
        """
        if self._thread is None or self._waiting_rows >= _MAX_WAITING_ROWS:
            raise StoreUnavailableError("the audit trail takes no more records")
        self._waiting_rows += 1
        self._queue.put(row)

    def run(self, job: Job[Result]) -> asyncio.Future[Result]:
        """Run one writing statement inside the next shared transaction."""
        future = self._future()
        self._queue.put(_Call(job, future))
        return future

    def _future(self) -> asyncio.Future[Any]:
        if self._thread is None or self._loop is None:
            raise StoreUnavailableError("the store is closed")
        return self._loop.create_future()

    # From here on everything runs in the thread.

    def _work(self) -> None:
        self._spool.adopt()
        running = True
        while running:
            batch = self._gather()
            running = not any(isinstance(item, _Stop) for item in batch)
            rows = self._kept + [item for item in batch if isinstance(item, tuple)]
            urgent = [item for item in batch if isinstance(item, _Mint | _Call)]
            try:
                written = self._write(urgent, rows)
            except Exception:  # noqa: BLE001  # nobody may wait for ever for a bug
                _log.exception("the writer failed")
                self._drop_connection()
                _refuse(urgent)
                written = True
            if written:
                self._kept = []
                self._waiting_rows -= len(rows)
            elif rows:
                self._keep(rows)
            self._settle(urgent)
            if written and not self._spool.is_empty:
                self._drain_spool()
        self._drop_connection()
        self._spool.close()

    def _gather(self) -> list[_Item]:
        get = self._queue.get
        idle = self._spool.is_empty and not self._kept
        try:
            batch = [get(timeout=None if idle else _RETRY_SECONDS)]
        except queue.Empty:
            return []
        # Records alone are in no hurry, and an fsync is dear.
        unhurried = type(batch[0]) is tuple
        until = time.monotonic() + _GATHER_SECONDS
        try:
            while len(batch) < _BATCH:
                if unhurried:
                    batch.append(get(timeout=max(0, until - time.monotonic())))
                    unhurried = type(batch[-1]) is tuple
                else:
                    batch.append(get(block=False))
        except queue.Empty:
            pass
        return batch

    def _write(self, urgent: list[_Mint | _Call], rows: list[AuditRow]) -> bool:
        mints = [item for item in urgent if isinstance(item, _Mint)]
        committing = False
        try:
            connection = self._connection or self._connect()
            connection.execute("BEGIN IMMEDIATE")
            if mints:
                _insert_mints(connection, mints)
            for item in urgent:
                if isinstance(item, _Call):
                    _run_call(connection, item)
            if rows:
                _insert_rows(connection, rows)
            committing = True
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            _log.warning("cannot write to the database: %s", error)
            self._drop_connection()
            _refuse(urgent)
            if committing:
                self._look_after(mints)
            return False
        return True

    def _look_after(self, mints: list[_Mint]) -> None:
        """A commit failed: read what became of each mint."""
        try:
            connection = self._connect()
            for mint in mints:
                mint.outcome = _resolve(connection, mint)
        except sqlite3.Error:
            self._drop_connection()

    def _connect(self) -> sqlite3.Connection:
        self._connection = connect_sqlite(self._path, busy_seconds=_BUSY_SECONDS)
        return self._connection

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()  # rolls back what is open

    def _drain_spool(self) -> None:
        # A spooled record may have been written by a commit of unclear outcome.
        rows = self._spool.rows()
        try:
            connection = self._connection or self._connect()
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(_DRAIN, [(*row, row[0]) for row in rows])
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            _log.warning("cannot write spooled audit records: %s", error)
            self._drop_connection()
        else:
            self._spool.clear()

    def _keep(self, rows: list[AuditRow]) -> None:
        try:
            self._spool.put(rows)
        except SpoolFullError:
            self._kept = rows
        else:
            self._kept = []
            self._waiting_rows -= len(rows)

    def _settle(self, items: list[_Mint | _Call]) -> None:
        if items and self._loop is not None:
            try:
                self._loop.call_soon_threadsafe(_deliver, items)
            except RuntimeError:
                _log.debug("nobody waits any more: the loop is closed")


def _refuse(items: list[_Mint | _Call]) -> None:
    for item in items:
        item.outcome = StoreUnavailableError("the database cannot be written")


def _deliver(items: list[_Mint | _Call]) -> None:
    for item in items:
        future = item.future
        if future.done():
            continue  # its caller gave up
        if item.outcome is not None:
            future.set_exception(item.outcome)
        else:
            future.set_result(item.result)


def _insert_mints(connection: sqlite3.Connection, mints: list[_Mint]) -> None:
    marks = [mint.mark for mint in mints if mint.mark is not None]
    if marks:
        statement = _MARK_HEAD + ", ".join([_MARK_VALUES] * len(marks))
        values = [value for mark in marks for value in mark]
        if connection.execute(statement, values).rowcount != len(marks):
            # Some key is there already: begin again and look at each.
            connection.execute("ROLLBACK")
            connection.execute("BEGIN IMMEDIATE")
            for mint in mints:
                _insert_mint(connection, mint)
            return
    _insert_rows(connection, [mint.row for mint in mints])


def _insert_mint(connection: sqlite3.Connection, mint: _Mint) -> None:
    mark = mint.mark
    if (
        mark is not None
        and connection.execute(_MARK_HEAD + _MARK_VALUES, mark).rowcount != 1
    ):
        mint.outcome = _compare_owner(connection, mark)
        return
    _insert_rows(connection, [mint.row])


def _compare_owner(
    connection: sqlite3.Connection, mark: MarkRow
) -> ReplayedError | StoreUnavailableError | None:
    """Whose a mark is: None when it is this mint's own."""
    owner = connection.execute(_FIND_MARK, mark[:1]).fetchone()
    if owner is None:
        return StoreUnavailableError("the database cannot be written")
    return None if owner[0] == mark[1] else ReplayedError("the proof was spent before")


def _insert_rows(connection: sqlite3.Connection, rows: list[AuditRow]) -> None:
    # One statement for many rows: each step of a statement lets the interpreter
    # lock go, and a busy event loop is slow to give it back.
    for start in range(0, len(rows), _BATCH):
        some = rows[start : start + _BATCH]
        connection.execute(
            _AUDIT_HEAD + ", ".join([_AUDIT_VALUES] * len(some)),
            [value for row in some for value in row],
        )


def _run_call(connection: sqlite3.Connection, call: _Call) -> None:
    try:
        call.result = call.job(connection)
    except sqlite3.Error as error:
        if not connection.in_transaction:
            raise  # some errors roll everything back
        call.outcome = StoreUnavailableError("the write failed")
        call.outcome.__cause__ = error


def _resolve(connection: sqlite3.Connection, mint: _Mint) -> BaseException | None:
    if mint.mark is not None:
        return _compare_owner(connection, mint.mark)
    if connection.execute(_FIND_EVENT, mint.row[:1]).fetchone():
        return None
    return StoreUnavailableError("the database cannot be written")
