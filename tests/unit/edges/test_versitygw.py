"""versitygw's protocol over TLS; a unix socket is in the scenarios."""

import json
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct, structs
from msgspec.structs import replace

from broker.cli.service_checks import check_services
from broker.kinds.accounts import require_account
from broker.kinds.control_policies import ControlKind, ControlPolicy, option_value
from broker.kinds.resource_policies import put_resource_policy
from broker.model.lineage import NO_LINEAGE
from broker.sessions.revoke import revoke_session
from broker.stores.directory import kinds
from broker.stores.directory.accounts import update_account
from broker.stores.errors import StoreUnavailableError
from tests.support import versitygw
from tests.support.broker import Key
from tests.support.decisions import ACCOUNT, HOME, REGION, AskingService
from tests.support.in_process import ORIGIN, in_process
from tests.support.lost_readings import lose
from tests.support.rows import of_file
from tests.support.versitygw import DEFINITION, Gateway, Mismatch, Refused, allows
from tests.unit.actions.decisions.test_records import records

OBJECT = "arn:aws:s3:::reports/2026/q3.csv"
PERSON = f"arn:aws:iam::{ACCOUNT}:user/alice"
READ = {
    "Version": "2012-10-17",
    "Statement": {
        "Effect": "Allow",
        "Action": ["s3:GetObject", "s3:ListBucket"],
        "Resource": "arn:aws:s3:::reports*",
    },
}


class World(Struct):
    """A store's service, the gateway's credentials, and a user's."""

    service: AskingService
    gateway: Gateway
    alice: Key

    async def post(
        self,
        operation: str,
        body: object,
        *,
        gateway: Gateway | None = None,
        secure: bool = True,
        **headers: str,
    ) -> dict[str, Any]:
        path = f"/private/{operation}"
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        signed = (gateway or self.gateway).sign(path, content)
        proto = {"X-Forwarded-Proto": "https"} if secure else {}
        answer = await self.service.broker.http.post(
            f"{ORIGIN}{path}", content=content, headers={**signed, **proto, **headers}
        )
        return versitygw.read(answer.status_code, answer.headers, answer.content)

    def scope(self, key: Key, **other: str) -> dict[str, str]:
        """What a key is derived for."""
        date = self.service.broker.clock.now().strftime("%Y%m%d")
        token = {"sessionToken": key.session_token} if key.session_token else {}
        return {
            "accessKeyId": key.access_key_id,
            **token,
            "date": date,
            "region": REGION,
            "service": "s3",
            **other,
        }

    async def evaluate(
        self,
        key: Key,
        *actions: str,
        resources: tuple[str, ...] = (OBJECT,),
        condition: Mapping[str, list[str]] | None = None,
    ) -> dict[str, Any]:
        token = {"sessionToken": key.session_token} if key.session_token else {}
        asked = actions or ("s3:GetObject",)
        answer = await self.post(
            "evaluate-policy",
            {
                "accessKeyId": key.access_key_id,
                **token,
                "actions": asked,
                "resources": resources,
                "condition": condition or {},
                "region": REGION,
                "service": "s3",
            },
        )
        answer["decisions"] = versitygw.matrix(answer["decisions"], resources, asked)
        return answer

    async def put_user_policy(self, name: str, document: Mapping[str, Any]) -> None:
        await self.service.broker.ask(
            "iam",
            "PutUserPolicy",
            self.service.root,
            UserName=name,
            PolicyName="Own",
            PolicyDocument=json.dumps(document),
        )


def may_ask(*actions: str) -> dict[str, Any]:
    statement = {
        "Effect": "Allow",
        "Action": [f"broker:{action}" for action in actions],
        "Resource": f"arn:aws:broker::{ACCOUNT}:service/s3",
    }
    return {"Version": "2012-10-17", "Statement": statement}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with in_process(tmp_path, trusted_proxies="127.0.0.1/32") as broker:
        service = AskingService(broker, await broker.create_account(ACCOUNT), "s3")
        await service.register(DEFINITION)
        own = await service.make_user(
            "gateway", may_ask("Authorize", "DeriveSigningKey")
        )
        gateway = Gateway(own, "127.0.0.1:8080", now=broker.clock.now)
        yield World(service, gateway, await service.make_user("alice", READ))


