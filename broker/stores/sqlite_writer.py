"""The one thread of a worker that writes ledger and embedded cache to SQLite.

Whatever waits when a transaction begins shares its commit, and its fsync. Each item
has an outcome of its own, known only after the commit: a replayed mint costs the
others nothing. The directory's transactions go their own way (they are rare) and
take turns with this thread by SQLite's lock.
"""

import asyncio
import contextlib
import logging
import queue
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

from msgspec import Struct

from broker.stores.audit_rows import AuditRow, MarkRow
from broker.stores.connect import connect_sqlite
from broker.stores.errors import StoreUnavailableError
from broker.stores.spool import Spool, SpoolFullError
from broker.stores.sqlite_batch import (
    BATCH,
    DRAIN,
    Job,
    QueuedMint,
    QueuedWrite,
    Result,
    deliver,
    give_back,
    insert_mints,
    insert_rows,
    is_away,
    is_busy,
    leave_unclear,
    refuse,
    resolve,
    run_call,
)

BUSY_SECONDS = 2.0
_BUSY_PAUSE_SECONDS = 0.0002
_SUBMIT_SECONDS = 0.05
_GATHER_SECONDS = 0.0001
_GATHER_SECONDS_MAX = 0.0003
_RETRY_SECONDS = 1.0
_WAITING_ROWS_MAX = 10_000
# Proofs of mints beyond these stay spent.
_UNCLEAR_MAX = 10_000
# Of the spool at a time: no mint, of any worker, waits for more than these.
_DRAIN_ROWS = 1000
# A little longer than another writer may hold the database.
_ROOM_SECONDS = BUSY_SECONDS + 0.5
_ROOM_PAUSE_SECONDS = 0.005

_log = logging.getLogger(__name__)


class _Stop:
    pass


class _Submission(Struct, frozen=True):
    """What one turn of the loop handed over: writes with a caller, and records."""

    items: list[QueuedMint | QueuedWrite]
    rows: list[AuditRow]


