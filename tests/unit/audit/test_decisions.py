"""Which allowed decisions a worker keeps, and that it forgets."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from unittest.mock import create_autospec

import pytest

from broker.audit import decisions
from broker.audit.decisions import DecisionLog
from broker.audit.writer import Auditor
from broker.clock import SystemClock
from broker.model.account import AccountId
from broker.model.registered import RegisteredService
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


def log() -> DecisionLog:
    clock = SystemClock()
    auditor = Auditor(create_autospec(Ledger, instance=True), clock)
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
