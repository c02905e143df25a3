"""AuthZEN's certification scenario, and cases beyond it."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from msgspec import Struct

from broker.stores.directory import kinds
from broker.stores.directory.readings import TOKENS
from tests.support import authzen
from tests.support.authzen import DECISIONS, MALFORMED, RECORD, evaluation
from tests.support.broker import Key
from tests.support.decisions import ACCOUNT, AskingService
from tests.support.in_process import ORIGIN, Reply, in_process
from tests.support.lost_readings import lose


class Face(Struct):
    """The API, and the service that asks there."""

    service: AskingService

    async def post(self, path: str, body: object, **headers: str) -> Reply:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {
            "Content-Type": "application/json",
            "Authorization": f"Bearer {self.service.token}",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        answer = await self.service.broker.http.post(
            f"{ORIGIN}/access/v1/{path}",
            content=content,
            headers={name: value for name, value in sent.items() if value},
        )
        return Reply(answer.status_code, answer.headers, answer.content)

    async def ask(self, path: str, body: object) -> dict[str, Any]:
        reply = await self.post(path, body)
        assert reply.status == 200, reply.body
        assert reply.headers["content-type"] == "application/json"
        answer: dict[str, Any] = json.loads(reply.body)
        kind = path if path in answer else "evaluation"
        jsonschema.validate(answer, authzen.SCHEMAS[kind])
        return answer

    async def decide(self, body: object) -> bool:
        decision: bool = (await self.ask("evaluation", body))["decision"]
        return decision


@pytest.fixture
async def face(tmp_path: Path) -> AsyncIterator[Face]:
    async with in_process(tmp_path) as broker:
        service = AskingService(broker, await broker.create_account(ACCOUNT), "records")
        await service.register(authzen.DEFINITION)
        await service.make_token()
        for name in authzen.USERS:
            await service.make_user(name, json.loads(authzen.policy(name)))
            for key, value in authzen.TAGS[name].items():
                await broker.ask(
                    "iam",
                    "TagUser",
                    service.root,
                    UserName=name,
                    Tags=[{"Key": key, "Value": value}],
                )
        yield Face(service)


@pytest.fixture
async def own(tmp_path: Path) -> AsyncIterator[Face]:
    """A face of one test's own."""
    async with in_process(tmp_path) as broker:
        service = AskingService(broker, await broker.create_account(ACCOUNT), "records")
        await service.register(authzen.DEFINITION)
        await service.make_token()
        yield Face(service)


async def test_the_scenarios_decisions(face: Face) -> None:
    for asked, expected in DECISIONS:
        assert await face.decide(asked) is expected, asked
        alone = await face.ask("evaluations", {**asked, "evaluations": []})
        assert alone["decision"] is expected, asked


async def test_a_batch_is_answered_in_its_order(face: Face) -> None:
    asked = [entry for entry, _ in DECISIONS]
    answer = await face.ask("evaluations", {"evaluations": asked})
    decided = [entry["decision"] for entry in answer["evaluations"]]
    assert decided == [expected for _, expected in DECISIONS]


async def test_a_pattern_is_no_resource(face: Face) -> None:
    """A Deny of one record would not apply to it."""
    for pattern in ("*", f"{RECORD}*", f"{RECORD}record-?", "arn:aws:records:*:*:*"):
        record = {"type": "aws", "id": pattern}
        asked = {**evaluation("alice", "read", "record-1"), "resource": record}
        answer = await face.ask("evaluation", asked)
        assert answer["decision"] is False, pattern
        assert answer["context"]["error"]["status"] == 400, pattern


async def test_what_is_malformed_is_a_bad_request(face: Face) -> None:
    for malformed in MALFORMED:
        reply = await face.post("evaluation", malformed)
        assert reply.status == 400, malformed
        assert reply.headers["content-type"] == "text/plain; charset=utf-8"


async def test_defaults_are_replaced_whole(face: Face) -> None:
    asked = evaluation("alice", "write", "record-1", what={"status": "active"})
    archived = {"type": "record", "id": "record-2", "properties": authzen.ARCHIVED}
    answer = await face.ask(
        "evaluations",
        {
            **asked,
            "evaluations": [
                {},
                {"resource": archived},
                {"resource": {"id": "record-1"}},
                {"subject": {"type": "user", "id": "bob"}, "resource": archived},
            ],
        },
    )
    results = [entry["decision"] for entry in answer["evaluations"]]
    assert results == [True, False, False, True]
    assert answer["evaluations"][2]["context"]["error"]["status"] == 400