async def test_the_version_is_told_to_gateways_of_any_version(world: World) -> None:
    answer = await world.post("version", {})
    assert (answer["protocol"], answer["minClient"]) == (1, 1)
    assert answer["accountId"] == ACCOUNT
    for spoken in (None, "0", "7", "x"):
        other = Gateway(world.gateway.key, world.gateway.host, spoken)
        assert (await world.post("version", {}, gateway=other))["protocol"] == 1


async def test_other_versions_are_refused(world: World) -> None:
    asked = {"accessKeyIds": []}
    newer = Gateway(world.gateway.key, world.gateway.host, "2")
    assert await world.post("resolve-identity", asked, gateway=newer)
    for spoken in (None, "0", "-1", "+1", "1.0", "12345", ""):
        older = Gateway(world.gateway.key, world.gateway.host, spoken)
        with pytest.raises(Refused) as caught:
            await world.post("resolve-identity", asked, gateway=older)
        assert (caught.value.status, caught.value.code) == (400, "ProtocolMismatch")


async def test_a_version_is_named_once(world: World) -> None:
    path = "/private/resolve-identity"
    signed = world.gateway.sign(path, b"{}")
    headers = [*signed.items(), ("x-vgw-private-protocol", "1")]
    answer = await world.service.broker.http.post(
        f"{ORIGIN}{path}",
        content=b"{}",
        headers=[*headers, ("X-Forwarded-Proto", "https")],
    )
    assert answer.status_code == 400
    assert answer.json()["code"] == "ProtocolMismatch"


async def test_every_answer_names_the_version(world: World) -> None:
    http = world.service.broker.http
    for path, method in (("version", "GET"), ("other", "POST"), ("", "POST")):
        url = f"{ORIGIN}/private/{path}"
        answer = await http.request(method, url, headers={"X-Forwarded-Proto": "https"})
        assert answer.headers["x-vgw-private-protocol"] == "1"
        assert answer.status_code == 404
        assert answer.json() == {"error": "There is no such operation."}
    with pytest.raises(Mismatch):
        versitygw.read(200, {}, b"{}")


async def test_a_derived_key_verifies_what_its_owner_signs(world: World) -> None:
    asked = world.scope(world.alice)
    answer = await world.post("derive-signing-key", asked)
    assert versitygw.signing_key(answer) == versitygw.derive(
        world.alice.secret_access_key, asked["date"], REGION, "s3"
    )
    assert answer["principalArn"] == f"arn:aws:iam::{ACCOUNT}:user/alice"
    assert "roleArn" not in answer


_NO_SCOPES: list[dict[str, str]] = of_file(__file__, "_NO_SCOPES")


async def test_the_first_key_for_a_principal_and_day_is_on_record(world: World) -> None:
    """It is as good as the principal's own credentials, for that day and scope."""
    today = world.scope(world.alice)
    before = world.service.broker.clock.now() - timedelta(days=1)
    yesterday = {**today, "date": before.strftime("%Y%m%d")}
    for asked in (today, today, yesterday, today):
        await world.post("derive-signing-key", asked)
    kept = await records(world.service, "broker:DeriveSigningKey")
    assert [record.parameters["Date"] for record in kept] == [
        today["date"],
        yesterday["date"],
    ]
    first = kept[0]
    assert first.decision == "allowed"
    assert first.reason.endswith("(first use today)")
    assert first.caller_arn.endswith(":user/gateway")
    assert first.resources == (f"arn:aws:broker::{ACCOUNT}:service/s3", PERSON)
    assert first.parameters == {
        "AccessKeyId": world.alice.access_key_id,
        "Date": today["date"],
        "Region": REGION,
        "Service": "s3",
    }


async def test_keys_are_for_the_services_scope_and_these_days(world: World) -> None:
    for other in _NO_SCOPES:
        with pytest.raises(Refused) as caught:
            await world.post("derive-signing-key", world.scope(world.alice, **other))
        assert (caught.value.status, caught.value.code) == (400, "BadRequest"), other


