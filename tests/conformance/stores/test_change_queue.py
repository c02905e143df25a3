"""Changes that wait for each other are committed together, and fail alone."""

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from broker.model.account import AccountId
from broker.model.audit import AuditRecord
from broker.model.entities import User
from broker.stores import change_queue
from broker.stores.database import Database
from broker.stores.directory.kinds import USER
from broker.stores.directory.port import DirectoryChange
from broker.stores.directory.sql import SqlDirectory
from broker.stores.directory.timeline import NEVER, ChangeId
from broker.stores.errors import AlreadyExistsError, StoreUnavailableError
from broker.stores.postgresql_engine import PostgresqlSession
from broker.stores.sqlite_engine import SqliteSession
from broker.stores.urls import DatabaseLocation, SqliteLocation

ACCOUNT = AccountId("000000000001")
AT = datetime(2026, 3, 1, 12, 30, 15, tzinfo=UTC)

Told = list[tuple[AccountId, ChangeId]]


class RefusedError(Exception):
    """Some action's own."""


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is, whoever waits shares the transaction."""
    monkeypatch.setattr(change_queue, "OPEN_SECONDS_MAX", 60.0)


class Crowd:
    """Changes that come at the same time; the last one is held open in the middle."""

    def __init__(self, directory: SqlDirectory) -> None:
        self.directory = directory
        self.tasks: list[asyncio.Task[None]] = []
        self.reached = asyncio.Event()
        self.go_on = asyncio.Event()

    def come(
        self, name: str, error: BaseException | None = None, *, recorded: bool = True
    ) -> asyncio.Task[None]:
        async def change() -> None:
            async with self.directory.change(ACCOUNT) as opened:
                await add(opened, name)
                if error is not None:
                    raise error
                if recorded:
                    await opened.record(make_record(name))

        return self._start(change())

    def hold(self, name: str) -> asyncio.Task[None]:
        async def change() -> None:
            async with self.directory.change(ACCOUNT) as opened:
                await add(opened, name)
                self.reached.set()
                await self.go_on.wait()
                await opened.record(make_record(name))

        return self._start(change())

    def _start(self, change: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        self.tasks.append(asyncio.create_task(change))
        return self.tasks[-1]

    async def end(self) -> list[BaseException | None]:
        self.go_on.set()
        return await asyncio.gather(*self.tasks, return_exceptions=True)


async def add(change: DirectoryChange, name: str) -> None:
    await change.insert(
        USER,
        User(
            account=ACCOUNT, user_id=f"AIDA{name}", name=name, path="/", created_at=AT
        ),
    )


def make_record(name: str) -> AuditRecord:
    return AuditRecord(event_id=name, at=AT, account=ACCOUNT, door="api", action="x")


async def names_of(directory: SqlDirectory, names: str) -> str:
    users = [await directory.named(USER, ACCOUNT, name) for name in names]
    return "".join(user.name for user in users if user is not None)


async def generation_of(directory: SqlDirectory) -> int:
    return (await directory.last_changes([ACCOUNT])).get(ACCOUNT, NEVER).generation


@pytest.fixture
def crowd(directory: SqlDirectory) -> Crowd:
    return Crowd(directory)


@pytest.fixture
def fail_commits(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Have every commit fail from now on: before it took place, or after."""

    def fail(after: bool) -> None:
        for session, error in (
            (SqliteSession, sqlite3.OperationalError("disk I/O error")),
            (PostgresqlSession, ConnectionResetError()),
        ):
            real = session.end

            async def end(
                self: object,
                *statements: str,
                real: Callable[..., object] = real,
                error: Exception = error,
            ) -> None:
                if "COMMIT" not in statements:
                    await real(self, *statements)  # type: ignore[misc]
                    return
                if after:
                    await real(self, *statements)  # type: ignore[misc]
                raise error

            monkeypatch.setattr(session, "end", end)

    return fail