async def test_each_resource_of_a_batch_has_its_own_answer(face: Face) -> None:
    def resource(name: str, kind: str = "record") -> dict[str, Any]:
        return {"resource": {"type": kind, "id": name}}

    asked = {
        "subject": {"type": "user", "id": "alice"},
        "action": {"name": "read"},
        "evaluations": [
            resource("record-1"),
            resource("no/record"),
            resource("record-2"),
            {},
            resource("record-3"),
            resource("x", "spaceship"),
            resource(f"{RECORD}record-4", "aws"),
            resource("arn:aws:s3:::b", "aws"),
            {**resource("record-5"), "subject": {"type": "user", "id": "nobody"}},
            resource("record-6"),
            {"resource": {"type": "record", "id": 7}},
            resource("record-8"),
        ],
    }
    answer = await face.ask("evaluations", asked)
    got = [entry["decision"] for entry in answer["evaluations"]]
    # fmt: off
    assert got == [
        True, False, True, False, True, False, True, False, False, True, False, True,
    ]
    # fmt: on
    told = [entry.get("context") is not None for entry in answer["evaluations"]]
    assert told == [not entry for entry in got]
    unknown = {**asked, "subject": {"type": "user", "id": "nobody"}}
    answer = await face.ask("evaluations", unknown)
    assert not any(entry["decision"] for entry in answer["evaluations"])
    assert len(answer["evaluations"]) == len(got)


async def test_an_id_that_could_name_another_resource_is_denied(face: Face) -> None:
    for name, reason in (
        *(
            (entry, "no /, :, * or ?")
            for entry in ("a/b", "a:b", "*", "https://a.example")
        ),
        *((entry, "has a wildcard") for entry in ("a*", "a?")),
    ):
        answer = await face.ask("evaluation", evaluation("alice", "read", name))
        assert answer["decision"] is False
        error = answer["context"]["error"]
        assert error["status"] == 400
        assert reason in error["message"]
    for kind in ("record", "aws"):
        pattern = {"resource": {"type": kind, "id": f"{RECORD}*"}}
        assert not await face.decide({**evaluation("alice", "read", ""), **pattern})
    for name in ("a%2Fb", "a b", "ä", "a.b@c"):
        assert await face.decide(evaluation("alice", "read", name)), name
    for name in ("a/b", "a:b"):
        assert await face.decide(evaluation("alice", "read", f"{RECORD}{name}")), name


async def test_names_have_the_same_bounds_wherever_they_stand(face: Face) -> None:
    common = {"subject": {"type": "user", "id": "alice"}, "action": {"name": "read"}}
    for kind, name in (("record", ""), ("record", "x" * 2049), ("aws", "x" * 2049)):
        resource = {"resource": {"type": kind, "id": name}}
        before = {"resource": {"type": kind, "id": "x"}}
        alone = await face.post("evaluation", {**common, **resource})
        assert alone.status == 400
        answer = await face.ask(
            "evaluations", {**common, "evaluations": [before, resource]}
        )
        error = answer["evaluations"][1]["context"]["error"]
        assert (error["status"], error["message"]) == (400, alone.body.decode())


async def test_the_three_semantics(face: Face) -> None:
    for semantic, expected in (
        ("execute_all", [True, False, False, True]),
        ("deny_on_first_deny", [True, False]),
        ("permit_on_first_permit", [True]),
    ):
        await _check_semantic(face, semantic, expected)


async def _check_semantic(face: Face, semantic: str, expected: list[bool]) -> None:
    read, write = ({"action": {"name": name}} for name in ("read", "write"))
    both = {k: evaluation("bob", "", "record-1")[k] for k in ("subject", "resource")}
    asked = {
        **both,
        "options": {"evaluations_semantic": semantic, "another": 1},
        "evaluations": [read, write, {}, read],
    }
    answer = await face.ask("evaluations", asked)
    assert [entry["decision"] for entry in answer["evaluations"]] == expected
    asked["evaluations"] = [{}, read]
    answer = await face.ask("evaluations", asked)
    results = [entry["decision"] for entry in answer["evaluations"]]
    assert results == ([False] if semantic == "deny_on_first_deny" else [False, True])


