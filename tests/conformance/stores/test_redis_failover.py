"""A master that is lost for good: its replica serves within seconds, with no restart."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from broker.runtime.clock import SystemClock
from broker.stores.cache.redis import RedisCache
from broker.stores.errors import StoreUnavailableError
from broker.stores.urls import parse_redis_url
from tests.support.servers import (
    RedisServer,
    find_redis,
    is_master,
    start_redis,
    start_redis_family,
    start_redis_sentinel,
)

PROMISED_SECONDS = 3
"""From the replica's promotion."""

KEYS = [number.to_bytes(2, "big") for number in range(64)]
"""Some in the slots of every master."""


@pytest.fixture
def family() -> Iterator[list[RedisServer]]:
    if find_redis() is None:
        pytest.skip("redis-server is not installed")
    with start_redis_family() as nodes:
        yield nodes


async def serves(cache: RedisCache) -> bool:
    """Whether every key can be written and read."""
    later = datetime.now(UTC) + timedelta(minutes=5)
    try:
        for key in KEYS:
            await cache.put("space", key, key, expires_at=later)
            assert await cache.get("space", key) == key
    except StoreUnavailableError:
        return False
    return True


async def wait_for_promotion(replica: RedisServer) -> None:
    async with asyncio.timeout(30):
        while not await asyncio.to_thread(is_master, replica):  # noqa: ASYNC110  # another process's
            await asyncio.sleep(0.05)


async def wait_for_service(cache: RedisCache) -> None:
    async with asyncio.timeout(PROMISED_SECONDS):
        while not await serves(cache):  # noqa: ASYNC110  # another process's
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("leave", ["kill", "freeze"])
async def test_a_cluster_is_followed_to_the_replica_of_a_lost_master(
    family: list[RedisServer], leave: str
) -> None:
    first, _, _, replica, *_ = family
    # The lost node is the first that the operator names.
    hosts = ",".join(f"127.0.0.1:{node.port}" for node in family[:3])
    location = parse_redis_url(f"redis+cluster://{hosts}")
    cache = RedisCache(location, prefix="test", clock=SystemClock())
    await cache.start()
    assert await serves(cache)
    getattr(first, leave)()
    assert not await serves(cache)
    promotion = asyncio.create_task(wait_for_promotion(replica))
    while not promotion.done():
        await serves(cache)
        await asyncio.sleep(0.05)
    await wait_for_service(cache)
    await cache.close()


async def test_sentinels_are_followed_although_the_first_is_lost_with_the_master() -> (
    None
):
    if find_redis() is None:
        pytest.skip("redis-server is not installed")
    with (
        start_redis() as master,
        start_redis() as replica,
        start_redis_sentinel(master, "main") as first,
        start_redis_sentinel(master, "main") as second,
    ):
        replica.command("REPLICAOF", "127.0.0.1", str(master.port))
        for sentinel in (first, second):
            for option in ("down-after-milliseconds", "failover-timeout"):
                sentinel.command("SENTINEL", "SET", "main", option, "500")
        hosts = f"127.0.0.1:{first.port},127.0.0.1:{second.port}"
        location = parse_redis_url(f"redis+sentinel://{hosts}/main")
        cache = RedisCache(location, prefix="test", clock=SystemClock())
        await cache.start()
        assert await serves(cache)
        first.freeze()
        master.freeze()
        assert not await serves(cache)
        # What a majority of sentinels does when the first is away for good.
        replica.command("REPLICAOF", "NO", "ONE")
        second.command("SENTINEL", "REMOVE", "main")
        second.command(
            "SENTINEL", "MONITOR", "main", "127.0.0.1", str(replica.port), "1"
        )
        await wait_for_service(cache)
        await cache.close()
