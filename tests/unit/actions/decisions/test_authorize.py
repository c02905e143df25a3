"""What registered services ask, and what they are told."""

import asyncio
import base64
import hashlib
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec.structs import replace

from broker.errors import AccessDenied, InvalidInput, LimitExceeded
from broker.kinds.accounts import require_account
from broker.kinds.registered_services import require_service
from broker.kinds.resource_policies import put_resource_policy
from broker.permit.guard import Guard
from broker.stores.directory import kinds
from broker.stores.directory.kinds import SERVICE
from broker.stores.directory.readings import TOKENS
from tests.support.broker import Key
from tests.support.decisions import (
    ACCOUNT,
    HOME,
    HOST,
    ORDER,
    ORDERS,
    READER,
    AskingService,
    Signed,
    sign,
)
from tests.support.in_process import in_process
from tests.support.lost_readings import lose
from tests.support.rows import cases

SAMPLES = Path(__file__).parents[4] / "samples" / "protected"


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[AskingService]:
    async with in_process(tmp_path) as broker:
        made = AskingService(broker, await broker.create_account(ACCOUNT))
        await made.register()
        await made.make_token()
        yield made


@pytest.fixture
async def alice(service: AskingService) -> Key:
    return await service.make_user("alice", READER)


async def session_of(service: AskingService, key: Key, **more: Any) -> Key:
    """A session of a role that ``key`` may assume."""
    ask, root = service.broker.ask, service.root
    trust = {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Principal": {"AWS": ACCOUNT},
            "Action": ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"],
        },
    }
    await ask(
        "iam",
        "CreateRole",
        root,
        RoleName="Clerk",
        AssumeRolePolicyDocument=json.dumps(trust),
    )
    await ask(
        "iam",
        "PutRolePolicy",
        root,
        RoleName="Clerk",
        PolicyName="Own",
        PolicyDocument=json.dumps(READER),
    )
    assume = {
        **READER,
        "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"},
    }
    await ask(
        "iam",
        "PutUserPolicy",
        root,
        UserName="alice",
        PolicyName="Assume",
        PolicyDocument=json.dumps(assume),
    )
    made = await ask(
        "sts",
        "AssumeRole",
        key,
        RoleArn=f"arn:aws:iam::{ACCOUNT}:role/Clerk",
        RoleSessionName="desk",
        **more,
    )
    return Key.of(made["Credentials"])