async def test_a_session_needs_its_token(own: Face) -> None:
    key = await own.service.make_user("alice", json.loads(authzen.policy("alice")))
    made = await own.service.broker.ask("sts", "GetSessionToken", key)
    session = Key.of(made["Credentials"])
    asked = evaluation("", "read", "record-1")

    def subject(name: str, **properties: object) -> dict[str, Any]:
        params = {"type": "aws", "id": name, "properties": properties}
        return {**asked, "subject": params}

    assert await own.decide(subject(key.access_key_id))
    assert not await own.decide(subject(session.access_key_id))
    told = subject(session.access_key_id, sessionToken=session.session_token)
    assert await own.decide(told)
    sessions = f"arn:aws:sts::{ACCOUNT}:federated-user/alice"
    assert not await own.decide(subject(sessions))


async def test_only_declared_keys_count(own: Face) -> None:
    statement = {
        "Effect": "Allow",
        "Action": "records:*",
        "Resource": "*",
        "Condition": {
            "StringNotEquals": {"aws:PrincipalTag/team": "red"},
            "IpAddress": {"aws:SourceIp": "10.0.0.0/8"},
            "Bool": {"aws:SecureTransport": "true"},
        },
    }
    await own.service.make_user(
        "alice", {"Version": "2012-10-17", "Statement": statement}
    )
    asked = evaluation("alice", "read", "record-1")
    seen = {"aws:SourceIp": "10.1.2.3", "aws:SecureTransport": True}
    assert await own.decide({**asked, "context": seen})
    told = {**seen, "aws:PrincipalTag/team": "red", "AWS:principaltag/TEAM": "red"}
    assert await own.decide({**asked, "context": {**seen, "aws:username": "bob"}})
    assert not await own.decide({**asked, "context": told})  # twice
    del told["AWS:principaltag/TEAM"]
    assert await own.decide({**asked, "context": told})
    assert not await own.decide({**asked, "context": {"aws:SourceIp": "10.1.2.3"}})
    assert not await own.decide(asked)
    for wrong in ("10.1.2.3, 10.1.2.4", ["10.1.2.3", "10.1.2.4"]):
        wrong_seen = {**seen, "aws:SourceIp": wrong}
        assert not await own.decide({**asked, "context": wrong_seen})


async def test_malformed_addresses_and_flags_are_refused(own: Face) -> None:
    statement = {
        "Effect": "Allow",
        "Action": "records:*",
        "Resource": "*",
        "Condition": {"NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"}},
    }
    await own.service.make_user(
        "alice", {"Version": "2012-10-17", "Statement": statement}
    )
    asked = evaluation("alice", "read", "record-1")
    assert await own.decide({**asked, "context": {"aws:SourceIp": "192.0.2.1"}})
    for wrong in (
        {"aws:SourceIp": "10.1.2.3:80"},
        {"aws:SourceIp": "nowhere"},
        {"aws:SourceIp": "10.1.2.3/8"},
        {"aws:SourceIp": "192.0.2.1", "aws:SecureTransport": "perhaps"},
    ):
        answer = await own.ask("evaluation", {**asked, "context": wrong})
        assert answer["decision"] is False
        assert answer["context"]["error"]["status"] == 400


@pytest.mark.parametrize(
    "value", [{"value": 500}, None, {}, [{"value": 500}], [None], ["a", ["b"]]]
)
async def test_what_no_condition_can_compare_is_refused(
    face: Face, value: object
) -> None:
    """A Deny on it would be passed over, declared or not."""
    asked, _ = DECISIONS[0]
    for name in ("status", "amount"):
        wherever = (
            {"context": {name: value}},
            {"action": {**asked["action"], "properties": {name: value}}},
            {"resource": {**asked["resource"], "properties": {name: value}}},
        )
        for part in wherever:
            reply = await face.post("evaluation", {**asked, **part})
            assert reply.status == 400, part
            assert f"{name}: must be text".encode() in reply.body
            batch = {**asked, **part, "evaluations": [{}, {}]}
            for answer in (await face.ask("evaluations", batch))["evaluations"]:
                assert answer["decision"] is False
                assert answer["context"]["error"]["status"] == 400


async def test_a_name_is_told_in_one_place(face: Face) -> None:
    asked = evaluation("alice", "write", "record-2", what=authzen.ARCHIVED)
    both = {**asked, "context": {"status": "active"}}
    assert (await face.post("evaluation", both)).status == 400
    spelled = {**asked, "context": {"records:status": "active"}}
    assert not await face.decide(spelled)


