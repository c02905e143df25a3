"""What the ledger's port promises."""

import asyncio
import hashlib
import re
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import uvloop
from msgspec import structs
from msgspec.structs import replace

from broker.model.account import AccountId
from broker.model.audit import AuditFilter, AuditRecord, Outcome, RecordKind
from broker.model.page import PageRequest
from broker.runtime.entropy import new_request_id
from broker.stores.audit_rows import AuditRow, ReplayMark, encode_audit
from broker.stores.connect import connect_postgresql
from broker.stores.errors import (
    InvalidMarkerError,
    ReplayedError,
    StoreUnavailableError,
)
from broker.stores.ledger import postgresql
from broker.stores.ledger.port import Ledger
from broker.stores.ledger.postgresql import PostgresqlLedger
from broker.stores.ledger.search import Search
from broker.stores.ledger.sqlite import SqliteLedger
from broker.stores.spool import Spool
from broker.stores.times import to_micros
from broker.stores.urls import PostgresqlLocation
from tests.conformance.stores.conftest import make_ledger
from tests.support.waiting import until

ACCOUNT = AccountId("000000000001")
AT = datetime(2026, 3, 1, 12, 30, 15, 123457, tzinfo=UTC)
PROVIDER = "arn:aws:iam::000000000001:oidc-provider/idp.example.com"


def make_record(event_id: str = "", at: datetime = AT) -> AuditRecord:
    return AuditRecord(
        event_id=event_id or new_request_id(),
        at=at,
        account=ACCOUNT,
        door="api",
        action="sts:AssumeRoleWithWebIdentity",
        caller_arn=PROVIDER,
        principal_id="x",
        source_ip="10.0.0.1",
        user_agent="cli\u2028é",
        region="us-east-1",
        parameters={"RoleArn": "arn", "DurationSeconds": 3600, "Tags": ["a", "b"]},
        resources=("arn:1", "arn:2"),
        decision="allowed",
        reason="statement 1",
        session={
            "access_key_id": "ASIA1",
            "provider_arn": PROVIDER,
            "principal_arn": "arn:aws:sts::000000000001:assumed-role/Reader/task",
            "source_identity": "alice",
            "expires_at": 1,
        },
    )


def make_mark(text: str, mint_id: str) -> ReplayMark:
    key = hashlib.sha256(text.encode()).digest()
    return ReplayMark(key, mint_id, AT + timedelta(hours=1))


async def wait_for(ledger: Ledger, event_id: str) -> AuditRecord:
    async with asyncio.timeout(5):
        while True:
            record = await ledger.find(event_id)
            if record is not None:
                return record
            await asyncio.sleep(0.02)


async def test_a_record_reads_back_exactly_as_it_was_written(ledger: Ledger) -> None:
    record = make_record("1")
    await ledger.mint(record, None)
    assert await ledger.find("1") == record
    assert await ledger.find("2") is None