async def test_a_refused_gateway_is_named(world: World) -> None:
    """Its clients see a 500, and only its own log says more."""
    broker = world.service.broker
    poor = await world.service.make_user("poor", may_ask("Authorize"))
    gateway = Gateway(poor, "127.0.0.1:8080", now=broker.clock.now)
    asked = ("derive-signing-key", world.scope(world.alice))
    with pytest.raises(Refused):
        await world.post(*asked, gateway=gateway)
    with pytest.raises(Refused):
        await world.post(
            "derive-signing-key", world.scope(world.alice, region="eu-west-1")
        )
    with pytest.raises(Refused):  # a client's fault, and no matter for the operator
        await world.post(
            "derive-signing-key", world.scope(Key("AKIARZPUZDIKAAAACAQD", ""))
        )
    services = broker.services
    await records(world.service, "broker:DeriveSigningKey")
    results = [
        finding.text
        for finding in await check_services(
            services.settings, services.stores, services.clock
        )
        if "was refused" in finding.text
    ]
    assert len(results) == 2
    denied, region = sorted(results, key=lambda text: "region" in text)
    assert "user/poor was refused broker:DeriveSigningKey for" in denied
    assert "user/gateway was refused" in region
    assert f"The service's region is {REGION}." in region


async def test_a_day_to_come_has_no_key_yet(world: World) -> None:
    now = world.service.broker.clock.now()
    for days, is_given in ((-7, True), (-1, True), (-8, False), (1, False)):
        date = (now + timedelta(days=days)).strftime("%Y%m%d")
        longer = world.scope(world.alice, date=f"{date}T")
        with pytest.raises(Refused):
            await world.post("derive-signing-key", longer)
        asked = world.scope(world.alice, date=date)
        if is_given:
            assert await world.post("derive-signing-key", asked)
            continue
        with pytest.raises(Refused):
            await world.post("derive-signing-key", asked)


async def test_the_reserved_scopes_stand_whatever_a_definition_says(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.protocols.enforcement.definition.RESERVED", frozenset())
    await world.service.register({**DEFINITION, "Scopes": ["s3", "sts", "iam"]})
    for service in ("sts", "iam"):
        with pytest.raises(Refused):
            await world.post(
                "derive-signing-key", world.scope(world.alice, service=service)
            )


async def role_session(world: World, **more: Any) -> Key:
    ask, root = world.service.broker.ask, world.service.root
    trust = {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Principal": {"AWS": ACCOUNT},
            "Action": "sts:AssumeRole",
        },
    }
    await ask(
        "iam",
        "CreateRole",
        root,
        RoleName="Clerk",
        Path="/desk/",
        AssumeRolePolicyDocument=json.dumps(trust),
    )
    await ask(
        "iam",
        "PutRolePolicy",
        root,
        RoleName="Clerk",
        PolicyName="Own",
        PolicyDocument=json.dumps(READ),
    )
    assume = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}
    await world.put_user_policy("alice", {**READ, "Statement": assume})
    made = await ask(
        "sts",
        "AssumeRole",
        world.alice,
        RoleArn=f"arn:aws:iam::{ACCOUNT}:role/desk/Clerk",
        RoleSessionName="alice",
        **more,
    )
    return Key.of(made["Credentials"])


async def test_a_sessions_key_needs_its_token(world: World) -> None:
    session = await role_session(world)
    answer = await world.post("derive-signing-key", world.scope(session))
    date = world.scope(session)["date"]
    assert versitygw.signing_key(answer) == versitygw.derive(
        session.secret_access_key, date, REGION, "s3"
    )
    arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/Clerk/alice"
    assert answer["principalArn"] == arn
    assert answer["roleArn"] == f"arn:aws:iam::{ACCOUNT}:role/desk/Clerk"
    bare = Key(session.access_key_id, "")
    wrong = Key(session.access_key_id, "", "x" * 40)
    mixed = Key(world.alice.access_key_id, "", session.session_token)
    for key, code in (
        (bare, "NoSuchIdentity"),
        (wrong, "InvalidToken"),
        (mixed, "InvalidToken"),
    ):
        for ask in (
            world.post("derive-signing-key", world.scope(key)),
            world.evaluate(key),
        ):
            with pytest.raises(Refused) as caught:
                await ask
            assert (caught.value.status, caught.value.code) == (403, code)
    answer = await world.evaluate(session)
    assert allows(answer)
    assert answer["principalArn"] == arn
    assert "hasSessionPolicy" not in answer


