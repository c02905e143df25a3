"""A request that left no record of its own is found in a count."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from broker.audit.bursts import describe_burst, find_counted
from broker.audit.flood import Burst, Failure
from broker.compose.storage import open_stores
from broker.model.account import AccountId
from broker.runtime.clock import SystemClock
from broker.runtime.entropy import new_request_id
from broker.stores.ledger.port import Ledger

ACCOUNT, OTHER = AccountId("111111111111"), AccountId("222222222222")


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    stores = await open_stores(
        f"sqlite:///{tmp_path / 'broker.db'}",
        clock=SystemClock(),
        spool_folder=tmp_path / "spool",
    )
    yield stores.ledger
    await stores.close()


async def count(ledger: Ledger, at: datetime, *named: str, more: int = 0) -> None:
    failure = Failure("192.0.2.1", ACCOUNT, "refused")
    burst = Burst(failure, at, at, len(named) + more, list(named))
    entry = describe_burst(burst, at + timedelta(seconds=1))
    await ledger.mint(entry.complete(), None)


async def test_a_named_request_is_certainly_in_the_count(ledger: Ledger) -> None:
    named, now = new_request_id(), datetime.now(UTC)
    await count(ledger, now, new_request_id(), more=3)
    await count(ledger, now, named)
    failure = await find_counted(ledger, named, ACCOUNT)
    assert failure is not None
    assert failure.is_certain
    assert failure.sentence.startswith("This request was one of 1 failures in a burst")
    assert await find_counted(ledger, named, OTHER) is None


async def test_another_of_that_second_may_be(ledger: Ledger) -> None:
    unnamed, now = new_request_id(), datetime.now(UTC)
    await count(ledger, now, new_request_id(), more=3)
    failure = await find_counted(ledger, unnamed)
    assert failure is not None
    assert not failure.is_certain
    assert "may have been one of 4 failures" in failure.sentence


async def test_no_other_request_is(ledger: Ledger) -> None:
    unnamed, now = new_request_id(), datetime.now(UTC)
    await count(ledger, now, new_request_id())  # all of them are named
    await count(ledger, now - timedelta(seconds=5), new_request_id(), more=3)
    assert await find_counted(ledger, unnamed) is None


@pytest.mark.parametrize(
    "event_id",
    [
        *("", "event-1", "f47ac10b-58cc-4372-a567-0e02b2c3d479"),
        *(
            "00000000-0000-7000-8000-000000000000",
            "e677d21f-d805-7000-8000-000000000000",
        ),
        "ffffffff-ffff-7fff-bfff-ffffffffffff",
    ],
)
async def test_an_id_of_another_kind_is_not_found(
    ledger: Ledger, event_id: str
) -> None:
    await count(ledger, datetime.now(UTC), "event-1", more=3)
    assert await find_counted(ledger, event_id) is None