async def test_a_signed_request_is_verified_mapped_and_decided(
    service: AskingService, alice: Key
) -> None:
    answer = await service.ask(Request=sign(alice).described())
    assert answer["Allowed"] is True
    assert answer["Decisions"] == [
        {"Action": "orders:GetOrder", "Resource": f"{ORDER}7", "Allowed": True}
    ]
    assert answer["Principal"]["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/alice"
    assert answer["ContentSha256"] == hashlib.sha256(b"").hexdigest()
    denied = await service.ask(
        Request=sign(alice, "/orders/7", method="PUT", s3=True).described()
    )
    assert denied["Allowed"] is False
    assert denied["Decisions"][0]["Action"] == "orders:PutOrder"
    assert "Reason" not in denied
    unknown = await service.ask(Request=sign(alice, "/other").described())
    assert (unknown["Allowed"], unknown["Decisions"]) == (False, [])
    assert unknown["Refusal"]["Code"] == "AccessDenied"


async def test_a_session_is_told_with_its_tags_and_narrowed_by_its_policies(
    service: AskingService, alice: Key
) -> None:
    narrow = {**READER, "Statement": {**READER["Statement"], "Resource": f"{ORDER}1"}}
    session = await session_of(
        service,
        alice,
        Policy=json.dumps(narrow),
        Tags=[{"Key": "team", "Value": "blau ä"}],
        SourceIdentity="alice",
    )
    answer = await service.ask(Request=sign(session, "/orders/1").described())
    assert answer["Allowed"]
    who = answer["Principal"]
    assert who["SessionName"] == "desk"
    assert who["SourceIdentity"] == "alice"
    assert who["Tags"] == {"team": "blau ä"}
    assert not (await service.ask(Request=sign(session).described()))["Allowed"]
    by_key = {
        "AccessKeyId": session.access_key_id,
        "SessionToken": session.session_token,
    }
    both = await service.ask(
        Credentials=by_key,
        Actions=["orders:GetOrder", "orders:PutOrder"],
        Resources=[f"{ORDER}1", f"{ORDER}7"],
    )
    assert [decision["Allowed"] for decision in both["Decisions"]] == [
        True,
        False,
        False,
        False,
    ]
    assert both["Allowed"] is False
    # A session's ARN alone does not say what its policies leave.
    by_arn = await service.ask(Principal=who["Arn"], Actions=["orders:GetOrder"])
    assert by_arn["Refusal"]["Code"] == "ValidationError"
    headers = (await service.forward(sign(session, "/orders/1").forwarded())).headers
    assert headers["x-broker-principal"] == who["Arn"]
    assert headers["x-broker-account"] == ACCOUNT
    assert headers["x-broker-session-name"] == "desk"
    assert headers["x-broker-source-identity"] == "alice"
    assert headers["x-broker-tags"] == "team=blau+%C3%A4"


async def test_a_proxy_overwrites_every_header_in_which_a_client_could_lie(
    service: AskingService, alice: Key
) -> None:
    """All are sent, if only empty, and the samples copy or set them all."""
    answered = (await service.forward(sign(alice).forwarded())).headers
    sent = {name for name in answered if name.startswith("x-broker-")}
    kinds = ("principal", "account", "user-id", "session-name", "source-identity")
    assert sent == {f"x-broker-{text}" for text in (*kinds, "tags", "content-sha256")}
    for name in ("session-name", "source-identity", "tags"):
        assert answered[f"x-broker-{name}"] == ""
    for sample in ("nginx.conf", "Caddyfile", "traefik-routes.yaml", "haproxy.lua"):
        text = (SAMPLES / sample).read_text("utf-8").lower()
        assert sent <= set(re.findall(r"x-broker-[a-z0-9-]+", text)), sample


async def test_a_service_of_before_goes_on_without_hosts_and_signed_chunks(
    service: AskingService, alice: Key
) -> None:
    chunks = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
    signature = {"Payloads": [chunks, "UNSIGNED-PAYLOAD"]}
    definition = {**ORDERS, "Hosts": [], "Signature": signature}
    async with service.broker.services.stores.directory.change(HOME) as change:
        stored = await require_service(change, HOME, "orders")
        before = replace(stored, definition=json.dumps(definition))
        await change.update(SERVICE, before)
    elsewhere = sign(alice, url="https://b.example.com")
    assert (await service.ask(Request=elsewhere.described()))["Allowed"]
    for payload, allowed in ((chunks, False), ("UNSIGNED-PAYLOAD", True)):
        declared = {"X-Amz-Content-SHA256": payload}
        request = sign(alice, headers=declared)
        assert request.headers["X-Amz-Content-SHA256"] == payload
        answer = await service.ask(Request=request.described(Body="eA=="))
        assert answer["Allowed"] is allowed, answer
    # It can be changed without them, but not again once it has them.
    without = {name: value for name, value in ORDERS.items() if name != "Hosts"}
    await service.register({**without, "SampleEvery": 1})
    await service.register(ORDERS)
    with pytest.raises(InvalidInput, match="Hosts: is required"):
        await service.register(without)


async def test_a_star_evades_no_deny(service: AskingService, alice: Key) -> None:
    """What a policy denies on some orders is denied to who asks for all of them."""
    every = {"Effect": "Allow", "Action": "orders:*", "Resource": "*"}
    denied = {"Effect": "Deny", "Action": "orders:Get*", "Resource": f"{ORDER}*"}
    await service.make_user("bob", {**READER, "Statement": [every, denied]})
    bob = f"arn:aws:iam::{ACCOUNT}:user/bob"
    get, put, every_order = "orders:GetOrder", "orders:PutOrder", ["orders:ListOrders"]
    for actions, resources in (([get], ["*"]), ([get], []), ([put, get], ["*"])):
        answer = await service.ask(Principal=bob, Actions=actions, Resources=resources)
        assert (answer["Allowed"], answer["Decisions"]) == (False, [])
        assert answer["Refusal"]["Code"] == "ValidationError"
    # The service's routes say what is done, the service to what.
    params = sign(alice).described()
    answer = await service.ask(Request=params, Resources=["*"])
    assert answer["Refusal"]["Code"] == "ValidationError"
    for pattern in (f"{ORDER}*", f"{ORDER}?", "arn:aws:orders:*:*:*"):
        reply = await service.post(
            {"Principal": bob, "Actions": [get], "Resources": [pattern]}
        )
        assert (reply.status, b"has a wildcard" in reply.body) == (400, True), pattern
    # A list of orders is no order.
    for resources in ([], ["*"]):
        assert (
            await service.ask(Principal=bob, Actions=every_order, Resources=resources)
        )["Allowed"]


async def test_a_star_evades_no_deny_of_calls(service: AskingService) -> None:
    await service.register({"Hosts": [HOST]})
    await service.make_user("alice", READER)
    arn = f"arn:aws:iam::{ACCOUNT}:user/alice"
    for resources in ([], ["*"]):
        answer = await service.ask(
            Principal=arn, Actions=["execute-api:Invoke"], Resources=resources
        )
        assert answer["Refusal"]["Code"] == "ValidationError"


async def test_a_principal_is_decided_alone(service: AskingService) -> None:
    await service.make_user("alice", READER)
    arn = f"arn:aws:iam::{ACCOUNT}:user/alice"
    answer = await service.ask(
        Principal=arn, Actions=["orders:GetOrder"], Resources=[f"{ORDER}7"]
    )
    assert answer["Allowed"]
    assert answer["Principal"]["Arn"] == arn
    gone = await service.ask(
        Principal=arn.replace("alice", "bob"), Actions=["orders:GetOrder"]
    )
    assert gone["Refusal"]["Code"] == "NoSuchEntity"
    stranger = await service.ask(
        Principal="arn:aws:iam::444455556666:user/eve", Actions=["orders:GetOrder"]
    )
    assert stranger["Refusal"]["Code"] == "ValidationError"
    provider = await service.ask(
        Principal=f"arn:aws:iam::{ACCOUNT}:oidc-provider/idp.example",
        Actions=["orders:GetOrder"],
    )
    assert provider["Refusal"]["Code"] == "ValidationError"


@cases("arn, is_hers")
async def test_a_principal_is_who_has_the_arn(
    service: AskingService, arn: str, is_hers: bool
) -> None:
    """Not a later one of the same name, whose path is another."""
    ask = service.broker.ask
    await ask("iam", "CreateUser", service.root, UserName="alice", Path="/staff/")
    answer = await service.ask(
        Principal=arn.format(ACCOUNT), Actions=["orders:GetOrder"]
    )
    assert ("Principal" in answer) is is_hers
    assert is_hers or answer["Refusal"]["Code"] == "NoSuchEntity"


TAMPERED = {
    "method": lambda r: setattr(r, "method", "PUT"),
    "path": lambda r: setattr(r, "target", "/orders/8"),
    "query": lambda r: setattr(r, "target", "/orders/7?a=2"),
    "host": lambda r: r.headers.update(Host="stock.example.com"),
    "date": lambda r: r.headers.update({"X-Amz-Date": "20260101T000000Z"}),
    "signature": lambda r: r.headers.update(
        Authorization=r.headers["Authorization"][:-1] + "x"
    ),
    "key": lambda r: r.headers.update(
        Authorization=r.headers["Authorization"].replace("AKIA", "AKIB")
    ),
    "unsigned": lambda r: r.headers.pop("Authorization"),
    "amz header": lambda r: r.headers.update({"X-Amz-Meta": "x"}),
}


@pytest.mark.parametrize("what", TAMPERED)
async def test_a_tampered_request_does_not_verify(
    service: AskingService, alice: Key, what: str
) -> None:
    request = sign(alice)
    TAMPERED[what](request)
    answer = await service.ask(Request=request.described())
    assert not answer["Allowed"]
    assert answer["Decisions"] == []
    assert "Principal" not in answer
    reply = await service.forward(request.forwarded())
    assert reply.status == 401
    assert reply.headers["www-authenticate"] == "AWS4-HMAC-SHA256"


async def test_which_keys_there_are_is_not_told_to_a_proxys_clients(
    service: AskingService, alice: Key
) -> None:
    unknown = Key("AKIARZPUZDIKAAAACAQD", "a" * 40)
    wrong = Key(alice.access_key_id, "a" * 40)
    bodies = {
        (await service.forward(sign(key).forwarded())).body for key in (unknown, wrong)
    }
    assert len(bodies) == 1


@cases("path")
async def test_an_ambiguous_path_is_refused_although_it_is_signed(
    service: AskingService, alice: Key, path: str
) -> None:
    answer = await service.ask(Request=sign(alice, path).described())
    assert answer["Refusal"]["Code"] == "ValidationError"
    assert "path" in answer["Refusal"]["Message"]
    assert (await service.forward(sign(alice, path).forwarded())).status == 403


async def test_a_signature_is_for_the_services_scope_and_region(
    service: AskingService, alice: Key
) -> None:
    for wrong in (
        {"service": "execute-api"},
        {"service": "sts"},
        {"region": "eu-west-1"},
    ):
        answer = await service.ask(Request=sign(alice, **wrong).described())
        assert answer["Refusal"]["Code"] == "SignatureDoesNotMatch"
    await service.register({**ORDERS, "Hosts": [HOST]})
    assert (await service.ask(Request=sign(alice).described()))["Allowed"]
    other = sign(alice, url="https://other.example.com").described()
    assert "host" in (await service.ask(Request=other))["Refusal"]["Message"]
    none = sign(alice)
    del none.headers["Host"]
    assert "host" in (await service.ask(Request=none.described()))["Refusal"]["Message"]


async def test_bodies_are_verified_or_refused_with_advice(
    service: AskingService, alice: Key
) -> None:
    await service.register(
        {**ORDERS, "Routes": [{"Path": "/orders/{id}", "Action": "GetOrder"}]}
    )
    body = b'{"amount": 1}'
    plain = sign(alice, method="PUT", body=body)
    unknown = await service.ask(Request=plain.described())
    assert "x-amz-content-sha256" in unknown["Refusal"]["Message"]
    old = sign(alice, method="PUT", body=body)
    old.headers["X-Amz-Date"] = "20260101T000000Z"
    assert (
        "Signature expired"
        in (await service.ask(Request=old.described()))["Refusal"]["Message"]
    )
    wrong = sign(Key(alice.access_key_id, "a" * 40), method="PUT", body=body, s3=True)
    refused = (await service.ask(Request=wrong.described()))["Refusal"]
    assert "signature we calculated" in refused["Message"]
    reply = await service.forward(plain.forwarded())
    assert reply.status == 401
    assert b"x-amz-content-sha256" in reply.body
    encoded = base64.b64encode(body).decode()
    assert (await service.ask(Request=plain.described(Body=encoded)))["Allowed"]
    digest = hashlib.sha256(body).hexdigest()
    assert (await service.ask(Request=plain.described(BodySha256=digest)))["Allowed"]
    other = hashlib.sha256(b"other").hexdigest()
    assert not (await service.ask(Request=plain.described(BodySha256=other)))["Allowed"]
    declared = sign(alice, method="PUT", body=body, s3=True)
    reply = await service.forward(declared.forwarded())
    assert (reply.status, reply.headers["x-broker-content-sha256"]) == (200, digest)
    sized = declared.forwarded(X_Original_Content_Length=str(len(body)))
    assert (await service.forward(sized)).status == 200
    assert not (await service.ask(Request=declared.described(BodySha256=other)))[
        "Allowed"
    ]
    # Signed as empty, but the proxy saw a body.
    empty = sign(alice, method="PUT").forwarded(X_Original_Content_Length="5")
    assert (await service.forward(empty)).status == 401


async def test_rules_belong_to_the_service(service: AskingService, alice: Key) -> None:
    as_sent = {**ORDERS, "Signature": {"Path": "AsSent", "Payloads": []}}
    space = "/orders/a%20b"
    assert (await service.ask(Request=sign(alice, space).described()))["Allowed"]
    assert not (await service.ask(Request=sign(alice, space, s3=True).described()))[
        "Allowed"
    ]
    await service.register(as_sent)
    assert (await service.ask(Request=sign(alice, space, s3=True).described()))[
        "Allowed"
    ]
    assert not (await service.ask(Request=sign(alice, space).described()))["Allowed"]
    unsigned = {"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"}
    request = sign(alice, headers=unsigned).described()
    assert not (await service.ask(Request=request))["Allowed"]
    await service.register({**ORDERS, "Signature": {"Payloads": ["UNSIGNED-PAYLOAD"]}})
    answer = await service.ask(Request=request)
    assert (answer["Allowed"], answer["ContentSha256"]) == (True, "UNSIGNED-PAYLOAD")


async def test_presigned_urls_hold_as_long_as_the_service_says(
    service: AskingService, alice: Key
) -> None:
    short = sign(alice, presigned_seconds=60).described()
    assert (await service.ask(Request=short))["Allowed"]
    long = sign(alice, presigned_seconds=3600).described()
    refused = await service.ask(Request=long)
    assert "900 seconds" in refused["Refusal"]["Message"]
    service.broker.clock.move(120)
    assert not (await service.ask(Request=short))["Allowed"]


async def test_condition_keys_are_the_services_and_the_requests(
    service: AskingService,
) -> None:
    types = {
        "orders:Priority": "String",
        "orders:Weight": "Numeric",
        "orders:From": "IPAddress",
        "orders:Until": "Date",
        "orders:Large": "Bool",
        "orders:Owner": "ARN",
        "orders:Digest": "Binary",
        "aws:ResourceTag/*": "String",
    }
    await service.register({**ORDERS, "ConditionKeys": types})
    orders = {"Action": "orders:*", "Resource": "*"}
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                **orders,
                "Condition": {
                    "StringEquals": {"orders:Priority": "low"},
                    "IpAddress": {"aws:SourceIp": "198.51.100.0/24"},
                    "Bool": {"aws:SecureTransport": "true"},
                },
            },
            {
                "Effect": "Deny",
                **orders,
                "Condition": {"StringEquals": {"orders:Other": "x"}},
            },
        ],
    }
    bob = await service.make_user("bob", policy)
    there = {"SourceIp": "198.51.100.9", "SecureTransport": True}
    low = {"orders:Priority": ["low"]}
    request = sign(bob)
    told = request.described(**there)
    assert (await service.ask(Request=told, Context=low))["Allowed"]
    assert not (await service.ask(Request=told))["Allowed"]
    assert not (await service.ask(Request=request.described(), Context=low))["Allowed"]
    for key in ("aws:SourceIp", "aws:PrincipalTag/x", "other:Key", "saml:aud"):
        reply = await service.post({"Request": told, "Context": {key: ["x"]}})
        assert reply.status == 400
        assert key.encode() in reply.body
    # A key of the service counts without being declared, or a Deny would not.
    for key in ("orders:Other", "ORDERS:other"):
        answer = await service.ask(Request=told, Context={**low, key: ["x"]})
        assert not answer["Allowed"]
        answer = await service.ask(Request=told, Context={**low, key: ["y"]})
        assert answer["Allowed"]
    for context, says in (
        ({"orders:Weight": ["heavy"]}, b"which is Numeric"),
        ({"orders:Weight": ["1", "2e"]}, b"which is Numeric"),
        ({"orders:From": ["203.0.113.300"]}, b"which is IPAddress"),
        ({"orders:Until": ["soon"]}, b"which is Date"),
        ({"orders:Large": ["maybe"]}, b"which is Bool"),
        ({"orders:Owner": ["ann"]}, b"which is ARN"),
        ({"orders:Digest": ["?"]}, b"which is Binary"),
        ({"orders:Other": ["x" * 4097]}, b"4096 characters"),
        ({"orders:Priority": ["low"], "ORDERS:priority": ["high"]}, b"twice"),
        ({f"aws:ResourceTag/{'x' * 300}": ["x"]}, b"256 characters"),
    ):
        reply = await service.post({"Request": told, "Context": context})
        assert reply.status == 400
        assert says in reply.body


