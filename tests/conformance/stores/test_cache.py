"""What the cache's port promises."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from msgspec import structs

from broker.model.account import AccountId
from broker.model.page import PageRequest
from broker.model.upstream import UpstreamOrigin
from broker.stores.cache.port import Cache, SessionRecord

ACCOUNT = AccountId("000000000001")
OTHER = AccountId("000000000002")


def make_session(clock: Any, key_id: str, seconds: int = 3600) -> SessionRecord:
    now = int(clock.now().timestamp())
    return SessionRecord(
        access_key_id=key_id,
        account=ACCOUNT,
        kind="AssumeRole",
        principal_arn="arn:aws:sts::000000000001:assumed-role/Dev/é",
        principal_id="AROA1",
        issued_at_ms=now * 1000 + 123,
        expires_at=now + seconds,
        provider_arn="p",
        source_identity="s",
        parent_key_id="AKIA1",
        tags={"Zoo": "1", "a": "\u2028"},
    )


async def list_all(cache: Cache, account: AccountId, limit: int = 3) -> list[str]:
    seen: list[str] = []
    marker = None
    for _ in range(100):
        page = await cache.list_sessions(account, PageRequest(marker, limit))
        assert len(page.items) <= limit
        seen += [record.access_key_id for record in page.items]
        marker = page.marker
        if marker is None:
            return seen
    raise AssertionError("the pages never end")


@pytest.mark.parametrize(
    "upstream",
    [
        None,
        UpstreamOrigin(name="aws", endpoint="https://sts.example"),
        UpstreamOrigin(name="aws", endpoint="https://sts.example", ends_by=7),
    ],
)
async def test_a_session_reads_back_at_once_on_every_worker(
    cache: Cache, other_cache: Cache, clock: Any, upstream: UpstreamOrigin | None
) -> None:
    record = structs.replace(make_session(clock, "ASIA1"), upstream=upstream)
    await cache.put_session(record)
    assert await cache.find_session("ASIA1") == record
    async with asyncio.timeout(20):
        while await other_cache.find_session("ASIA1") is None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert await other_cache.find_session("ASIA1") == record
    assert await cache.find_session("ASIA2") is None


async def test_a_session_put_again_is_replaced_and_a_dropped_one_is_gone(
    cache: Cache, clock: Any
) -> None:
    record = make_session(clock, "ASIA1")
    await cache.put_session(record)
    await cache.put_session(structs.replace(record, kind="other"))
    session_record = await cache.find_session("ASIA1")
    assert session_record is not None
    assert session_record.kind == "other"
    await cache.drop_session("ASIA1")
    await cache.drop_session("ASIA1")
    assert await cache.find_session("ASIA1") is None
    assert await list_all(cache, ACCOUNT) == []


async def test_a_session_dropped_before_it_is_written_stays_dropped(
    cache: Cache, clock: Any
) -> None:
    for n in range(20):
        await cache.put_session(make_session(clock, f"ASIA{n}"))
        await cache.drop_session(f"ASIA{n}")
    assert await list_all(cache, ACCOUNT) == []


async def test_sessions_of_an_account_are_listed_once_each(
    cache: Cache, clock: Any
) -> None:
    records = [make_session(clock, f"ASIA{n:02d}", 60 + n * 1000) for n in range(40)]
    other = structs.replace(make_session(clock, "ASIAX"), account=OTHER)
    await asyncio.gather(*(cache.put_session(r) for r in [*records, other]))
    seen = await list_all(cache, ACCOUNT)
    assert sorted(seen) == [r.access_key_id for r in records]
    assert sorted(await list_all(cache, ACCOUNT, 100)) == sorted(seen)
    assert await list_all(cache, OTHER) == ["ASIAX"]


async def test_a_session_put_again_while_they_are_listed_is_listed_once(
    cache: Cache, other_cache: Cache, clock: Any
) -> None:
    records = [make_session(clock, f"ASIA{n}") for n in range(4)]
    for record in records:
        await cache.put_session(record)
    first = await cache.list_sessions(ACCOUNT, PageRequest(limit=2))
    for record in first.items:
        await other_cache.put_session(record)
    await other_cache.list_sessions(ACCOUNT, PageRequest())
    rest = await cache.list_sessions(ACCOUNT, PageRequest(first.marker))
    seen = [record.access_key_id for record in (*first.items, *rest.items)]
    assert sorted(seen) == [record.access_key_id for record in records]


async def test_a_session_that_has_expired_is_absent(cache: Cache, clock: Any) -> None:
    await cache.put_session(make_session(clock, "ASIA1", 1))
    await cache.put_session(make_session(clock, "ASIA2", 60))
    assert await cache.find_session("ASIA1") is not None
    await asyncio.sleep(1.1)
    clock.move(1.1)
    assert await cache.find_session("ASIA1") is None
    assert await list_all(cache, ACCOUNT) == ["ASIA2"]


async def test_a_counter_is_shared_and_ends_when_its_first_count_said(
    cache: Cache, other_cache: Cache, clock: Any
) -> None:
    first = clock.now() + timedelta(seconds=2)
    later = clock.now() + timedelta(hours=1)
    assert await cache.count("tries", b"k", 1, expires_at=first) == 1
    totals = await asyncio.gather(
        *(
            entry.count("tries", b"k", 2, expires_at=later)
            for entry in (cache, other_cache)
        )
    )
    assert sorted(totals) == [3, 5]
    assert await cache.count("tries", b"k", -1, expires_at=later) == 4
    assert await cache.count("tries", b"other", 1, expires_at=later) == 1
    await cache.drop("tries", b"other")
    assert await cache.count("tries", b"other", 1, expires_at=later) == 1
    await asyncio.sleep(2.1)
    clock.move(2.1)
    assert await cache.count("tries", b"k", 1, expires_at=later) == 1


async def test_calls_are_limited_per_key_and_second_over_all_workers(
    cache: Cache, other_cache: Cache, clock: Any
) -> None:
    counted = [await which.hit("a", b"k") for which in (cache, other_cache) * 3]
    assert counted == [1, 2, 3, 4, 5, 6]
    assert await cache.hit("a", b"other") == 1
    assert await cache.hit("b", b"k") == 1
    clock.move(1)
    assert await cache.hit("a", b"k") == 1


async def test_a_call_may_count_for_several(
    cache: Cache, other_cache: Cache, clock: Any
) -> None:
    both = (cache, other_cache)
    counted = await asyncio.gather(
        *(which.hit("c", b"k", 3_000_000) for which in both * 2)
    )
    assert sorted(counted) == [3_000_000, 6_000_000, 9_000_000, 12_000_000]
    clock.move(1)
    assert await cache.hit("c", b"k") == 1


@pytest.mark.parametrize("many", [200])
async def test_many_records_at_once_all_arrive(
    cache: Cache, clock: Any, many: int
) -> None:
    records = [make_session(clock, f"ASIA{n:03d}") for n in range(many)]
    await asyncio.gather(*(cache.put_session(record) for record in records))
    for record in records:
        assert await cache.find_session(record.access_key_id) == record


async def test_a_cache_that_is_there_answers_a_ping(cache: Cache) -> None:
    await cache.ping()
