"""What keeps handles: each cache, and the table that survives them all."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from broker.stores.cache.port import HandleStore
from broker.stores.database import Database
from broker.stores.handle_table import HandleTable
from broker.stores.urls import DatabaseLocation, parse_redis_url
from tests.conformance.stores.conftest import open_cache
from tests.support.clocks import SteppedClock


@pytest.fixture(
    params=[
        *("the table on sqlite", "the table on postgresql"),
        *("sqlite", "redis", "cluster", "sentinel"),
    ]
)
async def workers(
    request: pytest.FixtureRequest, clock: SteppedClock, tmp_path: Path
) -> AsyncIterator[tuple[HandleStore, HandleStore]]:
    """The same one, as two workers have it."""
    words = request.param.split()
    place: Any = words[-1]
    if place in {"sqlite", "postgresql"}:
        place = request.getfixturevalue(f"{place}_location")
    else:
        place = parse_redis_url(request.getfixturevalue("redis_urls")[place])
    async with AsyncExitStack() as stack:
        made: list[HandleStore] = []
        for _ in range(2):
            if len(words) == 1:
                opened = open_cache(place, clock, tmp_path)
                made.append(await stack.enter_async_context(opened))
            else:
                database = Database(place)
                stack.push_async_callback(database.close)
                made.append(HandleTable(database, clock))
        yield made[0], made[1]


Workers = tuple[HandleStore, HandleStore]


async def test_an_entry_is_kept_replaced_and_dropped(
    workers: Workers, clock: Any
) -> None:
    soon, (store, other) = clock.now() + timedelta(minutes=1), workers
    await store.put("a", b"\x00k", b"\x00\xff1", expires_at=soon)
    await store.put("b", b"\x00k", b"2", expires_at=soon)
    assert await other.get("a", b"\x00k") == b"\x00\xff1"
    await store.put("a", b"\x00k", b"3", expires_at=soon)
    assert await other.get("a", b"\x00k") == b"3"
    await store.drop("a", b"\x00k")
    assert await other.get("a", b"\x00k") is None
    assert await store.get("b", b"\x00k") == b"2"


async def test_an_entry_is_taken_by_one_caller_only(
    workers: Workers, clock: Any
) -> None:
    soon, (store, _) = clock.now() + timedelta(minutes=1), workers
    for n in range(20):
        key = bytes([n])
        await store.put("a", key, b"v", expires_at=soon)
        taken = await asyncio.gather(*(which.take("a", key) for which in workers * 3))
        assert sorted(taken, key=bool) == [None] * 5 + [b"v"]
        assert await store.get("a", key) is None


async def test_a_lock_is_had_by_one_caller_only(workers: Workers, clock: Any) -> None:
    soon, (store, other) = clock.now() + timedelta(minutes=1), workers
    had = await asyncio.gather(
        *(which.add("a", b"k", b"v", expires_at=soon) for which in workers)
    )
    assert sorted(had) == [False, True]
    await store.drop("a", b"k")
    assert await other.add("a", b"k", b"w", expires_at=soon)
    assert await store.get("a", b"k") == b"w"


async def test_what_has_expired_reads_as_absent(workers: Workers, clock: Any) -> None:
    past, (store, _) = clock.now() + timedelta(milliseconds=150), workers
    await store.put("a", b"1", b"v", expires_at=past)
    await store.put("a", b"2", b"v", expires_at=past)
    assert await store.add("a", b"3", b"v", expires_at=past)
    await asyncio.sleep(1.1)
    clock.move(1.1)
    assert await store.get("a", b"1") is None
    assert await store.take("a", b"2") is None
    soon = clock.now() + timedelta(minutes=1)
    assert await store.add("a", b"3", b"w", expires_at=soon)
    assert await store.get("a", b"3") == b"w"


async def test_the_table_forgets_what_has_expired_alone(
    location: DatabaseLocation, clock: SteppedClock
) -> None:
    database = Database(location)
    table, now = HandleTable(database, clock), clock.now()
    for seconds in (1, 2, 60):
        end = now + timedelta(seconds=seconds)
        await table.put("a", bytes([seconds]), b"v", expires_at=end)
    clock.move(2)
    await table.purge()
    assert [
        row.key for row in await database.rows(text("SELECT key FROM handles"))
    ] == [bytes([60])]
    await database.close()