LISTING = {
    "Principal": "arn:aws:iam::111122223333:user/alice",
    "Actions": ["orders:ListOrders"],
}


async def test_a_question_of_a_principal_is_answered(service: AskingService) -> None:
    assert (await service.post(LISTING)).status == 200


@pytest.mark.parametrize(
    "question",
    [
        b"",
        b"{",
        b"[]",
        b'{"Service":"","Service":"",' + json.dumps(LISTING).encode()[1:],
        {"Unknown": 1},
        {},
        {"Principal": "arn:aws:iam::111122223333:user/alice"},
        {
            "Principal": "arn:aws:iam::111122223333:user/alice",
            "Actions": ["iam:GetUser"],
        },
        {
            "Principal": "arn:aws:iam::111122223333:user/alice",
            "Actions": ["orders:GetOrder"],
            "Resources": ["arn:aws:iam::111122223333:role/Admin"],
        },
        {
            "Principal": "arn:aws:iam::111122223333:user/alice",
            "Actions": ["orders:GetOrder"] * 11,
            "Resources": [ORDER] * 10,
        },
        {"Principal": "x", "Actions": ["orders:GetOrder"] * 101},
        {
            "Principal": "x",
            "Credentials": {"AccessKeyId": "A" * 20},
            "Actions": ["orders:GetOrder"],
        },
        {"Request": {"Method": "GET", "Target": "/", "Headers": [["a", "b"]] * 101}},
        {"Request": {"Method": "GET", "Target": "/", "Headers": [["a", "\u20ac"]]}},
        {"Request": {"Method": "GET", "Target": "/", "Headers": [], "Body": "*"}},
        {"Request": {"Method": "GET", "Target": "/", "Headers": [], "SourceIp": "x"}},
        {
            "Request": {
                "Method": "GET",
                "Target": "/",
                "Headers": [],
                "SourceIp": "fe80::1%x",
            }
        },
        {
            "Request": {
                "Method": "GET",
                "Target": "/",
                "Headers": [],
                "ContentLength": -1,
            }
        },
        {
            "Request": {
                "Method": "GET",
                "Target": "/",
                "Headers": [],
                "BodySha256": "0" * 63 + "g",
            }
        },
        {"Principal": "x", "Actions": ["orders:GetOrder"], "Unknown": 1},
        {
            "Request": {
                "Method": "GET",
                "Target": "/",
                "Headers": [],
                "Body": "",
                "BodySha256": "0" * 64,
            }
        },
        {
            "Principal": "x",
            "Actions": ["orders:GetOrder"],
            "Context": {"orders:Priority": ["x" * 5000]},
        },
        {
            "Principal": "x",
            "Actions": ["orders:GetOrder"],
            "Context": {"orders:Priority": ["x"] * 1001},
        },
    ],
)
async def test_an_impossible_question_is_refused(
    service: AskingService, question: object
) -> None:
    reply = await service.post(question)
    assert reply.status == 400
    assert reply.headers["x-amzn-errortype"] == "ValidationError"