class SqliteWriter:
    """Owns the writing connection of one worker; see the module.

    ``spool`` keeps appended records while the database cannot be written; a writer
    that serves a cache alone has none.
    """

    def __init__(
        self, path: Path, spool: Spool | None, *, busy_seconds: float = BUSY_SECONDS
    ) -> None:
        self._path = path
        self._busy_seconds = busy_seconds
        self._spool = spool
        self._queue: queue.SimpleQueue[_Submission | _Stop] = queue.SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._connection: sqlite3.Connection | None = None
        self._kept: list[AuditRow] = []
        self._spooled: list[AuditRow] = []  # what is still to come of the spool
        self._unclear: list[MarkRow] = []  # outcome unknown; callers got an error
        self._rows: list[AuditRow] = []
        self._items: list[QueuedMint | QueuedWrite] = []
        # Each is written by one thread alone: taking from a number that the other
        # one adds to would lose some of them.
        self._rows_taken = 0
        self._rows_done = 0
        self._last_together = 0

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
            self._submit()
            self._queue.put(_Stop())
            await asyncio.to_thread(thread.join)

    def mint(self, row: AuditRow, mark: MarkRow | None) -> asyncio.Future[None]:
        """Record and mark, both or neither; see ``Ledger.mint``."""
        future = self._future()
        self._add(QueuedMint(row, mark, future))
        return future

    def append(self, row: AuditRow) -> None:
        """A record without a waiting caller.

        Such records reach the thread together: waking it for each of them would cost
        a read more than its own work.

        Raises:
            StoreUnavailableError: too many wait already.
        """
        if self._thread is None or self._loop is None or self.is_full:
            raise StoreUnavailableError("the audit trail takes no more records")
        self._rows_taken += 1
        self._rows.append(row)
        if len(self._rows) == 1:
            self._loop.call_later(_SUBMIT_SECONDS, self._submit)

    @property
    def is_full(self) -> bool:
        """Whether as many records wait as may."""
        return self._rows_taken - self._rows_done >= _WAITING_ROWS_MAX

    @property
    def is_behind(self) -> bool:
        """Whether records wait that the database did not take."""
        return bool(self._kept) or not (self._spool is None or self._spool.is_empty)

    async def wait_for_room(self) -> None:
        """Slow down appending callers while records come faster than they are written.

        Not when they can be kept nowhere: that will not be over in a moment.
        """
        until = time.monotonic() + _ROOM_SECONDS
        while self.is_full and not self._kept and time.monotonic() < until:  # noqa: ASYNC110  # the other thread knows no events
            await asyncio.sleep(_ROOM_PAUSE_SECONDS)

    def run(self, job: Job[Result]) -> asyncio.Future[Result]:
        """Run one writing statement inside the next shared transaction."""
        future = self._future()
        self._add(QueuedWrite(job, future))
        return future

    def _add(self, item: QueuedMint | QueuedWrite) -> None:
        # What one turn of the loop brings reaches the thread at the turn's end, at
        # once: each waking costs both threads the interpreter lock, and each other.
        self._items.append(item)
        if len(self._items) == 1 and self._loop is not None:
            self._loop.call_soon(self._submit)

    def _submit(self) -> None:
        if self._rows or self._items:
            handed = _Submission(self._items, self._rows)
            self._items, self._rows = [], []
            self._queue.put(handed)

    def _future(self) -> asyncio.Future[Any]:
        if self._thread is None or self._loop is None:
            raise StoreUnavailableError("the store is closed")
        return self._loop.create_future()

    # From here on everything runs in the thread.

    def _work(self) -> None:
        if self._spool is not None:
            self._spool.adopt()
        running = True
        while running or self._spooled:
            urgent: list[QueuedMint | QueuedWrite] = []
            rows = [*self._kept]
            for handed in self._gather():
                if isinstance(handed, _Stop):
                    running = False
                else:
                    urgent += handed.items
                    rows += handed.rows
            try:
                refused = [] if self._write(urgent, rows) else rows
            except Exception:  # noqa: BLE001  # callers must not wait forever
                _log.exception("the writer failed")
                self._drop_connection()
                refuse(urgent)
                refused = self._insert(rows)
            self._rows_done += len(rows) - len(refused)
            self._keep(refused)
            self._settle(urgent)
            if refused:
                self._spooled = []  # the spool has got more
            elif self._spool is not None and not self._spool.is_empty:
                self._drain(self._spool)
        self._drop_connection()
        if self._spool is not None:
            self._spool.close()

    def _gather(self) -> list[_Submission | _Stop]:
        get = self._queue.get
        idle = not self._kept and (self._spool is None or self._spool.is_empty)
        wait_seconds = None if idle else 0 if self._spooled else _RETRY_SECONDS
        try:
            batch = [get(timeout=wait_seconds)]
        except queue.Empty:
            return []
        if self._last_together:
            # Callers that arrived together tend to do so again, so a short wait makes
            # one commit of two. A lone caller never waits.
            time.sleep(min(_GATHER_SECONDS_MAX, _GATHER_SECONDS * self._last_together))
        try:
            while len(batch) < BATCH:
                batch.append(get(block=False))
        except queue.Empty:
            pass
        together = sum(
            len(handed.items) for handed in batch if isinstance(handed, _Submission)
        )
        self._last_together = together if together > 1 else 0
        return batch

    def _write(
        self, urgent: list[QueuedMint | QueuedWrite], rows: list[AuditRow]
    ) -> bool:
        mints = [item for item in urgent if isinstance(item, QueuedMint)]
        committing = False
        try:
            connection = self._connection or self._connect()
            self._begin(connection)
            if self._unclear:
                give_back(connection, self._unclear)
            if mints:
                insert_mints(connection, mints)
            for item in urgent:
                if isinstance(item, QueuedWrite):
                    run_call(connection, item)
            if rows:
                insert_rows(connection, rows)
            committing = True
            connection.execute("COMMIT")
            self._unclear = []
        except sqlite3.Error as error:
            if not is_away(error):
                raise
            _log.warning("cannot write to the database: %s", error)
            self._drop_connection()
            refuse(urgent)
            if committing:
                self._look_after(mints)
            return False
        return True

    def _look_after(self, mints: list[QueuedMint]) -> None:
        """A commit failed: read what became of each mint."""
        try:
            connection = self._connect()
            for mint in mints:
                mint.outcome = resolve(connection, mint)
        except sqlite3.Error:
            self._drop_connection()
            leave_unclear(mints)
            marks = [mint.mark for mint in mints if mint.mark is not None]
            self._unclear += marks[: _UNCLEAR_MAX - len(self._unclear)]

    def _connect(self) -> sqlite3.Connection:
        self._connection = connect_sqlite(self._path, busy_seconds=self._busy_seconds)
        self._connection.execute("PRAGMA busy_timeout=0")
        return self._connection

    def _begin(self, connection: sqlite3.Connection) -> None:
        # SQLite's own waiting sleeps for milliseconds at a time, many commits long:
        # two workers would mint a quarter of what one does.
        until = time.monotonic() + self._busy_seconds
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if not is_busy(error) or time.monotonic() > until:
                    raise
                time.sleep(_BUSY_PAUSE_SECONDS)
            else:
                return

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()  # rolls back what is open

    def _drain(self, spool: Spool) -> None:
        """Write the next portion of the spool; after the last one it is empty."""
        try:
            rows = self._spooled or spool.rows()
            refused = self._insert(rows[:_DRAIN_ROWS])
            self._spooled = [] if refused else rows[_DRAIN_ROWS:]
            if not refused and not self._spooled:
                spool.clear()
        except OSError as error:
            _log.error("cannot empty the audit spool: %s", error)

    def _insert(self, rows: list[AuditRow]) -> list[AuditRow]:
        """Insert records unless they are there; those that are to be tried again.

        A record that is wrong itself is lost alone, and logged whole.
        """
        try:
            connection = self._connection or self._connect()
            self._begin(connection)
            connection.executemany(DRAIN, [(*row, row[0]) for row in rows])
            connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001  # a bug must not cost the others
            self._drop_connection()
            if is_away(error):
                _log.warning("cannot write audit records: %s", error)
                return rows
            if len(rows) <= 1:
                _log.exception("an audit record is lost: %s", rows)
                return []
            half = len(rows) // 2
            return self._insert(rows[:half]) + self._insert(rows[half:])
        return []

    def _keep(self, rows: list[AuditRow]) -> None:
        self._kept = rows
        if self._spool is not None:
            with contextlib.suppress(SpoolFullError):
                self._spool.put(rows)
                self._kept = []
                self._rows_done += len(rows)

    def _settle(self, items: list[QueuedMint | QueuedWrite]) -> None:
        if items and self._loop is not None:
            try:
                self._loop.call_soon_threadsafe(deliver, items)
            except RuntimeError:
                _log.debug("no caller waits any more: the loop is closed")
