"""A person by SAML and a job by OIDC have different rights on a service of one's own."""

import json
import time
import urllib.error
import urllib.request
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.scenarios.installation import ADMIN, Installation, policy
from tests.support.broker import ACCOUNT, Key
from tests.support.decisions import HOST, Signed, sign
from tests.support.rows import cases

API = f"arn:aws:execute-api:us-east-1:{ACCOUNT}:orders/$default"
_SECONDS = 30


@pytest.fixture(scope="module")
def token(installation: Installation) -> str:
    broker, iam = installation.broker, installation.iam
    iam.put_role_policy(
        RoleName="Reader",
        PolicyName="Orders",
        PolicyDocument=policy("execute-api:Invoke", f"{API}/GET/*"),
    )
    broker.command("services", "set", "orders", "--account", ACCOUNT, "--host", HOST)
    made = broker.command("services", "token", "orders", "--account", ACCOUNT)
    stored_token: str = json.loads(made)["Token"]
    return stored_token


def ask(installation: Installation, token: str, request: Signed) -> dict[str, Any]:
    return post(installation, token, {"Request": request.described(Body="")})


def post(installation: Installation, token: str, told: object) -> dict[str, Any]:
    asked = urllib.request.Request(
        f"{installation.broker.url}/decisions",
        data=json.dumps(told).encode(),
        headers={"X-Broker-Service-Token": token},
    )
    with urllib.request.urlopen(asked, timeout=_SECONDS) as answer:
        results: dict[str, Any] = json.loads(answer.read())
        return results


def test_both_are_decided_recorded_and_revoked(
    installation: Installation, token: str
) -> None:
    person = Key.of(installation.saml()["Credentials"])
    job = Key.of(installation.web_identity(RoleArn=ADMIN)["Credentials"])

    def decided(key: Key, method: str) -> dict[str, Any]:
        request = sign(key, "/orders/7", method=method, service="execute-api")
        return ask(installation, token, request)

    assert decided(person, "GET")["Allowed"]
    assert decided(job, "DELETE")["Allowed"]
    denied = decided(person, "DELETE")
    assert not denied["Allowed"]
    assert "Context" in denied["Principal"]

    keys = {person.access_key_id, job.access_key_id}
    results = recorded(installation, denied["RequestId"])
    records = [record for record in results if record["access_key_id"] in keys]
    roles = {record["caller_arn"].split("/")[1] for record in records}
    assert roles == {"Reader", "Admin"}
    refused = [record for record in records if record["decision"] == "denied"]
    assert "identity-based policy" in refused[0]["detail"]
    assert all(record["reason"] for record in records)
    explained = installation.broker.command("explain", denied["RequestId"])
    assert "execute-api:Invoke" in explained
    assert "/DELETE/orders/7" in explained

    installation.broker.command("sessions", "revoke", job.access_key_id)
    deadline = time.monotonic() + _SECONDS
    while "Principal" in (answer := decided(job, "DELETE")):
        assert time.monotonic() < deadline
    assert answer["Refusal"]["Code"] == "ExpiredToken"
    assert decided(person, "GET")["Allowed"]


def forwarded(
    installation: Installation, token: str, request: Signed
) -> tuple[int, str | None, bytes]:
    """What a proxy's client gets to see of the answer."""
    asked = urllib.request.Request(
        f"{installation.broker.url}/decisions/forward",
        headers={**request.forwarded(), "X-Broker-Service-Token": token},
    )
    try:
        with urllib.request.urlopen(asked, timeout=_SECONDS) as answer:
            return answer.status, None, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers["x-amzn-errortype"], error.read()


@cases("sent", ids=str)
def test_a_proxys_client_cannot_tell_which_access_keys_exist(
    installation: Installation, token: str, sent: dict[str, Any]
) -> None:
    root = installation.root
    session = Key.of(installation.saml()["Credentials"])
    iam = installation.iam
    name = f"once-{uuid.uuid4().hex[:8]}"
    iam.create_user(UserName=name)
    inactive = Key.of(iam.create_access_key(UserName=name)["AccessKey"])
    iam.update_access_key(
        UserName=name, AccessKeyId=inactive.access_key_id, Status="Inactive"
    )
    ids = [
        root.access_key_id,
        root.access_key_id[:-1] + ("A" if root.access_key_id[-1] != "A" else "B"),
        "AKIAIOSFODNN7EXAMPLE",
        inactive.access_key_id,
        session.access_key_id,
    ]
    answers = {
        forwarded(
            installation,
            token,
            sign(Key(text, "guessed"), "/orders/7", service="execute-api", **sent),
        )
        for text in ids
    }
    ((status, code, _),) = answers
    assert (status, code) == (401, "SignatureDoesNotMatch")