async def test_only_registered_callers_are_answered(
    service: AskingService, alice: Key
) -> None:
    request = sign(alice)
    question = {"Request": request.described()}
    good = service.token
    for wrong in ("", "x", good[:-1], good + "x", good.replace("bst.1", "bst.2")):
        for reply in (
            await service.post(question, token=wrong),
            await service.forward(request.forwarded(), token=wrong or "none"),
        ):
            assert (reply.status, reply.headers["x-amzn-errortype"]) == (
                403,
                "InvalidClientTokenId",
            )
    header = "X-Broker-Service-Token"
    twice = [*request.forwarded().items(), (header, good), (header, good)]
    answer = await service.broker.http.get("/decisions/forward", headers=twice)
    assert answer.status_code == 403
    # A client's signature does not stand in for the proxy's token.
    assert (await service.forward(request.forwarded(), token="")).status == 403
    named = {**question, "Service": "orders"}
    assert (await service.post(named, alice)).status == 403
    assert (await service.post({**question, "Service": "none"}, alice)).status == 403
    assert (await service.post(named, service.root)).status == 200
    missing = await service.post({**question, "Service": "none"}, service.root)
    assert missing.headers["x-amzn-errortype"] == "NoSuchEntity"
    other = "arn:aws:broker::444455556666:service/orders"
    assert (
        await service.post({**question, "Service": other}, service.root)
    ).status == 403
    bad = await service.post({**question, "Service": "arn:x"}, service.root)
    assert bad.status == 400
    not_mine = await service.post({**question, "Service": "stock"})
    assert not_mine.status == 403


