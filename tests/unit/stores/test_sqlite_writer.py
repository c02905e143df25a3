"""One thread writes for a whole worker; every item has an outcome of its own."""

import asyncio
import errno
import sqlite3
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from broker.stores import sqlite_writer
from broker.stores.audit_rows import AuditRow, MarkRow
from broker.stores.database import Database
from broker.stores.errors import (
    OutcomeUnknownError,
    ReplayedError,
    StoreUnavailableError,
)
from broker.stores.spool import Spool
from broker.stores.sqlite_writer import SqliteWriter
from broker.stores.times import to_micros
from broker.stores.urls import SqliteLocation
from tests.support.tables import lay_tables_at
from tests.support.waiting import until


class Wrapped:
    """A connection whose next COMMIT fails: after, or instead of, doing its work."""

    def __init__(self, connection: sqlite3.Connection, *, commits: bool) -> None:
        self._connection = connection
        self._commits = commits

    def execute(self, statement: str, *values: Any) -> Any:
        if statement == "COMMIT":
            if self._commits:
                self._connection.execute(statement)
            raise sqlite3.OperationalError("disk I/O error")
        return self._connection.execute(statement, *values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def make_row(name: str) -> AuditRow:
    return (name, 1, "", "", "", "", "", "", "", "{}", "read")


def make_mark(key: bytes, mint_id: str) -> MarkRow:
    soon = datetime.now(UTC) + timedelta(hours=1)
    return (key, mint_id, to_micros(soon))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "broker.db"
    lay_tables_at(made)
    return made


@pytest.fixture
async def writer(path: Path) -> AsyncIterator[SqliteWriter]:
    made = SqliteWriter(path, Spool(path.parent))
    made.start()
    yield made
    await made.close()


def count(connection: sqlite3.Connection) -> int:
    number: int = connection.execute("SELECT count(*) FROM audit").fetchone()[0]
    return number


async def test_every_writing_connection_syncs_each_commit(
    writer: SqliteWriter, path: Path
) -> None:
    def read(connection: sqlite3.Connection) -> tuple[int, str]:
        (synchronous,) = connection.execute("PRAGMA synchronous").fetchone()
        (journal,) = connection.execute("PRAGMA journal_mode").fetchone()
        return synchronous, journal

    assert await writer.run(read) == (2, "wal")
    database = Database(SqliteLocation(path))
    rows = await database.rows(text("PRAGMA synchronous"))
    await database.close()
    assert rows[0][0] == 2


async def test_a_failing_write_costs_its_neighbours_nothing(
    writer: SqliteWriter,
) -> None:
    results = await asyncio.gather(
        writer.mint(make_row("1"), make_mark(b"1", "1")),
        writer.run(lambda c: c.execute("INSERT INTO nowhere VALUES (1)")),
        writer.run(lambda c: c.execute("SELECT 7").fetchone()[0]),
        writer.mint(make_row("2"), None),
        return_exceptions=True,
    )
    assert results[0] is None
    assert isinstance(results[1], StoreUnavailableError)
    assert results[2:] == [7, None]
    assert await writer.run(count) == 2


async def test_a_caller_that_gives_up_does_not_disturb_others(
    writer: SqliteWriter,
) -> None:
    first = writer.mint(make_row("1"), make_mark(b"1", "1"))
    first.cancel()
    await writer.mint(make_row("2"), make_mark(b"2", "2"))
    assert await writer.run(count) == 2


def let_the_next_commit_fail(writer: SqliteWriter, *, commits: bool) -> None:
    # The thread is idle: what it has written is delivered.
    wrapped: Any = Wrapped(writer._connection or writer._connect(), commits=commits)
    writer._connection = wrapped


@pytest.mark.parametrize("commits", [True, False])
async def test_a_commit_that_failed_is_looked_up(
    writer: SqliteWriter, *, commits: bool
) -> None:
    await writer.mint(make_row("0"), make_mark(b"spent", "0"))
    let_the_next_commit_fail(writer, commits=commits)
    results = await asyncio.gather(
        writer.mint(make_row("1"), make_mark(b"1", "1")),
        writer.mint(make_row("2"), None),
        writer.mint(make_row("3"), make_mark(b"spent", "3")),
        return_exceptions=True,
    )
    if commits:
        assert results[:2] == [None, None]
    else:
        assert all(isinstance(r, StoreUnavailableError) for r in results[:2])
    assert isinstance(results[2], ReplayedError)
    assert await writer.run(count) == (3 if commits else 1)


async def test_a_proof_stays_usable_if_its_mint_was_never_answered(
    writer: SqliteWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its commit failed or not, and then the database cannot be read."""
    await writer.mint(make_row("0"), None)
    let_the_next_commit_fail(writer, commits=True)

    def refuse() -> sqlite3.Connection:
        raise sqlite3.OperationalError("unable to open database file")

    with monkeypatch.context() as patched:
        patched.setattr(writer, "_connect", refuse)
        with pytest.raises(OutcomeUnknownError):
            await writer.mint(make_row("1"), make_mark(b"1", "1"))
    assert await writer.run(count) == 2  # its record stays
    await writer.mint(make_row("2"), make_mark(b"1", "2"))
    with pytest.raises(ReplayedError):
        await writer.mint(make_row("3"), make_mark(b"1", "3"))


async def test_no_more_proofs_are_given_back_than_are_remembered(
    writer: SqliteWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_writer, "_UNCLEAR_MAX", 1)
    await writer.mint(make_row("0"), None)
    let_the_next_commit_fail(writer, commits=True)

    def refuse() -> sqlite3.Connection:
        raise sqlite3.OperationalError("unable to open database file")

    with monkeypatch.context() as patched:
        patched.setattr(writer, "_connect", refuse)
        results = await asyncio.gather(
            writer.mint(make_row("1"), make_mark(b"1", "1")),
            writer.mint(make_row("2"), make_mark(b"2", "2")),
            return_exceptions=True,
        )
    assert [type(each) for each in results] == [OutcomeUnknownError] * 2
    await writer.mint(make_row("3"), make_mark(b"1", "3"))
    with pytest.raises(ReplayedError):
        await writer.mint(make_row("4"), make_mark(b"2", "4"))


async def test_rows_of_a_failed_commit_are_spooled_and_written_once(
    writer: SqliteWriter,
) -> None:
    await writer.mint(make_row("0"), None)
    let_the_next_commit_fail(writer, commits=True)
    spool = writer._spool
    assert spool is not None
    writer.append(make_row("1"))
    await until(lambda: not spool.is_empty)
    await writer.mint(make_row("2"), None)
    await until(lambda: spool.is_empty)
    assert await writer.run(count) == 3


async def test_an_unreadable_spool_does_not_stop_the_broker(path: Path) -> None:
    class Unreadable(Spool):
        def rows(self) -> list[AuditRow]:
            raise OSError(errno.EIO, "Input/output error")

    spool = Unreadable(path.parent)
    spool.put([make_row("0")])
    writer = SqliteWriter(path, spool)
    writer.start()
    async with asyncio.timeout(20):
        await writer.mint(make_row("1"), None)
        await writer.mint(make_row("2"), None)
        assert await writer.run(count) == 2
        await writer.close()


async def test_mints_go_in_between_while_a_long_outages_records_are_written(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_writer, "_DRAIN_ROWS", 100)
    monkeypatch.setattr(sqlite_writer, "_RETRY_SECONDS", 0)
    has_begun, go_on = threading.Event(), threading.Event()
    seen: list[tuple[int, int]] = []

    class Stepped(SqliteWriter):
        def _insert(self, rows: list[AuditRow]) -> list[AuditRow]:
            has_begun.set()
            assert go_on.wait(20)
            refused = super()._insert(rows)
            assert self._connection is not None
            seen.append((len(rows), count(self._connection)))
            return refused

    spool = Spool(path.parent)
    spool.put([make_row(f"{n}") for n in range(250)])
    writer = Stepped(path, spool)
    writer.start()
    await asyncio.to_thread(has_begun.wait, 20)
    minted = writer.mint(make_row("in between"), None)
    await asyncio.sleep(0)
    go_on.set()
    await minted
    await writer.close()
    assert seen == [(100, 100), (100, 201), (50, 251)]
    assert spool.is_empty


async def test_a_record_refused_while_the_spool_is_emptied_is_not_lost(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_writer, "_DRAIN_ROWS", 100)
    monkeypatch.setattr(sqlite_writer, "_RETRY_SECONDS", 0)

    class Stepped(SqliteWriter):
        portions = 0

        def _insert(self, rows: list[AuditRow]) -> list[AuditRow]:
            refused = super()._insert(rows)
            self.portions += 1
            if self.portions == 1:
                # It comes now, and its commit fails.
                self._queue.put(sqlite_writer._Submission([], [make_row("late")]))
                let_the_next_commit_fail(self, commits=False)
            return refused

    spool = Spool(path.parent)
    spool.put([make_row(f"{n}") for n in range(250)])
    writer = Stepped(path, spool)
    writer.start()
    await until(lambda: spool.is_empty)
    assert await writer.run(count) == 251
    await writer.close()


async def test_a_write_with_a_bug_costs_no_record(writer: SqliteWriter) -> None:
    writer.append(make_row("1"))
    broken = writer.run(lambda _: 1 / 0)
    with pytest.raises(StoreUnavailableError):
        await broken
    assert await writer.run(count) == 1


async def test_a_closed_writer_takes_nothing(path: Path) -> None:
    writer = SqliteWriter(path, None)
    for call in (
        lambda: writer.mint(make_row("1"), None),
        lambda: writer.append(make_row("1")),
        lambda: writer.run(count),
    ):
        with pytest.raises(StoreUnavailableError):
            call()


async def test_records_that_come_while_others_are_kept_are_counted(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread may be interrupted between reading a number and writing it."""
    spool = Spool(path.parent)
    writer = SqliteWriter(path, spool)
    # This thread plays both parts, one in the middle of the other.
    writer._loop = asyncio.get_running_loop()
    writer._thread = threading.current_thread()

    class Interrupted(list[AuditRow]):
        def __len__(self) -> int:
            writer.append(make_row("2"))
            return super().__len__()

    monkeypatch.setattr(sqlite_writer, "_WAITING_ROWS_MAX", 2)
    writer.append(make_row("1"))
    writer._keep(Interrupted([make_row("1")]))
    spool.close()
    writer.append(make_row("3"))
    with pytest.raises(StoreUnavailableError):
        writer.append(make_row("4"))


async def test_too_many_waiting_records_are_refused(
    writer: SqliteWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_writer, "_WAITING_ROWS_MAX", 3)
    for n in range(3):
        writer.append(make_row(str(n)))
    with pytest.raises(StoreUnavailableError):
        writer.append(make_row("3"))
    await writer.mint(make_row("m"), None)
    await writer.run(count)
    writer.append(make_row("4"))


async def test_records_that_come_faster_than_they_are_written_wait(
    writer: SqliteWriter, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_writer, "_WAITING_ROWS_MAX", 3)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for name in ("1", "2", "3"):
        writer.append(make_row(name))
    waiting = asyncio.create_task(writer.wait_for_room())
    await asyncio.sleep(0.05)
    assert writer.is_full
    assert not waiting.done()
    other.execute("COMMIT")
    other.close()
    await waiting
    writer.append(make_row("4"))
    await writer.close()
    reader = sqlite3.connect(path)
    assert count(reader) == 4
    reader.close()


async def test_records_that_can_be_kept_nowhere_are_refused_at_once(
    writer: SqliteWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_writer, "_WAITING_ROWS_MAX", 1)
    monkeypatch.setattr(writer, "_kept", [make_row("kept")])
    writer.append(make_row("1"))
    await asyncio.wait_for(writer.wait_for_room(), 1)
    with pytest.raises(StoreUnavailableError):
        writer.append(make_row("2"))
    monkeypatch.setattr(writer, "_kept", [])
