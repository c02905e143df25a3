"""Decisions are counted; denials, first uses and samples are kept."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from broker.actions.decisions import authorize
from broker.audit import decisions
from broker.audit.entry import AuditEntry
from broker.model.audit import AuditFilter, AuditRecord
from broker.model.page import PageRequest
from broker.model.request import Door
from tests.support.broker import Key
from tests.support.decisions import ACCOUNT, ORDER, ORDERS, READER, AskingService, sign
from tests.support.effort import times_as_long
from tests.support.in_process import in_process
from tests.unit.actions.decisions.test_authorize import session_of


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[AskingService]:
    async with in_process(tmp_path) as broker:
        made = AskingService(broker, await broker.create_account(ACCOUNT))
        await made.register({**ORDERS, "SampleEvery": 10})
        await made.make_token()
        yield made


@pytest.fixture
async def alice(service: AskingService) -> Key:
    return await service.make_user("alice", READER)


async def records(service: AskingService, action: str) -> list[AuditRecord]:
    """Oldest first, once everything before is written."""
    ledger = service.broker.services.stores.ledger
    mark = uuid.uuid4().hex
    now = service.broker.clock.now()
    await ledger.append(AuditRecord(event_id=mark, at=now, account=None))
    async with asyncio.timeout(10):
        while await ledger.find(mark) is None:  # noqa: ASYNC110  # a database is asked
            await asyncio.sleep(0.01)
    page = await ledger.search(AuditFilter(action=action), PageRequest(None, 1000))
    return list(reversed(page.items))


async def test_first_uses_and_samples_are_kept(
    service: AskingService, alice: Key
) -> None:
    for _ in range(25):
        assert (await service.ask(Request=sign(alice).described()))["Allowed"]
    kept = await records(service, "orders:GetOrder")
    assert [record.reason.rpartition("(")[2] for record in kept] == [
        "first use today)",
        "one in 10)",
        "one in 10)",
    ]
    first = kept[0]
    assert first.account == ACCOUNT
    assert first.caller_arn.endswith(":user/alice")
    assert first.resources == (f"{ORDER}7",)
    assert first.door == "decisions"
    assert "inline:Own" in first.reason
    assert await records(service, "broker:Authorize") == []


async def test_a_first_use_is_of_one_key_wherever_it_is_said_to_be(
    service: AskingService, alice: Key
) -> None:
    """The address is what the service tells: it could tell any number of them."""
    made = await service.broker.ask(
        "iam", "CreateAccessKey", service.root, UserName="alice"
    )
    second = Key.of(made["AccessKey"])
    home, abroad = "2001:db8::1", "2001:db8:0:1::1"
    for key, address in (
        (alice, home),
        (alice, "2001:db8::2"),
        (alice, abroad),
        (alice, abroad),
        (second, home),
        (second, "203.0.113.1"),
        (second, "203.0.113.2"),
    ):
        told = sign(key).described(SourceIp=address)
        assert (await service.ask(Request=told))["Allowed"]
    kept = await records(service, "orders:GetOrder")
    first = [(r.access_key_id, r.source_ip) for r in kept if "first use" in r.reason]
    assert first == [
        (alice.access_key_id, home),
        (second.access_key_id, home),
    ]


async def test_however_an_action_is_written_it_is_the_declared_one(
    service: AskingService, alice: Key
) -> None:
    """Else one name would be in the log and among the uses in any number of ways."""
    assert alice
    for action in ("ORDERS:getorder", "orders:GETORDER"):
        answer = await service.ask(
            Principal=f"arn:aws:iam::{ACCOUNT}:user/alice",
            Actions=[action],
            Resources=[f"{ORDER}7"],
        )
        assert answer["Decisions"][0]["Action"] == "orders:GetOrder"
        assert answer["Allowed"]
    (record,) = await records(service, "orders:GetOrder")
    assert record.action == "orders:GetOrder"


async def test_a_denial_is_kept_with_its_reason(
    service: AskingService, alice: Key
) -> None:
    told = sign(alice, method="PUT", s3=True).described(SourceIp="203.0.113.9")
    answer = await service.ask(Request=told)
    (record,) = await records(service, "orders:PutOrder")
    assert record.event_id == answer["RequestId"]
    assert (record.decision, record.error_code) == ("denied", "AccessDenied")
    assert "identity-based policy" in record.detail
    assert record.source_ip == "203.0.113.9"
    assert "identity-based policy" not in json.dumps(answer)


async def evaluate(service: AskingService, *evaluations: dict[str, Any]) -> list[bool]:
    """The decisions of a batch about alice."""
    answer = await service.broker.http.post(
        "/access/v1/evaluations",
        json={
            "subject": {"type": "user", "id": "alice"},
            "action": {"name": "GetOrder"},
            "resource": {"type": "order", "id": "7"},
            "evaluations": list(evaluations),
        },
        headers={"Authorization": f"Bearer {service.token}"},
    )
    return [entry["decision"] for entry in answer.json()["evaluations"]]


async def test_addresses_that_a_service_makes_up_write_no_records(
    service: AskingService, alice: Key
) -> None:
    assert alice
    for call in range(5):
        told = [{"context": {"aws:SourceIp": f"10.{call}.{n}.1"}} for n in range(100)]
        assert await evaluate(service, *told) == [True] * 100
    kept = await records(service, "orders:GetOrder")
    # The first use, and one call in which there were samples; one record a call.
    assert len(kept) <= 5
    assert sum("first use" in record.reason for record in kept) == 1


async def test_a_token_has_so_many_records_a_minute(
    service: AskingService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decisions, "RECORDS_PER_MINUTE", 3)
    for number in range(6):
        await service.make_user(f"user{number}", READER)
    clock = service.broker.clock
    clock.move(60 - clock.monotonic() % 60)

    async def ask(number: int) -> None:
        answer = await service.ask(
            Principal=f"arn:aws:iam::{ACCOUNT}:user/user{number}",
            Actions=["orders:GetOrder"],
            Resources=[f"{ORDER}7"],
        )
        assert answer["Allowed"]

    for number in range(6):
        await ask(number)
    assert len(await records(service, "orders:GetOrder")) == 3
    # A first use that had no room is one again.
    clock.move(60)
    for number in range(6):
        await ask(number)
    kept = await records(service, "orders:GetOrder")
    callers = {record.caller_arn.rpartition("/")[2] for record in kept}
    assert callers == {f"user{number}" for number in range(6)}


async def test_a_batch_leaves_one_record_with_its_items(
    service: AskingService, alice: Key
) -> None:
    assert alice
    told = await evaluate(
        service,
        {"action": {"name": "GetOrder"}},
        {"action": {"name": "PutOrder"}},
        {"subject": {"type": "user", "id": "nobody"}},
        {"action": {"name": "GetOrder"}, "resource": {"type": "order", "id": "8"}},
    )
    assert told == [True, False, False, True]
    (record,) = await records(service, "broker:Authorize")
    assert record.account == ACCOUNT
    assert record.error_code
    assert record.caller_arn.endswith(":service/orders")
    assert f"{ORDER}7" in record.resources
    assert f"{ORDER}8" in record.resources
    items = record.parameters["Decisions"]
    assert isinstance(items, list)
    by_action = {item["Action"]: item for item in items}
    assert by_action["orders:GetOrder"]["Decision"] == "allowed"
    assert by_action["orders:GetOrder"]["Resources"] == [f"{ORDER}7", f"{ORDER}8"]
    assert "first use today" in by_action["orders:GetOrder"]["Reason"]
    assert by_action["orders:PutOrder"]["Decision"] == "denied"
    assert by_action["broker:Authorize"]["Decision"] == "error"
    for action in ("orders:GetOrder", "orders:PutOrder"):
        assert await records(service, action) == []


async def test_a_record_of_many_is_bounded(service: AskingService, alice: Key) -> None:
    assert alice
    long = [{"type": "order", "id": f"{n}{'x' * 900}"} for n in range(100)]
    told = [
        {"action": {"name": name}, "resource": resource}
        for name, resource in zip(["GetOrder", "PutOrder"] * 50, long, strict=True)
    ]
    assert await evaluate(service, *told) == [True, False] * 50
    (record,) = await records(service, "broker:Authorize")
    text = json.dumps([record.resources, record.parameters, record.detail])
    assert len(text) < 4 * authorize._ITEMS_CHARACTERS_MAX
    assert record.parameters["MoreDecisions"] == 1
    (item,) = cast("list[dict[str, Any]]", record.parameters["Decisions"])
    assert item["MoreResources"] + len(item["Resources"]) == 50


async def test_the_resources_of_one_action_are_in_its_record(
    service: AskingService, alice: Key
) -> None:
    assert alice
    await service.ask(
        Principal=f"arn:aws:iam::{ACCOUNT}:user/alice",
        Actions=["orders:PutOrder", "orders:GetOrder"],
        Resources=[f"{ORDER}{n}" for n in range(50)],
    )
    (record,) = await records(service, "broker:Authorize")
    assert record.caller_arn.endswith(":user/alice")
    items = record.parameters["Decisions"]
    assert isinstance(items, list)
    assert [len(item["Resources"]) for item in items] == [50, 50]


def test_a_record_of_many_resources_costs_as_much_for_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A deletion of a thousand objects asks for two actions on each."""
    monkeypatch.setattr(authorize, "_ITEMS_CHARACTERS_MAX", 1_000_000)

    def fill(number: int) -> None:
        record = authorize._Kept(
            AuditEntry(
                event_id="1", at=datetime.now(UTC), door=Door.DECISIONS, action="s3:Get"
            )
        )
        for n in range(number):
            record.add(f"arn:aws:s3:::bucket/{n}")
        assert len(record.complete().resources) == number

    assert times_as_long(lambda: fill(4_000), lambda: fill(500)) < 20


