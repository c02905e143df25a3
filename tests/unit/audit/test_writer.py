import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import create_autospec

import pytest

from broker.audit import writer
from broker.audit.entry import AuditEntry
from broker.audit.flood import RECORDS_PER_SECOND
from broker.audit.writer import Auditor
from broker.compose.storage import open_stores
from broker.errors import (
    AccessDenied,
    BrokerError,
    ExpiredFederationToken,
    InvalidIdentityToken,
    NoSuchEntity,
    ProofUsed,
    ServiceUnavailable,
    SignatureDoesNotMatch,
    UpstreamOutcomeUnknown,
    ValidationError,
)
from broker.model.audit import AuditFilter, AuditRecord, Outcome
from broker.model.page import PageRequest
from broker.runtime.clock import Clock, SystemClock
from broker.stores.errors import StoreUnavailableError
from broker.stores.ledger.port import Ledger
from tests.support.tables import lay_tables_at


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    lay_tables_at(tmp_path / "broker.db")
    stores = await open_stores(
        f"sqlite:///{tmp_path / 'broker.db'}",
        clock=SystemClock(),
        spool_folder=tmp_path / "spool",
    )
    yield stores.ledger
    await stores.close()


def entry(event_id: str = "event-1", *, caller: str = "") -> AuditEntry:
    return AuditEntry(
        event_id=event_id,
        at=datetime.now(UTC),
        door="api",
        action="sts:AssumeRoleWithSAML",
        source_ip="192.0.2.1",
        user_agent="test",
        caller_arn=caller,
    )


async def written(ledger: Ledger) -> tuple[AuditRecord, ...]:
    # A mint is durable when it returns, and with it what was appended before.
    await ledger.mint(entry("marker").complete(), None)
    page = await ledger.search(AuditFilter(), PageRequest(limit=100))
    return tuple(record for record in page.items if record.event_id != "marker")


@asynccontextmanager
async def recorded(auditor: Auditor, call: AuditEntry) -> AsyncIterator[AuditEntry]:
    """Runs a call as the pipeline does."""
    try:
        yield call
    except BaseException as error:
        await auditor.fail(call, error)
        raise
    await auditor.append(call)


async def test_a_read_leaves_one_record(ledger: Ledger) -> None:
    async with recorded(Auditor(ledger, SystemClock()), entry(caller="arn")):
        pass
    assert [record.event_id for record in await written(ledger)] == ["event-1"]


async def test_what_was_used_before_is_on_record_as_refused(ledger: Ledger) -> None:
    allowed = entry(caller="arn")
    allowed.decision, allowed.reason = "allowed", "the trust policy allows it"
    with pytest.raises(ProofUsed):
        async with recorded(Auditor(ledger, SystemClock()), allowed):
            raise ProofUsed
    (record,) = await written(ledger)
    assert record.decision == "refused"
    assert record.reason == "replay: another mint has spent this proof"


async def test_what_was_committed_with_its_effect_is_not_written_again(
    ledger: Ledger,
) -> None:
    async with recorded(Auditor(ledger, SystemClock()), entry(caller="arn")) as opened:
        opened.committed = True
    assert await written(ledger) == ()


async def test_a_denial_is_recorded_with_its_reason(ledger: Ledger) -> None:
    with pytest.raises(AccessDenied):
        async with recorded(Auditor(ledger, SystemClock()), entry(caller="arn")):
            raise AccessDenied("for the wire", detail="for the operator")
    (record,) = await written(ledger)
    assert (record.decision, record.error_code) == ("denied", "AccessDenied")
    assert record.reason == record.detail == "for the operator"


@pytest.mark.parametrize(
    ("caller", "error", "outcome"),
    [
        ("", InvalidIdentityToken("x"), "refused"),
        ("arn", InvalidIdentityToken("used before"), "refused"),
        ("", SignatureDoesNotMatch("x"), "refused"),
        ("", ExpiredFederationToken("x"), "refused"),
        ("", AccessDenied("a wrong password"), "refused"),
        ("arn", AccessDenied("x"), "denied"),
        ("arn", NoSuchEntity("x"), "error"),
        ("", ValidationError("x"), "error"),
        ("", ServiceUnavailable(), "error"),
    ],
)
async def test_what_came_of_a_failed_call_can_be_searched(
    ledger: Ledger, caller: str, error: BrokerError, outcome: str
) -> None:
    call = entry(caller=caller)
    call.decision = "allowed"
    with pytest.raises(BrokerError):
        async with recorded(Auditor(ledger, SystemClock()), call):
            raise error
    await written(ledger)
    for wanted in Outcome:
        page = await ledger.search(
            AuditFilter(decisions=(wanted,)), PageRequest(limit=9)
        )
        items = [record for record in page.items if record.event_id != "marker"]
        assert len(items) == (wanted == outcome), wanted


@pytest.mark.parametrize(
    ("detail", "words"),
    [
        ("for the operator", "for the operator. Write another."),
        ("", "For the wire. Write another."),
    ],
)
async def test_advice_is_on_record_with_what_was_refused(
    ledger: Ledger, detail: str, words: str
) -> None:
    with pytest.raises(InvalidIdentityToken):
        async with recorded(Auditor(ledger, SystemClock()), entry(caller="arn")):
            raise InvalidIdentityToken(
                "For the wire", detail=detail, advice="Write another."
            )
    (record,) = await written(ledger)
    assert record.detail == words