async def test_no_one_is_told_before_all_are_durable(
    crowd: Crowd, directory: SqlDirectory, other_directory: SqlDirectory
) -> None:
    told: Told = []
    directory.on_commit(lambda account, change, _: told.append((account, change)))
    crowd.come("a")
    crowd.come("b")
    crowd.hold("c")
    await crowd.reached.wait()
    assert not any(task.done() for task in crowd.tasks)
    assert await names_of(other_directory, "abc") == ""
    assert await generation_of(other_directory) == 0
    assert told == []
    assert await crowd.end() == [None, None, None]
    assert await names_of(other_directory, "abc") == "abc"
    assert await generation_of(other_directory) == 3
    assert [(a, change.generation) for a, change in told] == [
        (ACCOUNT, number) for number in (1, 2, 3)
    ]


@pytest.mark.parametrize("place", range(4))
async def test_one_that_fails_takes_back_its_own_alone(
    crowd: Crowd, directory: SqlDirectory, place: int
) -> None:
    for number, name in enumerate("abcd"):
        crowd.come(name, RefusedError() if number == place else None)
    outcomes = await crowd.end()
    assert [isinstance(outcome, RefusedError) for outcome in outcomes] == [
        number == place for number in range(4)
    ]
    kept = "abcd".replace("abcd"[place], "")
    assert await names_of(directory, "abcd") == kept
    assert await generation_of(directory) == 3


async def test_when_all_fail_nothing_is_there(
    crowd: Crowd, directory: SqlDirectory
) -> None:
    for name in "abc":
        crowd.come(name, RefusedError())
    assert all(isinstance(error, RefusedError) for error in await crowd.end())
    assert await names_of(directory, "abc") == ""
    assert await generation_of(directory) == 0


async def test_a_cancelled_change_does_not_cancel_others(
    crowd: Crowd, directory: SqlDirectory
) -> None:
    crowd.come("a")
    cancelled = crowd.hold("b")
    crowd.come("c")
    await crowd.reached.wait()
    cancelled.cancel()
    first, second, third = await crowd.end()
    assert (first, third) == (None, None)
    assert isinstance(second, asyncio.CancelledError)
    assert await names_of(directory, "abc") == "ac"
    assert await generation_of(directory) == 2


async def test_a_refusal_that_rests_on_another_change_waits_for_its_commit(
    crowd: Crowd, directory: SqlDirectory
) -> None:
    crowd.come("a")
    again = crowd.come("a")
    crowd.hold("b")
    await crowd.reached.wait()
    await asyncio.sleep(0)
    assert not again.done()
    first, second, third = await crowd.end()
    assert (first, third) == (None, None)
    assert isinstance(second, AlreadyExistsError)
    assert await names_of(directory, "ab") == "ab"


async def test_when_the_commit_fails_everyone_is_told_and_nothing_is_there(
    crowd: Crowd, other_directory: SqlDirectory, fail_commits: Callable[[bool], None]
) -> None:
    fail_commits(False)
    crowd.come("a")
    crowd.come("a")
    crowd.come("b", RefusedError())
    crowd.hold("c")
    await crowd.reached.wait()
    outcomes = await crowd.end()
    assert all(isinstance(error, StoreUnavailableError) for error in outcomes)
    assert await names_of(other_directory, "abc") == ""
    assert await generation_of(other_directory) == 0


async def test_a_commit_whose_answer_was_lost_is_looked_up_for_each(
    crowd: Crowd, directory: SqlDirectory, fail_commits: Callable[[bool], None]
) -> None:
    fail_commits(True)
    crowd.come("a")
    crowd.come("b", recorded=False)
    crowd.come("c")
    first, second, third = await crowd.end()
    assert (first, third) == (None, None)
    assert isinstance(second, StoreUnavailableError)
    assert await names_of(directory, "abc") == "abc"


async def test_what_is_over_writes_nothing_more(
    crowd: Crowd, directory: SqlDirectory
) -> None:
    async with directory.change(ACCOUNT) as change:
        await add(change, "a")
    crowd.hold("b")
    await crowd.reached.wait()
    with pytest.raises(RuntimeError, match="belongs to another"):
        await add(change, "c")
    assert await crowd.end() == [None]
    assert await names_of(directory, "abc") == "ab"