async def test_who_there_is_not_is_no_identity(world: World) -> None:
    other = await world.service.broker.create_account("444455556666")
    for key in (Key("AKIARZPUZDIKAAAACAQD", ""), other):
        for ask in (
            world.post("derive-signing-key", world.scope(key)),
            world.evaluate(key),
        ):
            with pytest.raises(Refused) as caught:
                await ask
            assert (caught.value.status, caught.value.code) == (403, "NoSuchIdentity")
    made = await world.service.broker.ask("sts", "GetSessionToken", other)
    theirs = Key.of(made["Credentials"])
    with pytest.raises(Refused) as caught:
        await world.post("derive-signing-key", world.scope(theirs))
    assert caught.value.code == "InvalidToken"
    answer = await world.evaluate(theirs)
    assert answer["decisions"] == [["deny"]]
    ask = world.service.broker.ask
    await ask("iam", "CreateUser", other, UserName="guest")
    made = await ask("iam", "CreateAccessKey", other, UserName="guest")
    made = await ask("sts", "GetSessionToken", Key.of(made["AccessKey"]))
    answer = await world.evaluate(Key.of(made["Credentials"]))
    assert answer["decisions"] == [["deny"]]


async def test_a_matrix_of_three_words(world: World) -> None:
    deny = {"Effect": "Deny", "Action": "s3:*", "Resource": "arn:aws:s3:::reports/x"}
    await world.put_user_policy(
        "alice", {**READ, "Statement": [READ["Statement"], deny]}
    )
    answer = await world.evaluate(
        world.alice,
        "s3:GetObject",
        "s3:PutObject",
        resources=(OBJECT, "arn:aws:s3:::reports/x", "arn:aws:s3:::other"),
    )
    assert answer["decisions"] == [
        ["allow", "no_match"],
        ["deny", "deny"],
        ["no_match", "no_match"],
    ]
    assert answer["principalArn"] == f"arn:aws:iam::{ACCOUNT}:user/alice"


async def test_a_session_policy_is_told_apart(world: World) -> None:
    narrow = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "s3:*", "Resource": OBJECT},
            {"Effect": "Deny", "Action": "s3:ListBucket", "Resource": "*"},
        ],
    }
    session = await role_session(world, Policy=json.dumps(narrow))
    actions = ("s3:GetObject", "s3:PutObject", "s3:ListBucket")
    resources = (OBJECT, "arn:aws:s3:::reports")
    answer = await world.evaluate(session, *actions, resources=resources)
    assert answer["hasSessionPolicy"] is True
    assert answer["decisions"][0] == ["allow", "no_match", "allow"]
    told = versitygw.matrix(answer["sessionDecisions"], resources, actions)
    assert told == [["allow", "allow", "deny"], ["no_match", "no_match", "deny"]]
    assert allows(answer, 0, 0)
    assert not any(allows(answer, r, a) for r, a in ((0, 1), (0, 2), (1, 0)))


async def test_a_gateways_grant_does_not_pass_a_boundary(world: World) -> None:
    ask, root = world.service.broker.ask, world.service.root
    only_put = {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "*"}
    made = await ask(
        "iam",
        "CreatePolicy",
        root,
        PolicyName="Limit",
        PolicyDocument=json.dumps({**READ, "Statement": only_put}),
    )
    await ask(
        "iam",
        "PutUserPermissionsBoundary",
        root,
        UserName="alice",
        PermissionsBoundary=made["Policy"]["Arn"],
    )
    actions = ("s3:GetObject", "s3:PutObject", "s3:DeleteObject")
    answer = await world.evaluate(world.alice, *actions)
    assert answer["decisions"] == [["deny", "no_match", "deny"]]


async def test_a_gateways_grant_does_not_pass_a_control_policy(world: World) -> None:
    all_but = {"Effect": "Allow", "NotAction": "s3:PutObject", "Resource": "*"}
    document = json.dumps({**READ, "Statement": all_but})
    options = {
        ControlKind.SERVICE.value: option_value([ControlPolicy("Bounds", document)])
    }
    async with world.service.broker.services.stores.directory.change(HOME) as change:
        account = await require_account(change, HOME)
        await update_account(change, replace(account, options=options))
    answer = await world.evaluate(world.alice, "s3:GetObject", "s3:PutObject")
    assert answer["decisions"] == [["allow", "deny"]]
    answer = await world.evaluate(world.alice, "s3:DeleteObject")
    assert answer["decisions"] == [["no_match"]]


