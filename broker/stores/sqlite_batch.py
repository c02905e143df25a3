"""One shared transaction on SQLite: its items, its statements, each one's outcome.

Runs in the writer's thread; see ``sqlite_writer``.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from typing import Any, TypeVar

from broker.stores.audit_rows import AUDIT_COLUMNS, MARK_COLUMNS, AuditRow, MarkRow
from broker.stores.errors import (
    OutcomeUnknownError,
    ReplayedError,
    StoreUnavailableError,
)

Result = TypeVar("Result")
Job = Callable[[sqlite3.Connection], Result]

BATCH = 128
_PRIMARY_CODE = 0xFF
_FAULTS = (
    sqlite3.DataError,
    sqlite3.IntegrityError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
)
"""Values that are wrong and rules that they break."""

_AUDIT_HEAD = f"INSERT INTO audit ({', '.join(AUDIT_COLUMNS)}) VALUES "  # noqa: S608  # constants
_AUDIT_VALUES = f"({', '.join('?' * len(AUDIT_COLUMNS))})"
_MARK_HEAD = f"INSERT OR IGNORE INTO replay_marks ({', '.join(MARK_COLUMNS)}) VALUES "  # noqa: S608  # constants
_MARK_VALUES = f"({', '.join('?' * len(MARK_COLUMNS))})"
_FIND_MARK = "SELECT mint_id FROM replay_marks WHERE key = ?"
_FIND_EVENT = "SELECT 1 FROM audit WHERE event_id = ?"
DRAIN = (
    f"INSERT INTO audit ({', '.join(AUDIT_COLUMNS)}) "  # noqa: S608  # constants
    f"SELECT {', '.join('?' * len(AUDIT_COLUMNS))} "
    "WHERE NOT EXISTS (SELECT 1 FROM audit WHERE event_id = ?)"
)


class QueuedMint:
    """A record and its mark, and what became of them."""

    __slots__ = ("future", "mark", "outcome", "row")
    result = None

    def __init__(
        self, row: AuditRow, mark: MarkRow | None, future: asyncio.Future[Any]
    ) -> None:
        self.row = row
        self.mark = mark
        self.future = future
        self.outcome: BaseException | None = None


class QueuedWrite:
    """Some other write, and what it returned."""

    __slots__ = ("future", "job", "outcome", "result")

    def __init__(self, job: Job[Any], future: asyncio.Future[Any]) -> None:
        self.job = job
        self.future = future
        self.outcome: BaseException | None = None
        self.result: object = None


def is_busy(error: sqlite3.OperationalError) -> bool:
    """Whether another connection holds the lock."""
    return error.sqlite_errorcode & _PRIMARY_CODE == sqlite3.SQLITE_BUSY


def is_away(error: Exception) -> bool:
    """Whether the database is to blame, and not what it was to write."""
    return isinstance(error, sqlite3.Error) and not isinstance(error, _FAULTS)


def refuse(items: list[QueuedMint | QueuedWrite]) -> None:
    """Nothing was written: give every item that outcome."""
    for item in items:
        item.outcome = StoreUnavailableError("the database cannot be written")


def leave_unclear(mints: list[QueuedMint]) -> None:
    """What became of these mints cannot be read: give them that outcome."""
    for mint in mints:
        mint.outcome = OutcomeUnknownError("the database went away while it committed")


def give_back(connection: sqlite3.Connection, marks: list[MarkRow]) -> None:
    """Delete the marks of mints whose callers got an error: their proofs stay valid."""
    connection.executemany(
        "DELETE FROM replay_marks WHERE key = ? AND mint_id = ?",
        [mark[:2] for mark in marks],
    )


def deliver(items: list[QueuedMint | QueuedWrite]) -> None:
    """Hand every outcome to who waits for it; runs in the event loop."""
    for item in items:
        future = item.future
        if future.done():
            continue  # its caller gave up
        if item.outcome is not None:
            future.set_exception(item.outcome)
        else:
            future.set_result(item.result)


def insert_mints(connection: sqlite3.Connection, mints: list[QueuedMint]) -> None:
    """Insert the marks that are new and the records of their mints."""
    for start in range(0, len(mints), BATCH):
        _insert_some(connection, mints[start : start + BATCH])


def _insert_some(connection: sqlite3.Connection, mints: list[QueuedMint]) -> None:
    marks = [mint.mark for mint in mints if mint.mark is not None]
    if marks:
        statement = _MARK_HEAD + ", ".join([_MARK_VALUES] * len(marks))
        values = [value for mark in marks for value in mark]
        if connection.execute(statement, values).rowcount != len(marks):
            # Some key was there already: look at each.
            mints = _sort_out(connection, mints)
    insert_rows(connection, [mint.row for mint in mints])


def _sort_out(
    connection: sqlite3.Connection, mints: list[QueuedMint]
) -> list[QueuedMint]:
    """The mints whose record is to be written; replays get their outcome."""
    waiting: list[QueuedMint] = []
    seen: set[bytes] = set()
    for mint in mints:
        if mint.mark is not None:
            mint.outcome = _compare_owner(connection, mint.mark)
            if mint.outcome is not None or mint.mark[0] in seen:
                continue
            seen.add(mint.mark[0])
            if connection.execute(_FIND_EVENT, mint.row[:1]).fetchone():
                continue  # the very same mint, come again
        waiting.append(mint)
    return waiting


def _compare_owner(
    connection: sqlite3.Connection, mark: MarkRow
) -> ReplayedError | StoreUnavailableError | None:
    """Whose a mark is: None when it is this mint's own."""
    owner = connection.execute(_FIND_MARK, mark[:1]).fetchone()
    if owner is None:
        return StoreUnavailableError("the database cannot be written")
    return None if owner[0] == mark[1] else ReplayedError(owner[0])


def insert_rows(connection: sqlite3.Connection, rows: list[AuditRow]) -> None:
    """Insert records that nothing can stand against."""
    # One statement for many rows: each step of a statement lets the interpreter
    # lock go, and a busy event loop is slow to give it back.
    for start in range(0, len(rows), BATCH):
        some = rows[start : start + BATCH]
        connection.execute(
            _AUDIT_HEAD + ", ".join([_AUDIT_VALUES] * len(some)),
            [value for row in some for value in row],
        )


def run_call(connection: sqlite3.Connection, call: QueuedWrite) -> None:
    """Run a write whose failure is its own, unless it ended the transaction."""
    try:
        call.result = call.job(connection)
    except sqlite3.Error as error:
        if not connection.in_transaction:
            raise  # some errors roll everything back
        call.outcome = StoreUnavailableError("the write failed")
        call.outcome.__cause__ = error


def resolve(connection: sqlite3.Connection, mint: QueuedMint) -> BaseException | None:
    """What became of a mint whose commit failed: None when it is written."""
    if mint.mark is not None:
        return _compare_owner(connection, mint.mark)
    if connection.execute(_FIND_EVENT, mint.row[:1]).fetchone():
        return None
    return StoreUnavailableError("the database cannot be written")
