"""Which allowed decisions a worker keeps, and that it forgets."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import cast
from unittest.mock import create_autospec

import pytest
from msgspec.structs import replace

from broker.audit import decisions
from broker.audit.decisions import DecisionLog
from broker.audit.entry import AuditEntry
from broker.audit.writer import Auditor
from broker.errors import ServiceUnavailable
from broker.model.account import AccountId
from broker.model.audit import AuditRecord, Outcome
from broker.model.registered import RegisteredService
from broker.runtime.clock import SystemClock
from broker.stores.errors import StoreUnavailableError
from broker.stores.ledger.port import Ledger

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
ORDERS = RegisteredService(
    account=AccountId("111122223333"),
    service_id="ASVC1",
    name="orders",
    definition="{}",
    created_at=NOW,
    updated_at=NOW,
)
STORE = replace(ORDERS, service_id="ASVC2", name="store")


def log(slow: "SlowLedger | None" = None) -> DecisionLog:
    clock = SystemClock()
    ledger = create_autospec(Ledger, instance=True)
    if slow is not None:
        ledger.append.side_effect = slow.append
    auditor = Auditor(ledger, clock)
    return DecisionLog(auditor, clock, lambda _outcome: None)


def kept(
    made: DecisionLog,
    service: RegisteredService = ORDERS,
    *,
    caller: str = "alice",
    days: int = 0,
    every: int = 3,
) -> str:
    now = NOW + timedelta(days=days)
    return made.find_reason_to_keep(service, caller, "execute-api:Invoke", now, every)


def test_a_first_use_is_of_one_service_caller_and_day() -> None:
    made = log()
    assert kept(made, caller="alice") == "first use today"
    assert kept(made, caller="bob") == "first use today"
    assert kept(made, STORE) == "first use today"
    assert kept(made) == ""
    assert kept(made, days=1) == "first use today"
    assert kept(made, days=1) == ""


def test_one_in_so_many_is_kept_across_days() -> None:
    made = log()
    kept(made)
    assert [kept(made) for _ in range(5)] == ["", "", "one in 3", "", ""]
    kept(made, days=1)
    assert kept(made, days=1) == "one in 3"
    kept(made, STORE, days=1)
    assert [kept(made, STORE, days=1) for _ in range(3)] == ["", "", "one in 3"]


def test_a_service_that_is_not_used_for_a_day_is_forgotten() -> None:
    made = log()
    for number in range(100):
        service = replace(ORDERS, service_id=f"ASVC{number}")
        kept(made, service)
        kept(made, service)
    for days in (1, 2):
        kept(made, STORE, days=days)
        kept(made, STORE, days=days)
    assert set(made._since_sample) | set(made._since_sample_before) == {"ASVC2"}


def test_first_uses_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decisions, "FIRST_USES_MAX", 10)
    made = log()
    for number in range(11):
        assert kept(made, caller=str(number)) == "first use today"
    assert len(made._first_uses) == 1


async def test_a_first_use_that_was_not_recorded_is_one_again() -> None:
    class FullLedger(SlowLedger):
        async def append(self, record: AuditRecord) -> None:
            raise StoreUnavailableError(f"no room for {record.event_id}")

    made = log(FullLedger())
    assert kept(made) == "first use today"
    entry = AuditEntry(
        event_id="1", at=NOW, door="", action="a", source_ip="", user_agent=""
    )
    with pytest.raises(ServiceUnavailable):
        await made.keep(entry)
    assert kept(made) == "first use today"


class SlowLedger:
    """Takes a record only once it may."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.may_go_on = asyncio.Event()
        self.allowed = 0
        self.has_both = asyncio.Event()

    async def append(self, record: AuditRecord) -> None:
        self.began.set()
        await self.may_go_on.wait()
        self.allowed += cast("int", record.parameters["Allowed"])
        if self.allowed == 2:
            self.has_both.set()


async def test_numbers_go_on_while_earlier_ones_are_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(decisions, "COUNT_SECONDS", 0.01)
    ledger = SlowLedger()
    made = log(ledger)
    made.count(ORDERS, Outcome.ALLOWED)
    await ledger.began.wait()
    made.count(ORDERS, Outcome.ALLOWED)
    ledger.may_go_on.set()
    async with asyncio.timeout(10):
        await ledger.has_both.wait()


async def test_closing_loses_no_numbers_that_are_being_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(decisions, "COUNT_SECONDS", 0.01)
    ledger = SlowLedger()
    made = log(ledger)
    made.count(ORDERS, Outcome.ALLOWED)
    await ledger.began.wait()
    made.count(ORDERS, Outcome.ALLOWED)
    closing = asyncio.create_task(made.close())
    await asyncio.sleep(0)
    ledger.may_go_on.set()
    await closing
    assert ledger.allowed == 2
