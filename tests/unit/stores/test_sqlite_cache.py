"""Session records written behind the answer keep their order with later calls."""

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from msgspec import structs

from broker.model.account import AccountId
from broker.model.page import PageRequest
from broker.runtime.clock import SystemClock
from broker.stores.cache.port import SessionRecord
from broker.stores.cache.rates import SharedRates
from broker.stores.cache.sqlite import SqliteCache
from broker.stores.sqlite_writer import SqliteWriter
from tests.support.tables import lay_tables_at

ACCOUNT = AccountId("000000000001")


def make_session(key_id: str, seconds: int = 600) -> SessionRecord:
    now = int(time.time())
    return SessionRecord(
        access_key_id=key_id,
        account=ACCOUNT,
        kind="AssumeRole",
        principal_arn="arn",
        principal_id="id",
        issued_at_ms=now * 1000,
        expires_at=now + seconds,
    )


async def open_cache(folder: Path) -> SqliteCache:
    path = folder / "broker.db"
    lay_tables_at(path)
    cache = SqliteCache(path, SqliteWriter(path, None), SystemClock())
    await cache.start()
    return cache


@contextmanager
def held_up(folder: Path) -> Iterator[sqlite3.Connection]:
    """Inside, another connection holds the database: nothing gets written."""
    with closing(sqlite3.connect(folder / "broker.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other


async def hand_over(cache: SqliteCache) -> asyncio.Task[object]:
    """Have what waits be written; done when it is."""
    listing = asyncio.create_task(cache.list_sessions(ACCOUNT, PageRequest()))
    await asyncio.sleep(0)
    return listing


async def test_a_record_dropped_while_it_is_being_written_stays_dropped(
    tmp_path: Path,
) -> None:
    cache = await open_cache(tmp_path)
    with held_up(tmp_path):
        await cache.put_session(make_session("ASIA1"))
        written = await hand_over(cache)
        dropped = asyncio.create_task(cache.drop_session("ASIA1"))
        await asyncio.sleep(0)
        assert not written.done()
    await asyncio.gather(written, dropped)
    assert await cache.find_session("ASIA1") is None
    await cache.close()


async def test_a_record_put_again_while_it_is_being_written_is_the_later_one(
    tmp_path: Path,
) -> None:
    cache = await open_cache(tmp_path)
    later = structs.replace(make_session("ASIA1"), kind="other")
    with held_up(tmp_path):
        await cache.put_session(make_session("ASIA1"))
        written = await hand_over(cache)
        await cache.put_session(later)
        assert not written.done()
    await written
    assert await cache.find_session("ASIA1") == later
    await cache.list_sessions(ACCOUNT, PageRequest())
    assert await cache.find_session("ASIA1") == later
    await cache.close()


async def test_a_written_record_is_kept_in_the_database_alone(tmp_path: Path) -> None:
    cache = await open_cache(tmp_path)
    await cache.put_session(make_session("ASIA1"))
    await cache.list_sessions(ACCOUNT, PageRequest())
    await cache.put_session(make_session("ASIA2"))
    assert await cache.find_session("ASIA1") is not None
    with held_up(tmp_path) as other:
        other.execute("DELETE FROM cache_sessions")
        other.execute("COMMIT")
        assert await cache.find_session("ASIA1") is None
        assert await cache.find_session("ASIA2") is not None
    await cache.close()


async def test_a_record_is_readable_although_anyone_who_listed_gave_up(
    tmp_path: Path,
) -> None:
    cache = await open_cache(tmp_path)
    blocker = sqlite3.connect(tmp_path / "broker.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    await cache.put_session(make_session("ASIA1"))
    listing = asyncio.create_task(cache.list_sessions(ACCOUNT, PageRequest()))
    await asyncio.sleep(0)
    listing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listing
    assert await cache.find_session("ASIA1") is not None
    blocker.close()
    await cache.close()


async def test_closing_writes_what_waits(tmp_path: Path) -> None:
    cache = await open_cache(tmp_path)
    for n in range(300):
        await cache.put_session(make_session(f"ASIA{n}"))
    await cache.close()
    cache = await open_cache(tmp_path)
    page = await cache.list_sessions(ACCOUNT, PageRequest(limit=400))
    assert len(page.items) == 300
    await cache.close()


async def test_a_purge_removes_what_has_expired_only(tmp_path: Path) -> None:
    cache = await open_cache(tmp_path)
    await cache.put_session(make_session("ASIA1", -1))
    await cache.put_session(make_session("ASIA2"))
    await cache.list_sessions(ACCOUNT, PageRequest())
    await cache.purge()
    await cache.close()
    with closing(sqlite3.connect(tmp_path / "broker.db")) as connection:
        rows = connection.execute("SELECT access_key_id FROM cache_sessions").fetchall()
    assert rows == [("ASIA2",)]


def test_counters_are_shared_and_never_grow(tmp_path: Path) -> None:
    path = tmp_path / "rates"
    rates, two = SharedRates(path), SharedRates(path)
    size = path.stat().st_size
    assert [rates.count("a", b"k", 7), two.count("a", b"k", 7)] == [1, 2]
    assert rates.count("a", b"k", 8) == 1
    for n in range(30_000):
        rates.count("a", n.to_bytes(4, "big"), 8)
    assert path.stat().st_size == size
    assert two.count("a", b"k", 8) == 2
    rates.close()
    two.close()