async def allow_put(world: World, principal: str) -> None:
    """By a policy of the bucket."""
    policy = {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Principal": {"AWS": principal},
            "Action": "s3:PutObject",
            "Resource": "*",
        },
    }
    broker = world.service.broker
    async with broker.services.stores.directory.change(HOME) as change:
        await put_resource_policy(
            change,
            await require_account(change, HOME),
            "arn:aws:s3:::reports",
            json.dumps(policy),
            broker.clock.now(),
        )


async def test_the_brokers_resource_policies_count(world: World) -> None:
    await allow_put(world, PERSON)
    assert allows(await world.evaluate(world.alice, "s3:PutObject"))


async def test_a_resource_policy_that_names_a_session_is_enough(world: World) -> None:
    """Its session policies do not limit that."""
    session = await role_session(world, Policy=json.dumps(READ))
    assert not allows(await world.evaluate(session, "s3:PutObject"))
    who = (await world.evaluate(session))["principalArn"]
    await allow_put(world, who)
    assert allows(await world.evaluate(session, "s3:PutObject"))


async def test_the_gateway_brings_keys_about_the_request_alone(world: World) -> None:
    conditions = {
        "StringLike": {"s3:prefix": "2026/*"},
        "IpAddress": {"aws:SourceIp": "10.0.0.0/8"},
        "StringNotEquals": {"aws:PrincipalTag/team": "red"},
        "StringEquals": {"aws:username": "alice"},
    }
    statement = {**READ["Statement"], "Condition": conditions}  # type: ignore[dict-item]
    await world.put_user_policy("alice", {**READ, "Statement": statement})
    seen = {"s3:prefix": ["2026/07"], "aws:SourceIp": ["10.1.2.3"]}
    for told in (
        {},
        {"aws:username": ["bob"], "AWS:UserName": ["bob"]},
        {"aws:PrincipalTag/team": ["red"]},
        {"aws:CurrentTime": ["2000-01-01T00:00:00Z"]},
    ):
        if len(told) > 1:
            with pytest.raises(Refused):  # a name in two spellings
                await world.evaluate(world.alice, condition={**seen, **told})
            continue
        assert allows(await world.evaluate(world.alice, condition={**seen, **told}))
    for wrong in ({"s3:prefix": ["2025/"]}, {"aws:SourceIp": ["192.0.2.1"]}):
        answer = await world.evaluate(world.alice, condition={**seen, **wrong})
        assert answer["decisions"] == [["no_match"]]


async def test_access_keys_are_resolved_in_order(world: World) -> None:
    session = await role_session(world)
    other = await world.service.broker.create_account("444455556666")
    asked = [
        world.alice.access_key_id,
        "AKIARZPUZDIKAAAACAQD",
        session.access_key_id,
        other.access_key_id,
        "x",
        world.service.root.access_key_id,
        "ASIARZPUZDIKAAAACAQD",
    ]
    answer = await world.post("resolve-identity", {"accessKeyIds": asked})
    results = [
        (
            identity["found"],
            identity.get("kind"),
            identity.get("principalArn", "").rpartition(":")[2],
        )
        for identity in answer["identities"]
    ]
    nobody = (False, None, "")
    assert results == [
        (True, "user", "user/alice"),
        nobody,
        (True, "session", "assumed-role/Clerk/alice"),
        nobody,
        nobody,
        (True, "user", "root"),
        nobody,
    ]
    assert "secret" not in json.dumps(answer).lower()
    with pytest.raises(Refused):
        await world.post("resolve-identity", {"accessKeyIds": ["x"] * 501})