async def test_a_token_ends_and_is_bound(service: AskingService, alice: Key) -> None:
    question = {"Request": sign(alice).described()}
    await service.make_token(1, "10.0.0.0/8")
    assert (await service.post(question)).status == 403
    await service.make_token(1, "127.0.0.0/8")
    assert (await service.post(question)).status == 200
    service.broker.clock.move(86_400)
    assert (await service.post({"Request": sign(alice).described()})).status == 403
    await service.make_token()
    question = {"Principal": f"arn:aws:iam::{ACCOUNT}:user/alice"}
    question["Actions"] = ["orders:ListOrders"]
    assert (await service.post(question)).status == 200
    await service.revoke_tokens()
    assert (await service.post(question)).status == 403
    for _ in range(10):
        await service.make_token()
    with pytest.raises(LimitExceeded):
        await service.make_token()
    service.broker.clock.move(86_400)
    await service.make_token()


async def test_changes_count_at_once(service: AskingService, alice: Key) -> None:
    root, ask = service.root, service.broker.ask
    assert (await service.ask(Request=sign(alice).described()))["Allowed"]
    deny = {
        "Version": "2012-10-17",
        "Statement": {"Effect": "Deny", "Action": "*", "Resource": "*"},
    }
    params = {"UserName": "alice", "PolicyName": "Deny"}
    await ask("iam", "PutUserPolicy", root, **params, PolicyDocument=json.dumps(deny))
    assert not (await service.ask(Request=sign(alice).described()))["Allowed"]
    await ask("iam", "DeleteUserPolicy", root, **params)
    assert (await service.ask(Request=sign(alice).described()))["Allowed"]
    await ask(
        "iam",
        "UpdateAccessKey",
        root,
        UserName="alice",
        AccessKeyId=alice.access_key_id,
        Status="Inactive",
    )
    assert "Principal" not in await service.ask(Request=sign(alice).described())