def test_a_request_for_another_service_is_not_one_for_this(
    installation: Installation, token: str
) -> None:
    """Both have the scope `execute-api`; only the host tells them apart."""
    root, elsewhere = installation.root, "https://b.example.com"
    other = sign(root, "/orders/7", service="execute-api", url=elsewhere)
    assert forwarded(installation, token, other)[:2] == (401, "SignatureDoesNotMatch")
    refusal = ask(installation, token, other)["Refusal"]
    assert refusal["Message"] == "The request is for another host."
    own = sign(root, "/orders/7", service="execute-api")
    assert forwarded(installation, token, own)[0] == 200
    with pytest.raises(AssertionError, match="Hosts: is required"):
        installation.broker.command("services", "set", "bare", "--account", ACCOUNT)


def test_an_id_that_is_only_named_was_not_used(
    installation: Installation, token: str
) -> None:
    iam = installation.iam
    iam.create_user(UserName="named")
    iam.put_user_policy(
        UserName="named",
        PolicyName="Orders",
        PolicyDocument=policy("execute-api:Invoke"),
    )
    key = Key.of(iam.create_access_key(UserName="named")["AccessKey"])
    arn = f"arn:aws:iam::{ACCOUNT}:user/named"
    asked = {"Actions": ["execute-api:Invoke"], "Resources": [f"{API}/GET/orders/9"]}
    for who in (
        {"Credentials": {"AccessKeyId": key.access_key_id}},
        {"Principal": arn},
    ):
        answer = post(installation, token, {**asked, **who})
        assert answer["Allowed"]
        records = recorded(installation, answer["RequestId"])
        (record,) = (r for r in records if r["event_id"] == answer["RequestId"])
        assert record["access_key_id"] == ""
        assert record["parameters"]["NamedBy"].endswith(":service/orders")
    used = iam.get_access_key_last_used(AccessKeyId=key.access_key_id)
    assert used["AccessKeyLastUsed"]["ServiceName"] == "N/A"
    # Who signs uses the key.
    address = "203.0.113.1"
    request = sign(key, "/orders/9", service="execute-api").described(Body="")
    answer = post(installation, token, {"Request": {**request, "SourceIp": address}})
    records = recorded(installation, answer["RequestId"])
    (record,) = (r for r in records if r["event_id"] == answer["RequestId"])
    assert record["access_key_id"] == key.access_key_id
    assert record["source_ip"] == address
    assert "NamedBy" not in record["parameters"]
    assert "first use today" in record["reason"]
    deadline = time.monotonic() + 90
    while used["AccessKeyLastUsed"]["ServiceName"] != "execute-api":
        assert time.monotonic() < deadline, used
        time.sleep(0.5)
        used = iam.get_access_key_last_used(AccessKeyId=key.access_key_id)


def test_a_name_that_cannot_be_stored_is_no_outage(
    installation: Installation, token: str
) -> None:
    nobody = f"arn:aws:iam::{ACCOUNT}:user/ann\0"
    asked = {"Principal": nobody, "Actions": ["execute-api:Invoke"]}
    assert post(installation, token, asked)["Refusal"]["Code"] == "NoSuchEntity"
    trust = {
        "Effect": "Allow",
        "Principal": {"AWS": nobody},
        "Action": "sts:AssumeRole",
    }
    with pytest.raises(ClientError) as refused:
        installation.iam.create_role(
            RoleName="Nobodys",
            AssumeRolePolicyDocument=json.dumps(
                {"Version": "2012-10-17", "Statement": trust}
            ),
        )
    assert refused.value.response["Error"]["Code"] == "MalformedPolicyDocument"


def recorded(installation: Installation, event_id: str) -> list[dict[str, Any]]:
    """The records of decisions, once that of the event is written."""
    deadline = time.monotonic() + _SECONDS
    while True:
        printed = installation.broker.command(
            *("audit", "--json", "--action", "execute-api:Invoke")
        )
        results = [json.loads(line) for line in printed.splitlines()]
        if event_id in {record["event_id"] for record in results}:
            return results
        assert time.monotonic() < deadline, printed
