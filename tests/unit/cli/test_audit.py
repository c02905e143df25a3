import asyncio
import csv
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from broker.cli import audit
from broker.cli.operator import with_installation
from broker.compose.installation import Installation
from broker.model.account import AccountId
from broker.model.audit import AuditFilter, AuditRecord, RecordKind
from broker.runtime.entropy import new_request_id
from tests.support.rows import cases
from tests.unit.cli.conftest import ACCOUNT, CommandLine

OTHER = "222222222222"


@pytest.fixture(autouse=True)
def _two_accounts(cli: CommandLine) -> None:
    cli("account", "create", ACCOUNT)
    cli("account", "create", OTHER)
    cli("account", "root-key", OTHER, "--deactivate")


def actions(cli: CommandLine, *words: str) -> list[str]:
    return [
        f"{record['action']} {record['account']}"
        for record in cli.lines("audit", "--json", *words)
    ]


def test_records_come_newest_first_as_json_lines(cli: CommandLine) -> None:
    assert actions(cli) == [
        f"broker:DeactivateRootKey {OTHER}",
        f"broker:CreateAccount {OTHER}",
        f"broker:CreateAccount {ACCOUNT}",
    ]


@cases("words, count")
def test_every_filter_narrows(
    cli: CommandLine, words: tuple[str, ...], count: int
) -> None:
    assert len(actions(cli, *words)) == count


def test_one_request_is_found_by_its_id(cli: CommandLine) -> None:
    (event,) = [r["event_id"] for r in cli.lines("audit", "--json", "--limit", "1")]
    assert actions(cli, "--request-id", event) == [f"broker:DeactivateRootKey {OTHER}"]


def test_a_person_reads_a_table_with_one_record_a_line(cli: CommandLine) -> None:
    table = cli("audit").splitlines()
    assert len(table) == 4
    assert table[0].split() == [
        *("When", "Account", "Action", "Resource", "Principal", "From", "Outcome"),
        *("Request", "ID"),
    ]
    assert OTHER in table[1]
    assert "broker:DeactivateRootKey" in table[1]


def test_nothing_found_is_said_beside_the_answer(cli: CommandLine) -> None:
    assert cli("audit", "--request-id", "none") == ""
    assert "No matching records" in cli.stderr


@pytest.mark.parametrize(
    "words", [("--since", "yesterday"), ("--account", "1"), ("--limit", "0")]
)
def test_a_filter_that_makes_no_sense_is_refused(
    cli: CommandLine, words: tuple[str, ...]
) -> None:
    cli("audit", *words, fails=True)


def test_a_spreadsheet_gets_a_line_for_each_record(cli: CommandLine) -> None:
    lines = list(csv.DictReader(cli("audit", "--csv").splitlines()))
    assert [line["action"] for line in lines] == [
        "broker:DeactivateRootKey",
        "broker:CreateAccount",
        "broker:CreateAccount",
    ]
    assert {(line["outcome"], line["kind"]) for line in lines} == {
        ("allowed", "change")
    }


@cases("words, count")
def test_kinds_and_outcomes_can_be_repeated(
    cli: CommandLine, words: tuple[str, ...], count: int
) -> None:
    assert len(actions(cli, *words)) == count


def test_a_summary_counts_what_the_records_say(cli: CommandLine) -> None:
    provider = f"arn:aws:iam::{OTHER}:saml-provider/Corp"
    refused = {"decision": "refused", "error_code": "InvalidIdentityToken"}
    write(
        *(record(session={"provider_arn": provider}) for _ in range(3)),
        *(record(**refused, detail="audience-wrong: x") for _ in range(2)),
        record(**refused),
    )
    assert cli.lines("audit", "--account", OTHER, "--summary", "--json") == [
        {"measure": "refused", "name": "audience wrong", "count": 2},
        {"measure": "refused", "name": "InvalidIdentityToken", "count": 1},
        {"measure": "sign-in", "name": provider, "count": 3},
    ]
    assert cli("audit", "--account", OTHER, "--summary").splitlines()[0].split() == [
        *("Count", "What", "Provider", "or", "reason")
    ]
    assert "Counted until" in cli.stderr
    cli("audit", "--summary", fails=True)


@pytest.mark.usefixtures("cli")
def test_following_shows_each_new_record_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "_FOLLOW_SECONDS", 0.01)
    rows: list[str] = []

    async def work(installation: Installation) -> None:
        def show(records: list[AuditRecord]) -> None:
            rows.extend(record.event_id for record in records)
            came.set()

        came = asyncio.Event()
        filters = AuditFilter(account=AccountId(OTHER), kinds=(RecordKind.SIGN_IN,))
        following = asyncio.create_task(
            audit._show(installation, filters, 5, show, follow=True)
        )
        ledger, now = installation.stores.ledger, datetime.now(UTC)
        # The second is dated before the first: its worker was slower.
        for number, seconds in enumerate((0, -3, 1)):
            at = now + timedelta(seconds=seconds)
            await ledger.mint(record(event_id=str(number), at=at), None)
            await asyncio.wait_for(came.wait(), 10)
            came.clear()
        await asyncio.sleep(0.05)
        following.cancel()

    with_installation(work)
    assert rows == ["0", "1", "2"]


@pytest.mark.usefixtures("cli")
def test_what_the_limit_left_out_is_not_followed_as_new(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(audit, "_FOLLOW_SECONDS", 0.01)
    rows: list[str] = []
    now = datetime.now(UTC)
    write(
        *(
            record(event_id=str(number), at=now + timedelta(seconds=number - 4))
            for number in range(4)
        )
    )

    async def work(installation: Installation) -> None:
        def show(records: list[AuditRecord]) -> None:
            rows.extend(record.event_id for record in records)
            came.set()

        came = asyncio.Event()
        filters = AuditFilter(account=AccountId(OTHER), kinds=(RecordKind.SIGN_IN,))
        following = asyncio.create_task(
            audit._show(installation, filters, 2, show, follow=True)
        )
        await asyncio.wait_for(came.wait(), 10)
        came.clear()
        many = [record(event_id=f"new-{n:03}", at=now) for n in range(600)]
        for audit_record in many:
            await installation.stores.ledger.append(audit_record)
        await installation.stores.ledger.mint(record(event_id="last", at=now), None)
        async with asyncio.timeout(10):
            while "last" not in rows:
                await came.wait()
                came.clear()
        following.cancel()

    with_installation(work)
    assert rows[:2] == ["3", "2"]
    assert len(rows) == len(set(rows)) == 2 + 600 + 1


def write(*records: AuditRecord) -> None:
    async def work(installation: Installation) -> None:
        for audit_record in records:
            await installation.stores.ledger.mint(audit_record, None)

    with_installation(work)


def record(**members: Any) -> AuditRecord:
    return AuditRecord(
        **{
            "event_id": new_request_id(),
            "at": datetime.now(UTC),
            "account": AccountId(OTHER),
            "action": "sts:AssumeRoleWithSAML",
            "decision": "allowed",
            **members,
        }
    )