async def test_headers_of_a_client_tell_nothing(
    service: AskingService, alice: Key
) -> None:
    """A proxy's own headers count; a client that sends others is refused."""
    forwarded = sign(alice).forwarded()
    assert (await service.forward(forwarded)).status == 200
    for name in ("X-Original-URI", "X-Original-Method"):
        assert (await service.forward({**forwarded, name: "/orders/1"})).status == 403
    both = await service.forward({**forwarded, "X-Original-URI": "/orders/1"})
    assert b"both X-Forwarded and X-Original" in both.body
    override = {**forwarded, "X-HTTP-Method-Override": "DELETE"}
    assert (await service.forward(override)).status == 403
    for url, status in (("/orders/7", 200), ("/orders/8", 403), ("/orders/7?a", 403)):
        rewritten = {**forwarded, "X-Original-URL": url}
        assert (await service.forward(rewritten)).status == status
    original = {
        n.replace("X-Forwarded-Uri", "X-Original-URI").replace(
            "X-Forwarded-Method", "X-Original-Method"
        ): v
        for n, v in forwarded.items()
    }
    assert (await service.forward(original)).status == 200


async def test_envoy_passes_the_request_on(service: AskingService, alice: Key) -> None:
    await service.register(
        {**ORDERS, "Routes": [{"Path": "/orders/{id}", "Action": "GetOrder"}]}
    )
    body = b"{}"
    request = sign(alice, "/orders/7?a=b", method="PUT", body=body)

    async def check(sent: Signed, passed: bytes) -> int:
        reply = await service.forward(
            sent.headers, method=sent.method, below=sent.target, body=passed
        )
        return reply.status

    assert await check(request, body) == 200
    assert await check(request, b"[]") == 401
    assert await check(sign(alice), b"") == 200
    assert await check(sign(alice, "/other"), b"") == 403
    for cut, status in (("false", 200), ("true", 403), ("?", 403)):
        told = {**request.headers, "x-envoy-auth-partial-body": cut}
        cut_off = await service.forward(
            told, method="PUT", below=request.target, body=body
        )
        assert cut_off.status == status, cut_off.body


