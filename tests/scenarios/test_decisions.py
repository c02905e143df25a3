"""A person by SAML and a job by OIDC have different rights on a service of one's own."""

import json
import time
import urllib.request
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.scenarios.installation import ADMIN, Installation, policy
from tests.support.broker import ACCOUNT, Key
from tests.support.decisions import Signed, sign

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
    broker.command("services", "set", "orders", "--account", ACCOUNT)
    made = broker.command("services", "token", "orders", "--account", ACCOUNT)
    found: str = json.loads(made)["Token"]
    return found


def ask(installation: Installation, token: str, request: Signed) -> dict[str, Any]:
    return post(installation, token, {"Request": request.described(Body="")})


def post(installation: Installation, token: str, told: object) -> dict[str, Any]:
    asked = urllib.request.Request(
        f"{installation.broker.url}/decisions",
        data=json.dumps(told).encode(),
        headers={"X-Broker-Service-Token": token},
    )
    with urllib.request.urlopen(asked, timeout=_SECONDS) as answer:
        found: dict[str, Any] = json.loads(answer.read())
        return found


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

    records = recorded(installation, denied["RequestId"])
    callers = {record["caller_arn"] for record in records}
    assert {arn.split("/")[1] for arn in callers} == {"Reader", "Admin"}
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
        found = [json.loads(line) for line in printed.splitlines()]
        if event_id in {record["event_id"] for record in found}:
            return found
        assert time.monotonic() < deadline, printed