async def test_only_live_sessions_of_the_account_are_resolved(world: World) -> None:
    other = await world.service.broker.create_account("444455556666")
    sessions = [await role_session(world, DurationSeconds=900)]
    for key in (other, world.alice):
        made = await world.service.broker.ask(
            "sts", "GetSessionToken", key, DurationSeconds=1800
        )
        sessions.append(Key.of(made["Credentials"]))

    async def resolved() -> list[bool]:
        asked = {"accessKeyIds": [key.access_key_id for key in sessions]}
        answer = await world.post("resolve-identity", asked)
        return [identity["found"] for identity in answer["identities"]]

    assert await resolved() == [True, False, True]
    broker = world.service.broker
    record = await broker.services.stores.cache.find_session(sessions[2].access_key_id)
    assert record is not None
    async with broker.services.stores.directory.change(HOME) as change:
        await revoke_session(change, record, now=broker.clock.now(), reason="test")
    await broker.services.stores.cache.put_session(record)  # the cache decides nothing
    assert await resolved() == [True, False, False]
    broker.clock.move(1000)
    expired = structs.replace(
        record,
        access_key_id=sessions[0].access_key_id,
        lineage=NO_LINEAGE,
        expires_at=int(broker.clock.now().timestamp()) - 1,
    )
    await broker.services.stores.cache.put_session(expired)
    assert await resolved() == [False, False, False]


async def test_principals_are_resolved_as_they_are_spelled(world: World) -> None:
    await role_session(world)
    here = f"arn:aws:iam::{ACCOUNT}"
    valid = [
        ACCOUNT,
        f"{here}:root",
        f"{here}:user/alice",
        f"{here}:role/desk/Clerk",
        f"arn:aws:sts::{ACCOUNT}:assumed-role/Clerk/whoever",
        f"arn:aws:sts::{ACCOUNT}:federated-user/whoever",
    ]
    invalid = [
        "444455556666",
        "alice",
        "*",
        "",
        world.alice.access_key_id,
        f"{here}:user/bob",
        f"{here}:user/ALICE",
        f"{here}:user/*",
        f"{here}:user/team/alice",
        f"{here}:user/alice ",
        f"{here}:role/Clerk",
        f"{here}:role/Nobody",
        f"{here}:group/alice",
        f"{here}:group/Clerk/whoever",
        "arn:aws:iam::444455556666:root",
        f"arn:aws-cn:iam::{ACCOUNT}:root",
        f"arn:aws:iam:us-east-1:{ACCOUNT}:root",
        f"arn:aws:sts::{ACCOUNT}:assumed-role/clerk/whoever",
        f"arn:aws:sts::{ACCOUNT}:assumed-role/Nobody/whoever",
        f"arn:aws:sts::{ACCOUNT}:assumed-role/Clerk",
        f"arn:aws:sts::{ACCOUNT}:assumed-role/Clerk/a/b",
        f"arn:aws:sts::{ACCOUNT}:assumed-role/Clerk/*",
        f"arn:aws:sts::{ACCOUNT}:federated-user/a",
        f"arn:aws:sts::{ACCOUNT}:federated-user/{'a' * 33}",
        f"arn:aws:sts::{ACCOUNT}:federated-user/*",
        f"arn:aws:sts::{ACCOUNT}:federated-user/a/b",
        f"arn:aws:sts::{ACCOUNT}:federated-user",
        "arn:aws:sts::444455556666:federated-user/whoever",
        "arn:aws:s3:::reports",
    ]
    answer = await world.post("resolve-principals", {"principals": valid + invalid})
    assert answer == {"invalid": invalid}


async def test_only_who_may_is_answered(world: World) -> None:
    service = world.service
    asker = await service.make_user("asker", may_ask("Authorize"))
    nobody = await service.make_user("nobody", None)
    wrong = Key(world.gateway.key.access_key_id, "a" * 40)
    host = world.gateway.host
    asked = world.scope(world.alice)
    for key in (asker, nobody, wrong, Key("AKIARZPUZDIKAAAACAQD", "a" * 40)):
        with pytest.raises(Refused) as caught:
            await world.post("derive-signing-key", asked, gateway=Gateway(key, host))
        assert (caught.value.status, caught.value.code) == (403, "")
    assert await world.post("version", {}, gateway=Gateway(asker, host))
    with pytest.raises(Refused):
        await world.post("version", {}, gateway=Gateway(nobody, host))
    token = await service.make_token()
    answer = await service.broker.http.post(
        f"{ORIGIN}/private/derive-signing-key",
        json=asked,
        headers={
            "X-Broker-Service-Token": token,
            "X-Vgw-Private-Protocol": "1",
            "X-Forwarded-Proto": "https",
        },
    )
    assert answer.status_code == 403
    assert "derivedKey" not in answer.text