_HEADERS: list[tuple[dict[str, str], int]] = [
    ({"Authorization": ""}, 401),
    ({"Authorization": "Bearer wrong"}, 401),
    ({"X_Broker_Service_Token": "x"}, 401),
    # A signature names no service, so that there would be nothing to ask about.
    ({"Authorization": "AWS4-HMAC-SHA256 Credential=x"}, 401),
    ({"Content_Type": "text/plain"}, 400),
    ({"Content_Type": ""}, 400),
    ({"X_Request_ID": "x" * 257}, 400),
]


async def test_callers_are_proved_and_say_what_they_send(face: Face) -> None:
    for headers, status in _HEADERS:
        reply = await face.post("evaluation", DECISIONS[0][0], **headers)
        assert reply.status == status, headers
        assert ("www-authenticate" in reply.headers) == (status == 401)


async def test_the_token_may_be_in_its_own_header(face: Face) -> None:
    token = face.service.token
    own = {"Authorization": "", "X_Broker_Service_Token": token}
    asked, expected = DECISIONS[0]
    reply = await face.post("evaluation", asked, **own)
    assert json.loads(reply.body)["decision"] is expected
    both = await face.post("evaluation", asked, X_Broker_Service_Token=token)
    assert both.status == 401


async def test_a_request_id_is_given_back(face: Face) -> None:
    for path, body in (("evaluation", DECISIONS[0][0]), ("evaluation", b"")):
        reply = await face.post(path, body, X_Request_ID="bfe9eb29 x")
        assert reply.headers["x-request-id"] == "bfe9eb29 x"
    silent = await face.post("evaluation", DECISIONS[0][0])
    assert "x-request-id" not in silent.headers


_BODIES = [
    b"",
    b"null",
    b"{",
    b"\xff{}",
    b'{"subject": {}, "subject": {}}',
    b'{"a":' * 40 + b"1" + b"}" * 40,
    b'{"a": "' + b"x" * 1_000_001 + b'"}',
]


async def test_a_body_is_one_bounded_object(face: Face) -> None:
    for body in _BODIES:
        for path in ("evaluation", "evaluations"):
            reply = await face.post(path, body)
            assert reply.status == (413 if len(body) > 1_000_000 else 400)


async def test_a_batch_is_bounded(face: Face) -> None:
    asked = DECISIONS[0][0]
    full = await face.ask("evaluations", {**asked, "evaluations": [{}] * 100})
    assert [entry["decision"] for entry in full["evaluations"]] == [True] * 100
    assert (await face.post("evaluations", {"evaluations": [{}] * 101})).status == 400
    for wrong in ([{}] * 101, [1], "x", {"a": 1}):
        reply = await face.post("evaluations", {**asked, "evaluations": wrong})
        assert reply.status == 400, wrong
    odd = {**asked, "evaluations": [{}], "options": {"evaluations_semantic": "x"}}
    assert (await face.post("evaluations", odd)).status == 400


async def test_metadata_name_what_is_there(face: Face) -> None:
    http = face.service.broker.http
    answer = await http.get(f"{ORIGIN}/.well-known/authzen-configuration")
    described = answer.json()
    assert answer.headers["content-type"] == "application/json"
    assert described.pop("policy_decision_point") == ORIGIN
    assert set(described) == {
        "access_evaluation_endpoint",
        "access_evaluations_endpoint",
    }
    for url in described.values():
        path = url.removeprefix(f"{ORIGIN}/access/v1/")
        assert (await face.post(path, {})).status == 400
    assert (await face.post("search/other", {})).status == 404
    for gone in ("subject", "resource", "action"):
        reply = await face.post(f"search/{gone}", {}, Authorization="")
        assert reply.status == 410
        assert reply.headers["content-type"] == "text/plain; charset=utf-8"
        assert b"/access/v1/evaluations" in reply.body
    assert (await http.get(f"{ORIGIN}/access/v1/evaluation")).status_code == 400


async def test_a_store_that_is_away_decides_nothing(
    face: Face, monkeypatch: pytest.MonkeyPatch
) -> None:
    for lost in (kinds.ACCOUNT.by_key, TOKENS[kinds.SERVICE_TOKEN], kinds.USER.by_name):
        with monkeypatch.context() as patch:
            lose(patch, face.service.broker.services.fresh, lost)
            for path in ("evaluation", "evaluations"):
                reply = await face.post(path, DECISIONS[0][0])
                assert reply.status == 503
                assert reply.headers["retry-after"] == "1"