async def test_a_transaction_takes_no_more_than_it_should(
    crowd: Crowd, directory: SqlDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_queue, "CHANGES_MAX", 2)
    crowd.come("a")
    crowd.come("b")
    crowd.hold("c")
    await crowd.reached.wait()
    await asyncio.gather(*crowd.tasks[:2])
    assert await names_of(directory, "abc") == "ab"
    assert await crowd.end() == [None, None, None]
    assert await names_of(directory, "abc") == "abc"


async def test_an_old_transaction_does_not_sign_in(
    crowd: Crowd, directory: SqlDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_queue, "OPEN_SECONDS_MAX", 0.0)
    crowd.come("a")
    crowd.hold("b")
    await crowd.reached.wait()
    await crowd.tasks[0]
    assert await names_of(directory, "ab") == "a"
    assert await crowd.end() == [None, None]


async def test_the_longer_commits_take_the_more_changes_share_one(
    crowd: Crowd, directory: SqlDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = 0.0

    def slow(real: Callable[..., Any]) -> Callable[..., Any]:
        async def end(*params: object) -> None:
            nonlocal seconds
            await real(*params)
            seconds += 60

        return end

    monkeypatch.setattr(change_queue, "monotonic", lambda: seconds)
    monkeypatch.setattr(change_queue, "OPEN_SECONDS_MAX", 0.0)
    for session in (SqliteSession, PostgresqlSession):
        monkeypatch.setattr(session, "end", slow(session.end))
    first = crowd.come("a")
    crowd.come("b")
    crowd.hold("c")
    await crowd.reached.wait()
    await first
    assert await names_of(directory, "abc") == "a"
    assert await crowd.end() == [None, None, None]
    assert await names_of(directory, "abc") == "abc"


async def test_a_lost_connection_takes_all_that_share_it_and_no_more(
    postgresql_location: DatabaseLocation, clock: Any
) -> None:
    directory = SqlDirectory(Database(postgresql_location), clock)
    crowd = Crowd(directory)
    crowd.come("a")
    crowd.hold("b")
    await crowd.reached.wait()
    (end,) = await directory.rows(
        text(
            "SELECT count(pg_terminate_backend(pid)) AS number FROM pg_stat_activity"
            " WHERE datname = current_database() AND state = 'idle in transaction'"
        )
    )
    assert end.number == 1
    outcomes = await crowd.end()
    assert all(isinstance(error, StoreUnavailableError) for error in outcomes)
    assert await names_of(directory, "ab") == ""
    async with directory.change(ACCOUNT) as change:
        await add(change, "c")
    assert await names_of(directory, "abc") == "c"
    await directory.close()


async def test_an_error_that_is_passed_over_is_not_committed(
    postgresql_location: DatabaseLocation, clock: Any
) -> None:
    """PostgreSQL would answer such a commit with a rollback, and no error."""
    directory = SqlDirectory(Database(postgresql_location), clock)

    async def pass_over() -> None:
        async with directory.change(ACCOUNT) as change:
            await add(change, "a")
            await change.record(make_record("a"))
            with pytest.raises(ProgrammingError, match="nowhere"):
                await change.rows(text("SELECT * FROM nowhere"))

    with pytest.raises(StoreUnavailableError):
        await pass_over()
    assert await names_of(directory, "a") == ""
    await directory.close()


async def test_after_sqlite_ended_a_transaction_nothing_of_it_is_written(
    sqlite_location: SqliteLocation, clock: Any
) -> None:
    """As it does when the disk is full: each statement after would be durable alone."""
    directory = SqlDirectory(Database(sqlite_location), clock)

    async def lose() -> None:
        async with directory.change(ACCOUNT) as change:
            await add(change, "b")
            await change.rows(text("ROLLBACK"))
            with pytest.raises(StoreUnavailableError):
                await add(change, "c")

    crowd = Crowd(directory)
    first = crowd.come("a")
    outcomes = await asyncio.gather(first, lose(), return_exceptions=True)
    assert all(isinstance(error, StoreUnavailableError) for error in outcomes)
    assert await names_of(directory, "abc") == ""
    await directory.close()