async def test_a_query_is_bounded(service: AskingService, alice: Key) -> None:
    long = await service.ask(
        Request=sign(alice, f"/orders/7?a={'b' * 16_384}").described()
    )
    assert long["Refusal"]["Code"] == "ValidationError"
    fits = await service.ask(
        Request=sign(alice, f"/orders/7?a={'b' * 16_000}").described()
    )
    assert fits["Allowed"]


async def test_a_store_that_is_away_decides_nothing(
    service: AskingService, alice: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await session_of(service, alice)
    asked = {
        "Credentials": {
            "AccessKeyId": session.access_key_id,
            "SessionToken": session.session_token,
        },
        "Actions": ["orders:ListOrders"],
    }
    assert (await service.post(asked)).status == 200

    for lost in (kinds.ACCOUNT.by_key, TOKENS[kinds.SERVICE_TOKEN]):
        with monkeypatch.context() as patch:
            lose(patch, service.broker.services.fresh, lost)
            assert (await service.post(asked)).status == 503


async def test_what_cannot_be_judged_is_denied(
    service: AskingService, alice: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise AccessDenied(detail="too much work")

    monkeypatch.setattr(Guard, "judge", fail)
    answer = await service.ask(Request=sign(alice).described())
    assert [decision["Allowed"] for decision in answer["Decisions"]] == [False]
    assert answer["Allowed"] is False
    assert (await service.forward(sign(alice).forwarded())).status == 403


async def test_other_paths_and_methods_are_none(service: AskingService) -> None:
    http = service.broker.http
    assert (await http.get("/decisions")).status_code == 405
    assert (await http.post("/decisions/other")).status_code == 404
    large = await http.post("/decisions", content=bytes(1_000_001))
    assert large.status_code == 413
    assert large.headers["x-amzn-errortype"] == "RequestEntityTooLarge"
    assert large.json()["message"] == "The body is longer than 1000000 bytes."


async def test_each_resource_of_a_batch_has_its_own_policy(
    service: AskingService, alice: Key
) -> None:
    deny = {"Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*"}
    text = json.dumps({"Version": "2012-10-17", "Statement": deny})
    async with service.broker.services.stores.directory.change(HOME) as change:
        account = await require_account(change, HOME)
        now = service.broker.clock.now()
        await put_resource_policy(change, account, f"{ORDER}2", text, now)
    asked = [f"{ORDER}{number}" for number in (1, 2, "2/files", 3)]
    answer = await service.ask(Request=sign(alice).described(), Resources=asked)
    allowed = [decision["Allowed"] for decision in answer["Decisions"]]
    assert allowed == [True, False, False, True]
    backwards = await service.ask(
        Request=sign(alice).described(), Resources=asked[::-1]
    )
    assert [decision["Allowed"] for decision in backwards["Decisions"]] == allowed[::-1]
    second = await service.ask(Request=sign(alice, "/orders/2").described())
    assert not second["Allowed"]


async def test_what_is_not_told_is_absent(service: AskingService) -> None:
    absent = {"aws:SourceIp": "true", "aws:SecureTransport": "true"}
    policy = {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Action": "orders:*",
            "Resource": "*",
            "Condition": {"Null": absent},
        },
    }
    bob = await service.make_user("bob", policy)
    assert (await service.ask(Request=sign(bob).described()))["Allowed"]
    for told in ({"SourceIp": "198.51.100.9"}, {"SecureTransport": False}):
        assert not (await service.ask(Request=sign(bob).described(**told)))["Allowed"]


async def test_a_service_overrides_no_key_of_an_identity(
    service: AskingService, alice: Key
) -> None:
    """An issuer's host can be what a service is called: ``localhost:aud``."""
    session = await session_of(service, alice)
    resolver = service.broker.services.resolver
    assert session.session_token is not None
    live = await resolver.resolve(
        session.access_key_id, session.session_token, service.broker.clock.now()
    )
    cast("Any", live.session.identity_context)["orders:priority"] = ("low",)
    policy = {**READER, "Statement": {**READER["Statement"], "Condition": {}}}
    policy["Statement"]["Condition"] = {"StringEquals": {"orders:Priority": "high"}}
    await service.broker.ask(
        "iam",
        "PutRolePolicy",
        service.root,
        RoleName="Clerk",
        PolicyName="Own",
        PolicyDocument=json.dumps(policy),
    )
    high = {"orders:Priority": ["high"]}
    answer = await service.ask(Request=sign(session).described(), Context=high)
    assert not answer["Allowed"]


async def test_the_id_of_a_key_tells_nothing_about_another_account(
    service: AskingService, alice: Key
) -> None:
    """It is not a secret, and appears in logs and signed URLs."""
    stranger = await service.broker.create_account("444455556666")
    unknown = "AKIARZPUZDIKAAAACAQD"
    asked = {"Actions": ["orders:GetOrder"]}
    foreign, none = [
        await service.ask(Credentials={"AccessKeyId": key_id}, **asked)
        for key_id in (stranger.access_key_id, unknown)
    ]
    assert "Principal" not in foreign
    assert foreign["Refusal"] == none["Refusal"]
    own = await service.ask(Credentials={"AccessKeyId": alice.access_key_id}, **asked)
    assert own["Principal"]["Arn"].endswith(":user/alice")
    signed = await service.ask(Request=sign(stranger).described())
    assert signed["Principal"]["Account"] == "444455556666"


@pytest.mark.parametrize(
    "name", ["X_Broker_Principal", "x_broker-tags", "X_HTTP_Method_Override"]
)
async def test_a_header_that_some_services_take_for_another_is_refused(
    service: AskingService, alice: Key, name: str
) -> None:
    """For CGI and WSGI, underscores in a header's name are hyphens."""
    forged = {**sign(alice).forwarded(), name: f"arn:aws:iam::{ACCOUNT}:root"}
    assert (await service.forward(forged)).status == 403
    harmless = {**sign(alice).forwarded(), "X_Trace": "1"}
    assert (await service.forward(harmless)).status == 200


async def test_a_body_that_may_be_there_and_is_not_signed_is_refused(
    service: AskingService, alice: Key
) -> None:
    """Sent in chunks, its length is told to nobody."""
    routes = [{"Path": "/orders/{id}", "Action": "GetOrder"}]
    await service.register({**ORDERS, "Routes": routes})
    for request in (
        sign(alice, method="PUT"),
        sign(alice, method="PUT", presigned_seconds=60),
    ):
        unknown = await service.forward(request.forwarded())
        assert unknown.status == 401
        assert b"x-amz-content-sha256" in unknown.body
        known = request.forwarded(X_Original_Content_Length="0")
        assert (await service.forward(known)).status == 200
    declared = await service.forward(sign(alice, method="PUT", s3=True).forwarded())
    assert declared.headers["x-broker-content-sha256"].startswith("e3b0c442")
    assert (await service.forward(sign(alice).forwarded())).status == 200


async def test_envoys_own_word_on_the_client_is_the_last(
    service: AskingService,
) -> None:
    """A client's header of the same name comes before it."""
    condition = {"IpAddress": {"aws:SourceIp": "203.0.113.7"}}
    only_there = {**READER["Statement"], "Condition": condition}
    bob = await service.make_user("bob", {**READER, "Statement": only_there})
    for addresses, status in (
        (["203.0.113.7"], 200),
        (["198.51.100.9", "203.0.113.7"], 200),
        (["203.0.113.7", "198.51.100.9"], 403),
    ):
        request = sign(bob)
        answer = await service.broker.http.get(
            f"/decisions/forward{request.target}",
            headers=[
                *request.headers.items(),
                *(("X-Forwarded-For", address) for address in addresses),
                ("X-Broker-Service-Token", service.token),
            ],
        )
        assert answer.status_code == status, addresses


async def test_a_long_batch_lets_others_have_their_turn(
    service: AskingService, monkeypatch: pytest.MonkeyPatch
) -> None:
    await service.make_user("alice", READER)
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    asked = {
        "Principal": f"arn:aws:iam::{ACCOUNT}:user/alice",
        "Actions": ["orders:GetOrder"],
        "Resources": [f"{ORDER}{number}" for number in range(100)],
    }
    monkeypatch.setattr("broker.runtime.shares.STEP_SECONDS", 0)
    others = asyncio.create_task(count_turns())
    await service.ask(**asked)
    assert turns > 75
    turns = 0
    evaluation = {
        "subject": {"type": "user", "id": "alice"},
        "action": {"name": "GetOrder"},
        "resource": {"type": "order", "id": "7"},
    }
    answer = await service.broker.http.post(
        "/access/v1/evaluations",
        json={"evaluations": [evaluation] * 100},
        headers={"Authorization": f"Bearer {service.token}"},
    )
    others.cancel()
    assert answer.status_code == 200
    assert turns > 75


async def test_federated_users_have_the_policies_of_who_made_them(
    service: AskingService, alice: Key
) -> None:
    federate = {"Effect": "Allow", "Action": "sts:GetFederationToken", "Resource": "*"}
    bob = await service.make_user(
        "bob", {"Version": "2012-10-17", "Statement": federate}
    )
    await service.broker.ask(
        "iam",
        "PutUserPolicy",
        service.root,
        UserName="alice",
        PolicyName="Federate",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": federate}),
    )
    allowed = []
    for key in (alice, bob, alice):
        made = await service.broker.ask(
            "sts", "GetFederationToken", key, Name="app", Policy=json.dumps(READER)
        )
        told = sign(Key.of(made["Credentials"])).described()
        allowed.append((await service.ask(Request=told))["Allowed"])
    assert allowed == [True, False, True]