async def test_a_batch_that_ends_early_leaves_no_record_of_the_rest(
    service: AskingService, alice: Key
) -> None:
    assert alice
    evaluations = [
        {"action": {"name": name}, "resource": {"type": "order", "id": "7"}}
        for name in ("PutOrder", "GetOrder")
    ]
    answer = await service.broker.http.post(
        "/access/v1/evaluations",
        json={
            "subject": {"type": "user", "id": "alice"},
            "evaluations": evaluations,
            "options": {"evaluations_semantic": "deny_on_first_deny"},
        },
        headers={"Authorization": f"Bearer {service.token}"},
    )
    assert answer.json() == {"evaluations": [{"decision": False}]}
    assert len(await records(service, "orders:PutOrder")) == 1
    assert await records(service, "orders:GetOrder") == []


async def test_the_person_behind_a_session_is_in_its_records(
    service: AskingService, alice: Key
) -> None:
    session = await session_of(service, alice, SourceIdentity="alice")
    await service.ask(Request=sign(session).described())
    (record,) = await records(service, "orders:GetOrder")
    assert record.source_identity == "alice"


async def test_refusals_are_kept_up_to_a_rate(
    service: AskingService, alice: Key
) -> None:
    wrong = sign(Key(alice.access_key_id, "a" * 40)).forwarded()
    for _ in range(30):
        assert (await service.forward(wrong)).status == 401
    kept = await records(service, "broker:Authorize")
    assert 1 <= len(kept) < 30
    assert {record.error_code for record in kept} == {"SignatureDoesNotMatch"}
    assert kept[0].source_ip == "203.0.113.7"
    assert kept[0].resources == (f"arn:aws:broker::{ACCOUNT}:service/orders",)
    # What a client makes a proxy tell wrongly floods nothing either.
    for _ in range(30):
        await service.forward({**wrong, "X-Original-URI": "/"})
    assert len(await records(service, "broker:Authorize")) < 40