async def test_nothing_is_told_in_the_clear(world: World) -> None:
    with pytest.raises(Refused) as caught:
        await world.post("version", {}, secure=False)
    assert (caught.value.status, caught.value.code) == (403, "")
    assert "TLS" in caught.value.text


_UNREADABLE = of_file(__file__, "_UNREADABLE")


async def test_what_cannot_be_read_is_a_bad_request(world: World) -> None:
    for operation, body in _UNREADABLE:
        with pytest.raises(Refused) as caught:
            await world.post(operation, body)
        assert (caught.value.status, caught.value.code) == (400, "BadRequest"), body


async def test_a_matrix_with_a_strange_resource_is_refused_whole(world: World) -> None:
    """An answer of less would be read as one of other resources and actions."""
    with pytest.raises(Refused) as caught:
        await world.evaluate(
            world.alice,
            *("s3:GetObject", "s3:PutObject"),
            resources=("arn:aws:sqs:::orders", OBJECT),
        )
    assert (caught.value.status, caught.value.code) == (400, "BadRequest")


async def test_a_thousand_objects_are_deleted_in_one_question(world: World) -> None:
    resources = tuple(f"arn:aws:s3:::reports/{number}" for number in range(1000))
    actions = ("s3:DeleteObject", "s3:GetObject")
    answer = await world.evaluate(world.alice, *actions, resources=resources)
    assert answer["decisions"] == [["no_match", "allow"]] * 1000


async def test_the_largest_deletion_fits(world: World) -> None:
    """A thousand keys of 1,024 bytes, for each of which Go's JSON takes six."""

    def question(key: str) -> bytes:
        body = {
            "accessKeyId": world.alice.access_key_id,
            "sessionToken": "",
            "actions": ["s3:DeleteObject"],
            "resources": [f"arn:aws:s3:::{'b' * 63}/{n:04}{key}" for n in range(1000)],
        }
        return json.dumps(body).replace("&", "\\u0026").encode()

    content = question("&" * 1020)
    assert len(content) > 6_000_000
    answer = await world.post("evaluate-policy", content)
    assert len(answer["decisions"]) == 1000
    for longer in ("&" * 1021, "a" * 1021):  # however it is escaped
        with pytest.raises(Refused) as caught:
            await world.post("evaluate-policy", question(longer))
        assert caught.value.status == 413


async def test_only_decisions_are_uses(world: World) -> None:
    await world.post("derive-signing-key", world.scope(world.alice))
    await world.post("resolve-identity", {"accessKeyIds": [world.alice.access_key_id]})
    assert await last_used(world) is None
    await world.evaluate(world.alice)
    assert await last_used(world) == "s3"


async def last_used(world: World) -> str | None:
    """The service that a key was last used for."""
    await world.service.broker.services.uses.flush()
    results = await world.service.broker.ask(
        "iam",
        "GetAccessKeyLastUsed",
        world.service.root,
        AccessKeyId=world.alice.access_key_id,
    )
    service: str = results["AccessKeyLastUsed"]["ServiceName"]
    return None if service == "N/A" else service


async def test_a_store_that_is_away_tells_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await role_session(world)

    async def away(*_: object) -> None:
        raise StoreUnavailableError("the store is away")

    cache = type(world.service.broker.services.stores.cache)
    for lost, operation, body in (
        (kinds.ACCESS_KEY.by_key, "version", {}),
        (kinds.ROLE.by_key, "derive-signing-key", world.scope(session)),
        (kinds.USER.by_name, "resolve-principals", {"principals": [PERSON]}),
        (None, "resolve-identity", {"accessKeyIds": [session.access_key_id]}),
    ):
        with monkeypatch.context() as patch:
            if lost is None:
                patch.setattr(cache, "find_session", away)
            else:
                lose(patch, world.service.broker.services.fresh, lost)
            with pytest.raises(Refused) as caught:
                await world.post(operation, body)
            assert (caught.value.status, caught.value.code) == (503, ""), operation
