from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from broker.compose.storage import Stores, open_stores
from broker.model.audit import AuditFilter, AuditRecord
from broker.model.page import PageRequest
from broker.runtime.clock import SystemClock
from broker.stores.audit_rows import ReplayMark
from broker.stores.errors import ReplayedError, StoreUnavailableError
from broker.stores.ledger.port import ObservedLedger
from tests.support.tables import lay_tables_at

NOW = datetime.now(UTC)


def record(event_id: str) -> AuditRecord:
    return AuditRecord(
        event_id=event_id, at=NOW, account=None, door="api", action="sts:AssumeRole"
    )


def mark(mint_id: str) -> ReplayMark:
    return ReplayMark(b"k" * 32, mint_id, NOW + timedelta(hours=1))


@pytest.fixture
async def stores(tmp_path: Path) -> AsyncIterator[Stores]:
    lay_tables_at(tmp_path / "broker.db")
    opened = await open_stores(
        f"sqlite:///{tmp_path / 'broker.db'}",
        clock=SystemClock(),
        spool_folder=tmp_path / "spool",
    )
    yield opened
    await opened.close()


async def test_mints_replays_and_records_are_told_apart(stores: Stores) -> None:
    seen: Counter[tuple[str, str]] = Counter()
    ledger = ObservedLedger(stores.ledger, lambda *what: seen.update([what]))
    await ledger.mint(record("one"), mark("one"))
    await ledger.mint(record("two"), None)
    with pytest.raises(ReplayedError):
        await ledger.mint(record("three"), mark("three"))
    await ledger.append(record("four"))
    assert seen == {("mint", "ok"): 2, ("mint", "replayed"): 1, ("append", "ok"): 1}


async def test_what_is_read_comes_from_the_ledger_below(stores: Stores) -> None:
    ledger = ObservedLedger(stores.ledger, lambda *_: None)
    await ledger.mint(record("one"), None)
    audit_record = await ledger.find("one")
    assert audit_record is not None
    page = await ledger.search(AuditFilter(event_id="one"), PageRequest())
    assert page.items == (audit_record,)
    later = NOW + timedelta(days=1)
    await ledger.purge(marks_before=later, audit_before=later)
    assert await ledger.find("one") is None


async def test_an_outage_is_counted_and_still_raised(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise StoreUnavailableError

    monkeypatch.setattr(stores.ledger, "mint", fail)
    monkeypatch.setattr(stores.ledger, "append", fail)
    seen: list[tuple[str, str]] = []
    ledger = ObservedLedger(stores.ledger, lambda *what: seen.append(what))
    with pytest.raises(StoreUnavailableError):
        await ledger.mint(record("one"), None)
    with pytest.raises(StoreUnavailableError):
        await ledger.append(record("one"))
    assert seen == [("mint", "unavailable"), ("append", "unavailable")]