async def test_a_question_without_a_decision_is_kept_by_what_was_wrong(
    service: AskingService, alice: Key
) -> None:
    """Only an invalid proof is a refused proof."""
    for path in ("/other", "/orders//7"):
        await service.ask(Request=sign(alice, path).described())
    await service.ask(Request=sign(Key(alice.access_key_id, "a" * 40)).described())
    kept = await records(service, "broker:Authorize")
    assert [(record.decision, record.error_code) for record in kept] == [
        ("error", "AccessDenied"),
        ("error", "ValidationError"),
        ("refused", "SignatureDoesNotMatch"),
    ]


async def test_denials_of_one_caller_are_kept_up_to_a_rate(
    service: AskingService, alice: Key
) -> None:
    for _ in range(30):
        await service.ask(Request=sign(alice, method="PUT", s3=True).described())
    assert 1 <= len(await records(service, "orders:PutOrder")) < 30


async def test_numbers_are_recorded(service: AskingService, alice: Key) -> None:
    for path in ("/orders/7", "/orders/8", "/orders", "/other"):
        await service.ask(Request=sign(alice, path).described())
    await service.broker.services.decisions.close()
    (record,) = await records(service, "broker:CountDecisions")
    assert record.parameters == {"Allowed": 2, "Denied": 1, "Refused": 1}
    assert record.account == ACCOUNT
    metrics = (await service.broker.http.get("/metrics")).text
    assert 'broker_decisions_total{outcome="allowed"} 2.0' in metrics