async def test_a_crowd_that_is_all_there_again_is_not_held_up(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.stores.ledger.postgresql._GATHER_SECONDS", 60)
    monkeypatch.setattr("broker.stores.ledger.postgresql._GATHER_SECONDS_MAX", 60)

    async def mint(after: float = 0) -> None:
        await asyncio.sleep(after)
        await ledger.mint(make_record(), None)

    async with asyncio.timeout(30):
        await asyncio.gather(mint(), mint(), mint())
        await asyncio.gather(mint(), mint(), mint(0.05))


async def test_a_crowd_that_grew_smaller_is_not_waited_for_for_ever(
    ledger: Ledger,
) -> None:
    await asyncio.gather(*(ledger.mint(make_record(), None) for _ in range(30)))
    async with asyncio.timeout(30):
        await ledger.mint(make_record("1"), None)
        await ledger.mint(make_record("2"), None)
    assert await ledger.find("2") is not None


@pytest.mark.parametrize("seconds", [0.0, 0.5])
def test_records_of_a_moment_share_a_transaction(
    postgresql_location: PostgresqlLocation,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    seconds: float,
) -> None:
    """On the event loop of the server, whose timers differ from asyncio's."""
    monkeypatch.setattr(postgresql, "_HAND_OVER_SECONDS", seconds)

    async def append() -> list[list[str]]:
        ledger = make_ledger(postgresql_location, tmp_path)
        await ledger.start()
        try:
            for moment in range(3):
                await ledger.append(make_record(f"{moment}-1"))
                if seconds:
                    await asyncio.sleep(seconds / 50)
                await ledger.append(make_record(f"{moment}-2"))
                await wait_for(ledger, f"{moment}-2")
        finally:
            await ledger.close()
        connection = await connect_postgresql(postgresql_location, statement_seconds=5)
        rows = await connection.fetch(
            "SELECT array_agg(event_id ORDER BY seq) FROM audit GROUP BY xmin::text"
        )
        await connection.close()
        return sorted(row[0] for row in rows)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        transactions = runner.run(append())
    assert transactions == [[f"{n}-1", f"{n}-2"] for n in range(3)]


async def test_hostile_text_neither_fails_nor_is_lost(ledger: Ledger) -> None:
    record = structs.replace(
        make_record("1"), action="a\0b\ud800", caller_arn="\0", user_agent="\udfff\0"
    )
    await ledger.mint(record, make_mark("a", "1"))
    assert await ledger.find("1") == record
    page = await ledger.search(AuditFilter(action="a\ufffdb?"), PageRequest())
    assert page.items == (record,)


async def test_a_mark_is_spent_once(ledger: Ledger, other_ledger: Ledger) -> None:
    await ledger.mint(make_record("1"), make_mark("a", "1"))
    for again in (ledger, other_ledger):
        with pytest.raises(ReplayedError):
            await again.mint(make_record("2"), make_mark("a", "2"))
    assert await ledger.find("2") is None
    await other_ledger.mint(make_record("3"), make_mark("b", "3"))


async def test_a_reservation_spends_until_it_is_released(
    ledger: Ledger, other_ledger: Ledger
) -> None:
    mark = make_mark("a", "1")
    await ledger.reserve(mark)
    await other_ledger.reserve(mark)  # the same mint's
    for again in (ledger, other_ledger):
        with pytest.raises(ReplayedError):
            await again.reserve(make_mark("a", "2"))
        with pytest.raises(ReplayedError):
            await again.mint(make_record("2"), make_mark("a", "2"))
    await other_ledger.release(make_mark("a", "2"))  # not its own
    with pytest.raises(ReplayedError):
        await ledger.reserve(make_mark("a", "2"))
    await other_ledger.release(mark)
    await ledger.mint(make_record("3"), make_mark("a", "3"))
    with pytest.raises(ReplayedError):
        await other_ledger.reserve(mark)


async def test_a_mint_that_comes_again_is_the_same_mint(ledger: Ledger) -> None:
    for _ in range(2):
        await ledger.mint(make_record("1"), make_mark("a", "1"))
    page = await ledger.search(AuditFilter(event_id="1"), PageRequest())
    assert len(page.items) == 1


async def test_a_replay_costs_the_others_of_its_batch_nothing(ledger: Ledger) -> None:
    await ledger.mint(make_record("old"), make_mark("0", "old"))
    results = await asyncio.gather(
        *(
            ledger.mint(make_record(f"m{n}"), make_mark(str(n // 2 * 2), f"m{n}"))
            for n in range(60)
        ),
        *(ledger.mint(make_record(f"plain{n}"), None) for n in range(10)),
        return_exceptions=True,
    )
    # Proof 0 was spent before; of each later pair exactly one wins.
    for n in range(0, 60, 2):
        pair = results[n : n + 2]
        lost = [r for r in pair if isinstance(r, ReplayedError)]
        assert len(lost) == (2 if n == 0 else 1)
    assert all(result is None for result in results[60:])
    for n, result in enumerate(results[:60]):
        assert (await ledger.find(f"m{n}") is not None) == (result is None)


async def test_more_mints_at_once_than_a_statement_holds_have_each_their_outcome(
    ledger: Ledger,
) -> None:
    proofs = [f"proof {number % 300}" for number in range(600)]
    results = await asyncio.gather(
        *(
            ledger.mint(make_record(str(number)), make_mark(proof, str(number)))
            for number, proof in enumerate(proofs)
        ),
        return_exceptions=True,
    )
    spent = [p for p, result in zip(proofs, results, strict=True) if result is None]
    assert len(spent) == len(set(spent)) == 300
    for number, result in enumerate(results):
        assert (await ledger.find(str(number)) is None) == (result is not None)
        assert result is None or isinstance(result, ReplayedError)


async def test_of_concurrent_mints_of_two_workers_exactly_one_wins(
    ledger: Ledger, other_ledger: Ledger
) -> None:
    def mint(which: Ledger, name: str, n: int) -> asyncio.Future[None]:
        mark = make_mark(str(n), f"{name}{n}")
        return asyncio.ensure_future(which.mint(make_record(f"{name}{n}"), mark))

    # In opposite orders, so that locks taken in the order of arrival would collide.
    first = [mint(ledger, "a", n) for n in range(100)]
    second = [mint(other_ledger, "b", n) for n in reversed(range(100))]
    results = await asyncio.gather(*first, *second, return_exceptions=True)
    wins = [result is None for result in results]
    assert all(r is None or isinstance(r, ReplayedError) for r in results)
    assert [a + b for a, b in zip(wins[:100], wins[:99:-1], strict=True)] == [1] * 100
    page = await ledger.search(AuditFilter(), PageRequest(limit=500))
    assert len(page.items) == 100


async def test_an_appended_record_is_durable_within_a_second(
    ledger: Ledger, other_ledger: Ledger
) -> None:
    record = make_record("1")
    await ledger.append(record)
    async with asyncio.timeout(1):
        assert await wait_for(other_ledger, "1") == record


async def test_closing_writes_out_what_is_queued(
    ledger: Ledger, other_ledger: Ledger
) -> None:
    for n in range(300):
        await ledger.append(make_record(str(n)))
    await ledger.close()
    page = await other_ledger.search(AuditFilter(), PageRequest(limit=1000))
    assert len(page.items) == 300


async def test_a_search_is_newest_first_and_stable_while_others_write(
    ledger: Ledger,
) -> None:
    for n in range(10):
        # Two records at the same instant each, written out of order.
        at = AT + timedelta(seconds=(n * 7 % 10) // 2)
        await ledger.mint(make_record(str(n), at), None)
    seen: list[AuditRecord] = []
    marker = None
    while True:
        page = await ledger.search(AuditFilter(), PageRequest(marker, 3))
        seen += page.items
        marker = page.marker
        if marker is None:
            break
        await ledger.mint(make_record("new", AT + timedelta(days=1)), None)
    assert sorted(r.event_id for r in seen) == [str(n) for n in range(10)]
    assert [r.at for r in seen] == sorted((r.at for r in seen), reverse=True)


async def test_a_search_narrows_by_every_member_of_the_filter(ledger: Ledger) -> None:
    base = make_record("1")
    other = AuditRecord(
        event_id="2",
        at=AT + timedelta(seconds=1),
        account=None,
        door="api",
        action="sts:GetCallerIdentity",
        caller_arn="arn:aws:iam::000000000002:user/x",
        access_key_id="AKIA2",
        source_identity="bob",
        parameters={"name": "alice", "path": "/task"},
        decision="denied",
    )
    for record in (base, other):
        await ledger.mint(record, None)
    later = AT + timedelta(seconds=1)
    for wanted, expected in [
        (AuditFilter(), ["2", "1"]),
        (AuditFilter(account=ACCOUNT), ["1"]),
        (AuditFilter(account=AccountId("000000000009")), []),
        (AuditFilter(event_id="2"), ["2"]),
        (AuditFilter(caller_arn=PROVIDER), ["1"]),
        (AuditFilter(access_key_id="AKIA2"), ["2"]),
        (AuditFilter(access_key_id="ASIA1"), ["1"]),
        (AuditFilter(minted_key_id="ASIA1"), ["1"]),
        (AuditFilter(minted_key_id="AKIA2"), []),
        (AuditFilter(account=ACCOUNT, minted_key_id="ASIA1"), ["1"]),
        (AuditFilter(action="sts:GetCallerIdentity"), ["2"]),
        (AuditFilter(action="sts:*"), ["2", "1"]),
        (AuditFilter(action="st:*"), []),
        (AuditFilter(action="s%:*"), []),
        (AuditFilter(action="sts:Get*"), []),
        (AuditFilter(action="GetCallerIdentity"), ["2"]),
        (AuditFilter(action="CallerIdentity"), []),
        (AuditFilter(action="GetCallerIdentityOfSomeoneElse"), []),
        (AuditFilter(decisions=(Outcome.DENIED,)), ["2"]),
        (AuditFilter(provider_arn=PROVIDER), ["1"]),
        (AuditFilter(source_identity="alice"), ["1"]),
        (AuditFilter(source_identity="bob"), ["2"]),
        (AuditFilter(source_identity="bo"), []),
        (AuditFilter(source_identity='"'), []),
        (AuditFilter(session_name="task"), ["1"]),
        (AuditFilter(session_name="x"), ["2"]),
        (AuditFilter(session_name="Reader"), []),
        (AuditFilter(account=ACCOUNT, session_name="x"), []),
        (AuditFilter(source_identity="alice", session_name="x"), []),
        (AuditFilter(role_name="Reader"), ["1"]),
        (AuditFilter(role_name="Reader", role_account=ACCOUNT), ["1"]),
        (AuditFilter(role_name="Reader", role_account=AccountId("000000000009")), []),
        (AuditFilter(role_name="Read"), []),
        (AuditFilter(role_name="task"), []),
        (AuditFilter(since=later), ["2"]),
        (AuditFilter(until=later), ["1"]),
        (AuditFilter(account=ACCOUNT, decisions=(Outcome.DENIED,)), []),
        (AuditFilter(account=ACCOUNT, decisions=(Outcome.ALLOWED,)), ["1"]),
        (AuditFilter(decisions=(Outcome.ALLOWED, Outcome.DENIED)), ["2", "1"]),
        (AuditFilter(kinds=(RecordKind.READ,)), ["2"]),
        (
            AuditFilter(account=ACCOUNT, kinds=(RecordKind.SIGN_IN, RecordKind.READ)),
            ["1"],
        ),
        (AuditFilter(account=ACCOUNT, kinds=(RecordKind.READ,)), []),
        (AuditFilter(account=ACCOUNT, event_id="2"), []),
        (AuditFilter(event_id="1", access_key_id="ASIA1"), ["1"]),
        (AuditFilter(event_id="2", access_key_id="ASIA1"), []),
        (AuditFilter(account=ACCOUNT, access_key_id="AKIA2"), []),
        (AuditFilter(event_id="1", minted_key_id="ASIA1"), ["1"]),
        (AuditFilter(event_id="2", minted_key_id="ASIA1"), []),
        (AuditFilter(access_key_id="AKIA2", minted_key_id="ASIA1"), []),
    ]:
        page = await ledger.search(wanted, PageRequest())
        assert [record.event_id for record in page.items] == expected


async def test_a_rare_record_is_found_a_window_at_a_time(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.stores.ledger.search.WINDOW_ROWS", 4)
    for n in range(10):
        at = AT + timedelta(seconds=n // 2)
        record = make_record(str(n), at)
        await ledger.mint(
            structs.replace(record, caller_arn="rare") if n == 3 else record, None
        )
    pages: list[list[str]] = []
    marker: str | None = None
    while not pages or marker:
        page = await ledger.search(
            AuditFilter(account=ACCOUNT, caller_arn="rare"), PageRequest(marker, 3)
        )
        pages.append([record.event_id for record in page.items])
        marker = page.marker
    assert pages == [[], ["3"], []]


async def test_every_search_goes_along_an_index(ledger: Ledger) -> None:
    """No sort and no scan, whatever is asked for."""
    account = AuditFilter(account=ACCOUNT)
    allowed = replace(account, decisions=(Outcome.ALLOWED,), action="iam:GetUser")
    read = replace(
        account, kinds=(RecordKind.READ,), since=AT, until=AT, provider_arn="x"
    )
    for wanted, indexes in (
        (AuditFilter(), {"audit_at"}),
        (AuditFilter(caller_arn="x"), {"audit_at"}),
        (account, {"audit_kind"}),
        (
            replace(account, kinds=(RecordKind.SIGN_IN, RecordKind.CHANGE)),
            {"audit_kind"},
        ),
        (replace(account, decisions=(Outcome.DENIED,)), {"audit_failures"}),
        (allowed, {"audit_kind"}),
        (replace(account, action="iam:*"), {"audit_kind"}),
        (read, {"audit_kind"}),
        (replace(account, event_id="x"), {"ix_audit_event_id"}),
        (
            replace(account, access_key_id="x"),
            {"audit_access_key_id", "audit_minted_key_id"},
        ),
    ):
        for steps in await explained(ledger, wanted):
            used = {
                name
                for step in steps
                for name in re.findall(r"\w*audit_[a-z]\w*", step)
            }
            assert used == indexes, steps


async def explained(ledger: Ledger, wanted: AuditFilter) -> list[list[str]]:
    """The database's plans for a search's statements."""
    is_sqlite = isinstance(ledger, SqliteLedger)
    search = Search.of(
        wanted,
        PageRequest(f"{to_micros(AT)}.1", 40),
        (lambda _: "?") if is_sqlite else (lambda n: f"${n}"),
    )
    plans = []
    for made in (search.window_end(), search.rows((1, 1))):
        if isinstance(ledger, SqliteLedger):
            with closing(sqlite3.connect(ledger._path)) as connection:
                rows = connection.execute(
                    f"EXPLAIN QUERY PLAN {made.text}", made.values
                ).fetchall()
            plans.append([row[3] for row in rows])
        elif isinstance(ledger, PostgresqlLedger):
            async with ledger._reads() as connection, connection.transaction():
                # On a table this small, any plan would be a scan.
                await connection.execute("SET LOCAL enable_seqscan = off")
                rows = await connection.fetch(f"EXPLAIN {made.text}", *made.values)
            plans.append([row[0] for row in rows])
    return plans


async def test_a_marker_of_another_list_is_refused(ledger: Ledger) -> None:
    for marker in ("", "x", "1", "1.x", f"{1 << 70}.1", "9" * 5000 + ".1"):
        with pytest.raises(InvalidMarkerError):
            await ledger.search(AuditFilter(), PageRequest(marker))


async def test_a_purge_forgets_expired_marks_and_old_records_only(
    ledger: Ledger,
) -> None:
    await ledger.mint(make_record("old", AT - timedelta(days=9)), make_mark("a", "old"))
    late = ReplayMark(b"k" * 32, "new", AT + timedelta(days=9))
    await ledger.mint(make_record("new"), late)
    await ledger.purge(
        marks_before=AT + timedelta(hours=2), audit_before=AT - timedelta(days=1)
    )
    assert await ledger.find("old") is None
    assert await ledger.find("new") is not None
    await ledger.mint(make_record("again"), make_mark("a", "again"))
    with pytest.raises(ReplayedError):
        await ledger.mint(make_record("x"), replace(late, mint_id="x"))


@pytest.fixture(params=[None, "\ud800"], ids=["the database", "the driver"])
def faulty(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug: records of one action make rows that something refuses."""

    def encode(record: AuditRecord) -> AuditRow:
        row = encode_audit(record)
        if record.action != "faulty":
            return row
        return (*row[:3], request.param, *row[4:])

    for database in ("sqlite", "postgresql"):
        monkeypatch.setattr(f"broker.stores.ledger.{database}.encode_audit", encode)


@pytest.mark.usefixtures("faulty")
async def test_a_faulty_record_is_lost_alone_and_logged_whole(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    records = [make_record(f"r-{number}") for number in range(9)]
    records[4] = structs.replace(records[4], action="faulty", reason="a reason to find")
    for record in records:
        await ledger.append(record)
    for record in records[:4] + records[5:]:
        assert await wait_for(ledger, record.event_id) == record
    await ledger.mint(make_record("after"), None)
    assert await ledger.find("r-4") is None
    assert not ledger.is_behind
    assert caplog.text.count("a reason to find") == 1


@pytest.mark.usefixtures("faulty")
async def test_a_faulty_mint_is_refused_and_costs_no_record_and_no_later_mint(
    ledger: Ledger,
) -> None:
    faulty = structs.replace(make_record("faulty"), action="faulty")
    await ledger.append(make_record("record"))
    with pytest.raises(StoreUnavailableError):
        await ledger.mint(faulty, make_mark("a", "1"))
    await ledger.mint(make_record("mint"), make_mark("a", "2"))
    await wait_for(ledger, "record")


@pytest.fixture
def left_behind(tmp_path: Path) -> list[AuditRecord]:
    """What a process that died had in its spool, one of them faulty."""
    records = [make_record(f"r-{number}") for number in range(3)]
    rows = [encode_audit(record) for record in records]
    bad: Any = (*rows[1][:3], None, *rows[1][4:])
    spool = Spool(tmp_path)
    spool.put([rows[0], bad, rows[2]])
    spool.close()
    return records


async def test_a_faulty_record_does_not_hold_up_the_spool(
    left_behind: list[AuditRecord], ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    for number in (0, 2):
        assert await wait_for(ledger, f"r-{number}") == left_behind[number]
    await until(lambda: not ledger.is_behind)
    assert await ledger.find("r-1") is None
    assert caplog.text.count("'r-1'") == 1


async def count_all(ledger: Ledger) -> None:
    for _ in range(20):  # records settle first, and are counted then
        await ledger.count(lambda record: record.error_code)


async def counted(
    ledger: Ledger, since: datetime, bucket_hours: int = 1
) -> list[tuple[datetime, str, str, int]]:
    counts = await ledger.counts(ACCOUNT, since, bucket_hours=bucket_hours)
    return sorted((c.hour, c.measure, c.name, c.count) for c in counts.counts)


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """No other process is writing."""
    monkeypatch.setattr("broker.stores.ledger.postgresql.SETTLE_SECONDS", 0.0)
    monkeypatch.setattr("broker.stores.ledger.counts.PORTION_ROWS", 3)


@pytest.mark.usefixtures("settled")
async def test_the_counts_agree_with_the_records(ledger: Ledger) -> None:
    first = AT.replace(minute=0, second=0, microsecond=0)
    for n in range(12):
        at = AT + timedelta(minutes=20 * n)
        record = make_record(f"s{n}", at)
        await ledger.mint(record, None)
        failed = structs.replace(
            record,
            event_id=f"f{n}",
            session=None,
            decision=("refused", "denied", "error")[n % 3],
            error_code="Code" if n % 2 else "Other",
        )
        await ledger.append(failed)
        await ledger.append(
            structs.replace(record, event_id=f"r{n}", action="iam:GetUser")
        )
    await ledger.mint(
        structs.replace(make_record("other"), account=AccountId("9" * 12)), None
    )
    await wait_for(ledger, "r11")
    await count_all(ledger)
    expected: dict[tuple[datetime, str, str], int] = {}
    page = await ledger.search(AuditFilter(account=ACCOUNT), PageRequest(limit=100))
    assert page.marker is None
    for record in page.items:
        hour = record.at.replace(minute=0, second=0, microsecond=0)
        if record.outcome is not Outcome.ALLOWED:
            key = (hour, str(record.outcome), record.error_code)
        elif record.kind is RecordKind.SIGN_IN:
            key = (hour, "sign-in", PROVIDER)
        else:
            continue
        expected[key] = expected.get(key, 0) + 1
    assert len(expected) > 8
    assert await counted(ledger, first) == sorted(
        (*key, number) for key, number in expected.items()
    )
    days = await counted(ledger, first, bucket_hours=24)
    assert sum(number for *_, number in days) == sum(expected.values())
    assert await counted(ledger, first + timedelta(hours=6)) == []
    counts = await ledger.counts(ACCOUNT, first, bucket_hours=1)
    assert counts.counted_until == AT + timedelta(minutes=220)


@pytest.mark.usefixtures("settled")
async def test_a_portion_is_counted_once_by_anyone_who_counts(
    ledger: Ledger, other_ledger: Ledger
) -> None:
    for n in range(20):
        await ledger.mint(make_record(str(n)), None)
    await asyncio.gather(count_all(ledger), count_all(other_ledger))
    await ledger.mint(make_record("last"), None)
    await asyncio.gather(count_all(ledger), count_all(other_ledger))
    assert [number for *_, number in await counted(ledger, AT)] == [21]


@pytest.mark.usefixtures("settled")
async def test_counted_failures_count_as_many(ledger: Ledger) -> None:
    record = structs.replace(
        make_record("c"),
        action="broker:CountFailures",
        decision="refused",
        session=None,
        parameters={"Failures": 17},
    )
    await ledger.mint(record, None)
    await count_all(ledger)
    assert [(c[1], c[3]) for c in await counted(ledger, AT)] == [("refused", 17)]


@pytest.mark.usefixtures("settled")
async def test_the_numbers_of_decisions_are_added_up(ledger: Ledger) -> None:
    arn = f"arn:aws:broker::{ACCOUNT}:service/orders"
    for n, numbers in enumerate(({"Allowed": 40, "Denied": 2}, {"Allowed": 2}, {})):
        record = structs.replace(
            make_record(f"d{n}"),
            action="broker:CountDecisions",
            decision="allowed",
            session=None,
            parameters={**numbers, "Refused": "many"},
            resources=(arn,),
        )
        await ledger.mint(record, None)
    await count_all(ledger)
    assert [c[1:] for c in await counted(ledger, AT)] == [
        ("decisions-allowed", arn, 42),
        ("decisions-denied", arn, 2),
    ]


@pytest.mark.usefixtures("settled")
async def test_a_purge_forgets_the_counts_of_hours_that_are_gone(
    ledger: Ledger,
) -> None:
    old = AT - timedelta(days=2)
    await ledger.mint(make_record("old", old), None)
    await ledger.mint(make_record("new"), None)
    await count_all(ledger)
    await ledger.purge(marks_before=AT, audit_before=AT - timedelta(days=1))
    assert len(await counted(ledger, old)) == 1
    await count_all(ledger)  # and what was counted is not counted again
    assert [number for *_, number in await counted(ledger, old)] == [1]
