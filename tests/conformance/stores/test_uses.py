"""Last uses are written in the background, and the latest one counts."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from broker.model.account import AccountId
from broker.model.uses import Report, Use
from broker.stores.database import Database
from broker.stores.directory.kinds import REPORT
from broker.stores.directory.reports import list_uses, put_report
from broker.stores.directory.sql import SqlDirectory
from broker.stores.urls import DatabaseLocation
from broker.stores.uses import UseBuffer

ACCOUNT = AccountId("000000000001")
OTHER = AccountId("000000000002")
AT = datetime(2026, 3, 1, 12, 30, 15, tzinfo=UTC)


def use(subject: str, action: str, at: datetime, region: str = "eu-west-3") -> Use:
    return Use(
        account=ACCOUNT,
        subject=subject,
        service="iam",
        action=action,
        at=at,
        region=region,
    )


async def test_the_latest_use_counts_anyone_who_writes_first(
    location: DatabaseLocation, directory: SqlDirectory
) -> None:
    database = Database(location)
    buffer, other = UseBuffer(database), UseBuffer(database)
    later = AT + timedelta(hours=1)
    buffer.note(ACCOUNT, "AIDA1", "iam", "GetUser", AT, "us-east-1")
    buffer.note(ACCOUNT, "AIDA1", "iam", "GetUser", later, "eu-west-3")
    buffer.note(ACCOUNT, "AIDA2", "iam", "ListUsers", AT, "us-east-1")
    buffer.note(OTHER, "AIDA1", "iam", "GetUser", AT, "us-east-1")
    await buffer.flush()
    other.note(ACCOUNT, "AIDA1", "iam", "GetUser", AT, "us-east-1")
    await other.flush()
    assert await list_uses(directory, ACCOUNT) == (
        use("AIDA1", "GetUser", later),
        use("AIDA2", "ListUsers", AT, "us-east-1"),
    )
    assert await list_uses(directory, ACCOUNT, ["AIDA2", "AIDA3"]) == (
        use("AIDA2", "ListUsers", AT, "us-east-1"),
    )
    assert await list_uses(directory, ACCOUNT, []) == ()
    # What is noted decides nothing: no worker forgets its memo because of it.
    assert await directory.last_changes() == {}
    await database.close()


async def test_what_is_used_all_the_time_is_written_once_a_minute(
    location: DatabaseLocation, directory: SqlDirectory
) -> None:
    database = Database(location)
    buffer = UseBuffer(database)
    for seconds in (0, 10, 59):
        at = AT + timedelta(seconds=seconds)
        buffer.note(ACCOUNT, "AIDA1", "iam", "GetUser", at, "eu-west-3")
        await buffer.flush(everything=False)
    assert await list_uses(directory, ACCOUNT) == (use("AIDA1", "GetUser", AT),)
    at = AT + timedelta(seconds=60)
    buffer.note(ACCOUNT, "AIDA1", "iam", "GetUser", at, "eu-west-3")
    await buffer.flush(everything=False)
    assert await list_uses(directory, ACCOUNT) == (use("AIDA1", "GetUser", at),)
    await database.close()


async def test_what_waits_is_written_at_the_end(
    location: DatabaseLocation, directory: SqlDirectory
) -> None:
    database = Database(location)
    buffer = UseBuffer(database)
    async with buffer.flushing():
        buffer.note(ACCOUNT, "AIDA1", "iam", "GetUser", AT, "eu-west-3")
    assert await list_uses(directory, ACCOUNT) == (use("AIDA1", "GetUser", AT),)
    await database.close()


@pytest.mark.parametrize("count", [1, 1200])
async def test_many_subjects_are_written_and_read_together(
    location: DatabaseLocation, directory: SqlDirectory, count: int
) -> None:
    database = Database(location)
    buffer = UseBuffer(database)
    subjects = [f"AIDA{number:05d}" for number in range(count)]
    for subject in subjects:
        at = AT.replace(microsecond=5)
        buffer.note(ACCOUNT, subject, "iam", "GetUser", at, "eu-west-3")
    await buffer.flush()
    uses = await list_uses(directory, ACCOUNT, subjects)
    assert len(uses) == count
    assert {entry.at for entry in uses} == {AT}
    await database.close()


async def test_a_report_replaces_the_one_before_and_old_ones_go(
    directory: SqlDirectory,
) -> None:
    def report(report_id: str, at: datetime, body: str = "b") -> Report:
        return Report(account=ACCOUNT, report_id=report_id, made_at=at, body=body)

    async with directory.change(ACCOUNT) as change:
        await put_report(change, report("old", AT))
        await put_report(change, report("new", AT + timedelta(hours=23)))
    assert await directory.find(REPORT, ACCOUNT, "old") == report("old", AT)
    async with directory.change(ACCOUNT) as change:
        await put_report(change, report("new", AT + timedelta(hours=25), "c"))
    assert await directory.find(REPORT, ACCOUNT, "old") is None
    stored_report = await directory.find(REPORT, ACCOUNT, "new")
    assert stored_report == report("new", AT + timedelta(hours=25), "c")
    assert await directory.find(REPORT, OTHER, "new") is None


async def test_the_end_waits_for_what_is_being_written(
    location: DatabaseLocation, directory: SqlDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(location)
    buffer = UseBuffer(database)
    begun = asyncio.Event()
    write = UseBuffer._write

    async def slowly(self: UseBuffer, due: Any) -> None:
        begun.set()
        await asyncio.sleep(0.05)
        await write(self, due)

    monkeypatch.setattr(UseBuffer, "_write", slowly)
    async with buffer.flushing(interval_seconds=0.001):
        buffer.note(ACCOUNT, "AIDA1", "iam", "GetUser", AT, "us-east-1")
        await begun.wait()
    await database.close()
    (stored_use,) = await list_uses(directory, ACCOUNT, ["AIDA1"])
    assert stored_use == use("AIDA1", "GetUser", AT, "us-east-1")
