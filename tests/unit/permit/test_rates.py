from pathlib import Path

import pytest

from broker.compose.storage import open_stores
from broker.errors import Throttling
from broker.model.account import AccountId
from broker.permit.rates import RateLimits
from broker.stores.cache.port import Cache
from broker.stores.errors import StoreUnavailableError
from tests.support.clocks import SteppedClock
from tests.support.tables import lay_tables_at

FIRST, SECOND = AccountId("123456789012"), AccountId("210987654321")


class AwayCache:
    """A cache that is away, and how often it was asked."""

    asked = 0

    async def hit(self, _space: str, _key: bytes, amount: int = 1) -> int:
        self.asked += 1
        raise StoreUnavailableError(f"away; {amount}")


async def allowed(
    limits: RateLimits, account: AccountId, calls: int, cost: int = 1
) -> int:
    count = 0
    for _ in range(calls):
        try:
            await limits.charge(account, "sts", cost)
        except Throttling:
            continue
        else:
            count += 1
    return count


async def shared(tmp_path: Path, clock: SteppedClock) -> Cache:
    lay_tables_at(tmp_path / "broker.db")
    stores = await open_stores(
        f"sqlite:///{tmp_path / 'broker.db'}",
        "",
        clock=clock,
        spool_folder=tmp_path / "spool",
    )
    return stores.cache


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


async def test_each_account_has_its_limit_in_each_second(
    tmp_path: Path, clock: SteppedClock
) -> None:
    limits = RateLimits(await shared(tmp_path, clock), clock, calls_per_second=40)
    assert await allowed(limits, FIRST, 60) == 40
    assert await allowed(limits, SECOND, 60) == 40
    clock.seconds += 1
    assert await allowed(limits, FIRST, 60) == 40


async def test_workers_share_the_limit_but_for_a_small_share(
    tmp_path: Path, clock: SteppedClock
) -> None:
    cache = await shared(tmp_path, clock)
    workers = [RateLimits(cache, clock, calls_per_second=40) for _ in range(4)]
    counts = [await allowed(worker, FIRST, 40) for worker in workers]
    assert 40 <= sum(counts) <= 40 + 4 * 2


async def test_nought_switches_the_limit_off(clock: SteppedClock) -> None:
    limits = RateLimits(AwayCache(), clock, calls_per_second=0)  # type: ignore[arg-type] # only hit is used
    assert await allowed(limits, FIRST, 2000) == 2000


async def test_without_the_cache_each_worker_holds_the_limit_alone(
    clock: SteppedClock,
) -> None:
    cache = AwayCache()
    limits = RateLimits(cache, clock, calls_per_second=100)  # type: ignore[arg-type] # only hit is used
    assert await allowed(limits, FIRST, 150) == 100
    assert cache.asked == 1, "nobody waits for a cache that failed a moment ago"


async def test_a_quiet_account_does_not_ask_the_cache(clock: SteppedClock) -> None:
    cache = AwayCache()
    limits = RateLimits(cache, clock, calls_per_second=600)  # type: ignore[arg-type] # only hit is used
    assert await allowed(limits, FIRST, 30) == 30
    assert cache.asked == 0


async def test_a_costly_call_counts_for_several(
    tmp_path: Path, clock: SteppedClock
) -> None:
    cache = await shared(tmp_path, clock)
    workers = [RateLimits(cache, clock, calls_per_second=40) for _ in range(2)]
    assert await allowed(workers[0], FIRST, 10, cost=10) == 4
    assert await allowed(workers[1], FIRST, 10, cost=10) == 0
    assert await allowed(workers[1], SECOND, 10, cost=10) == 4


async def test_what_costs_more_than_the_limit_is_let_through_once(
    tmp_path: Path, clock: SteppedClock
) -> None:
    limits = RateLimits(await shared(tmp_path, clock), clock, calls_per_second=5)
    assert await allowed(limits, FIRST, 10, cost=50) == 1
    clock.seconds += 1
    assert await allowed(limits, FIRST, 10, cost=50) == 1


async def test_each_service_has_the_limit_for_itself(
    tmp_path: Path, clock: SteppedClock
) -> None:
    limits = RateLimits(await shared(tmp_path, clock), clock, calls_per_second=20)
    assert await allowed(limits, FIRST, 30) == 20
    await limits.charge(FIRST, "iam", 1)
    with pytest.raises(Throttling, match="Rate exceeded"):
        await limits.charge(FIRST, "sts", 1)