async def test_a_service_that_asks_wrongly_floods_nothing(
    service: AskingService,
) -> None:
    for _ in range(30):
        assert (await service.post({"Unknown": 1})).status == 400
    assert 1 <= len(await records(service, "broker:Authorize")) < 30


async def test_who_is_only_named_has_used_nothing(
    service: AskingService, alice: Key
) -> None:
    ask, root = service.broker.ask, service.root
    named = {"Actions": ["orders:GetOrder"], "Resources": [f"{ORDER}7"]}
    key_id = alice.access_key_id
    await service.ask(Credentials={"AccessKeyId": key_id}, **named)
    await service.ask(Principal=f"arn:aws:iam::{ACCOUNT}:user/alice", **named)

    async def last_used() -> tuple[str, list[str]]:
        await service.broker.services.uses.flush()
        key = await ask("iam", "GetAccessKeyLastUsed", root, AccessKeyId=key_id)
        arn = f"arn:aws:iam::{ACCOUNT}:user/alice"
        job = await ask("iam", "GenerateServiceLastAccessedDetails", root, Arn=arn)
        report = await ask(
            "iam", "GetServiceLastAccessedDetails", root, JobId=job["JobId"]
        )
        accessed = [
            entry["ServiceNamespace"]
            for entry in report["ServicesLastAccessed"]
            if "LastAuthenticated" in entry
        ]
        return key["AccessKeyLastUsed"]["ServiceName"], accessed

    assert await last_used() == ("N/A", [])
    await service.ask(Request=sign(alice).described())
    assert await last_used() == ("orders", ["orders"])
    for record in (await records(service, "orders:GetOrder"))[:2]:
        assert record.access_key_id == ""
        assert record.parameters["NamedBy"].endswith(":service/orders")


async def test_service_last_accessed_knows_it(
    service: AskingService, alice: Key
) -> None:
    await service.ask(Request=sign(alice).described())
    await service.broker.services.uses.flush()
    ask, root = service.broker.ask, service.root
    job = await ask(
        "iam",
        "GenerateServiceLastAccessedDetails",
        root,
        Arn=f"arn:aws:iam::{ACCOUNT}:user/alice",
        Granularity="ACTION_LEVEL",
    )
    report = await ask("iam", "GetServiceLastAccessedDetails", root, JobId=job["JobId"])
    results = {
        entry["ServiceNamespace"]: entry for entry in report["ServicesLastAccessed"]
    }
    assert results["orders"]["LastAuthenticatedRegion"] == "us-east-1"
    (tracked,) = results["orders"]["TrackedActionsLastAccessed"]
    assert tracked["ActionName"] == "GetOrder"
