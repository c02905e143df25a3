"""A SQLite file gives back what a purge left free, in portions, and only then."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from broker.stores.migrations import migrate
from broker.stores.sqlite_space import give_back, waste_of
from broker.stores.sqlite_writer import SqliteWriter
from broker.stores.urls import SqliteLocation
from tests.support.tables import lay_tables_at

MEGABYTE = 1_000_000


@pytest.fixture
async def path(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    made = tmp_path / "broker.db"
    if getattr(request, "param", "") == "old":
        with closing(sqlite3.connect(made)) as plain:
            plain.execute("CREATE TABLE filling_of_old (body BLOB)")
        await migrate(SqliteLocation(made))
    lay_tables_at(made)
    return made


@pytest.fixture
async def writer(path: Path) -> AsyncIterator[SqliteWriter]:
    made = SqliteWriter(path, None)
    made.start()
    yield made
    await made.close()


async def fill_and_empty(writer: SqliteWriter, megabytes: int) -> None:
    await writer.run(lambda c: c.execute("CREATE TABLE filling (body BLOB)"))
    insert = "INSERT INTO filling VALUES (zeroblob(1000000))"
    for _ in range(megabytes):
        await writer.run(lambda c: c.execute(insert))
    await writer.run(lambda c: c.execute("DELETE FROM filling"))


async def size(writer: SqliteWriter, path: Path) -> int:
    """Of the file itself, once the log is copied to it."""
    await writer.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return path.stat().st_size  # noqa: ASYNC240  # a test's


async def test_a_new_file_shrinks(path: Path, writer: SqliteWriter) -> None:
    await fill_and_empty(writer, 8)
    assert waste_of(path)[1] == 0
    await give_back(writer, kept_pages=256)
    assert await size(writer, path) < 3 * MEGABYTE


async def test_a_little_free_room_is_kept_for_what_comes(
    path: Path, writer: SqliteWriter
) -> None:
    await fill_and_empty(writer, 6)
    await give_back(writer)
    assert await size(writer, path) > 6 * MEGABYTE


@pytest.mark.parametrize("path", ["old"], indirect=True)
async def test_an_older_file_stays_as_it_is_until_it_is_written_again(
    path: Path, writer: SqliteWriter
) -> None:
    await fill_and_empty(writer, 8)
    await give_back(writer, kept_pages=256)
    assert waste_of(path)[1] > 7 * MEGABYTE
    assert await size(writer, path) > 8 * MEGABYTE
