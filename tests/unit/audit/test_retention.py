import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from broker.audit.upkeep import retention
from broker.runtime.clock import SystemClock
from broker.stores.errors import StoreUnavailableError


class Ledger:
    """Keeps what it was told to forget; fails as often as a test says."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.asked: list[dict[str, datetime]] = []
        self.twice = asyncio.Event()

    async def purge(self, **before: datetime) -> None:
        self.asked.append(before)
        if len(self.asked) == 2:
            self.twice.set()
        if len(self.asked) <= self.failures:
            raise StoreUnavailableError


class Handles:
    """Counts how often it was purged."""

    purged = 0

    async def purge(self) -> None:
        self.purged += 1


async def kept(ledger: Any) -> None:
    keep = timedelta(days=30)
    handles: Any = Handles()
    async with retention(ledger, handles, SystemClock(), keep, interval_seconds=0.001):
        await asyncio.wait_for(ledger.twice.wait(), 5)
    assert handles.purged or ledger.failures


async def test_old_records_and_marks_that_ran_out_are_forgotten_again_and_again() -> (
    None
):
    ledger = Ledger()
    await kept(ledger)
    now = datetime.now(UTC)
    for before in ledger.asked:
        assert now - before["audit_before"] >= timedelta(days=30)
        assert timedelta(hours=1) <= now - before["marks_before"] < timedelta(hours=2)


async def test_a_database_that_is_away_is_asked_again() -> None:
    await kept(Ledger(failures=1))


async def test_nothing_goes_on_after_the_end() -> None:
    ledger = Ledger()
    await kept(ledger)
    count = len(ledger.asked)
    await asyncio.sleep(0.02)
    assert len(ledger.asked) == count