async def test_a_surprise_is_recorded_by_kind_only(ledger: Ledger) -> None:
    with pytest.raises(KeyError):
        async with recorded(Auditor(ledger, SystemClock()), entry(caller="arn")):
            raise KeyError("a secret may stand here")
    (record,) = await written(ledger)
    assert (record.error_code, record.detail) == ("InternalFailure", "KeyError")


async def test_a_flood_of_strangers_becomes_a_count(ledger: Ledger) -> None:
    auditor = Auditor(ledger, SystemClock())
    for number in range(200):
        with pytest.raises(InvalidIdentityToken):
            async with recorded(auditor, entry(f"event-{number}")):
                raise InvalidIdentityToken("no")
    await auditor.close()
    records = await written(ledger)
    single = [r for r in records if r.action == "sts:AssumeRoleWithSAML"]
    counts = [r for r in records if r.action == "broker:CountFailures"]
    assert len(single) < 50
    assert len(single) + sum(int(str(r.parameters["Failures"])) for r in counts) == 200
    assert {r.source_ip for r in counts} == {"192.0.2.1"}
    assert {r.outcome for r in counts} == {Outcome.REFUSED}
    assert sum(record.weight for record in records) == 200


async def test_failures_of_proved_callers_are_all_recorded(ledger: Ledger) -> None:
    auditor = Auditor(ledger, SystemClock())
    for number in range(50):
        with pytest.raises(AccessDenied):
            async with recorded(auditor, entry(f"event-{number}", caller="arn")):
                raise AccessDenied("no")
    assert len(await written(ledger)) == 50


async def test_failures_counted_while_counts_are_written_are_written_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(writer, "_COUNT_SECONDS", 0.01)
    clock = create_autospec(Clock, instance=True)
    clock.monotonic.return_value = 0.0
    clock.now.return_value = datetime.now(UTC)
    ledger, may_write, waits = (
        create_autospec(Ledger, instance=True),
        asyncio.Event(),
        asyncio.Event(),
    )
    counts: asyncio.Queue[str] = asyncio.Queue()

    async def append(record: AuditRecord) -> None:
        if record.reason:
            waits.set()
            await may_write.wait()
            counts.put_nowait(record.reason)

    ledger.append.side_effect = append
    auditor = Auditor(ledger, clock)

    async def fail() -> None:
        failed = entry()
        failed.error_code = "AccessDenied"
        await auditor.append(failed)

    async with asyncio.timeout(10):
        for _ in range(RECORDS_PER_SECOND + 1):
            await fail()
        clock.monotonic.return_value = 2.0
        await waits.wait()
        for _ in range(RECORDS_PER_SECOND + 1):
            await fail()
    clock.monotonic.return_value = 4.0
    may_write.set()
    async with asyncio.timeout(10):
        assert await counts.get() == await counts.get()


async def test_counts_that_are_being_written_when_a_worker_ends_are_not_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(writer, "_COUNT_SECONDS", 0.01)
    clock = create_autospec(Clock, instance=True)
    clock.monotonic.return_value = 0.0
    clock.now.return_value = datetime.now(UTC)
    ledger = create_autospec(Ledger, instance=True)
    may_write, waits = asyncio.Event(), asyncio.Event()
    counted: list[str] = []

    async def append(record: AuditRecord) -> None:
        if record.action == "broker:CountFailures":
            waits.set()
            await may_write.wait()
            counted.append(record.source_ip)

    ledger.append.side_effect = append
    auditor = Auditor(ledger, clock)
    addresses = ["192.0.2.1", "192.0.2.2", "192.0.2.3"]
    for address in addresses:
        for _ in range(RECORDS_PER_SECOND + 1):
            failed = entry()
            failed.source_ip, failed.error_code = address, "AccessDenied"
            await auditor.append(failed)
    clock.monotonic.return_value = 2.0
    async with asyncio.timeout(10):
        await waits.wait()
        closing = asyncio.create_task(auditor.close())
        await asyncio.sleep(0)
        may_write.set()
        await closing
    assert sorted(counted) == addresses


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValidationError(), ServiceUnavailable),
        (UpstreamOutcomeUnknown(), UpstreamOutcomeUnknown),
    ],
    ids=["may be repeated", "must not"],
)
async def test_what_must_not_be_repeated_is_told_without_a_record(
    error: BrokerError, told: type[BrokerError]
) -> None:
    full = create_autospec(Ledger, instance=True)
    full.append.side_effect = StoreUnavailableError("the spool is full")
    auditor = Auditor(full, SystemClock())
    with pytest.raises(told):
        async with recorded(auditor, entry(caller="arn")):
            raise error


async def test_a_count_that_was_refused_is_written_later(ledger: Ledger) -> None:
    refusing = create_autospec(Ledger, instance=True)
    clock = create_autospec(Clock, instance=True)
    clock.monotonic.return_value = 0.0
    clock.now.return_value = datetime.now(UTC)
    auditor = Auditor(refusing, clock)

    async def fail() -> None:
        failed = entry()
        failed.error_code = "AccessDenied"
        await auditor.append(failed)

    for _ in range(RECORDS_PER_SECOND + 1):
        await fail()
    clock.monotonic.return_value = 2.0
    refusing.append.side_effect = StoreUnavailableError("the spool is full")
    with pytest.raises(ServiceUnavailable):
        await fail()
    refusing.append.side_effect = ledger.append
    await auditor.close()
    (count,) = await written(ledger)
    assert count.parameters["Failures"] == 1
