"""Registered services and resource policies through AWS's own clients."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.broker import ACCOUNT, REGION, Key, RunningBroker
from tests.support.machine_agent import MODELS, broker_client
from tests.support.rows import cases

ORDER = f"arn:aws:orders:us-east-1:{ACCOUNT}:order/7"
HOSTS: dict[str, Any] = {"Hosts": ["orders.example.com"]}
DEFINITION: dict[str, Any] = {
    **HOSTS,
    "ResourceTypes": {"order": "order/{id}"},
    "Actions": {"GetOrder": {"AccessLevel": "Read", "ResourceTypes": ["order"]}},
    "Routes": [{"Path": "/orders/{id}", "Action": "GetOrder"}],
}


@pytest.fixture(scope="module")
def api(broker: RunningBroker, root: Key) -> Any:
    made = broker_client(broker, root)
    made.put_service(ServiceName="orders", Definition=json.dumps(DEFINITION))
    return made


@pytest.fixture
def alice(iam: Any) -> Iterator[str]:
    yield iam.create_user(UserName="alice")["User"]["Arn"]
    iam.delete_user(UserName="alice")


def code(error: pytest.ExceptionInfo[ClientError]) -> str:
    stored_code: str = error.value.response["Error"]["Code"]
    return stored_code


def test_services(api: Any) -> None:
    made = api.put_service(ServiceName="stock", Definition=json.dumps(HOSTS))["Service"]
    assert made["Arn"] == f"arn:aws:broker::{ACCOUNT}:service/stock"
    assert [entry["Name"] for entry in api.list_services()["Services"]] == [
        "orders",
        "stock",
    ]
    service = api.get_service(ServiceName="orders")["Service"]
    assert json.loads(service["Definition"]) == DEFINITION
    with pytest.raises(ClientError) as refused:
        api.put_service(ServiceName="sts", Definition="{}")
    assert code(refused) == "InvalidInput"
    with pytest.raises(ClientError) as refused:
        api.put_service(ServiceName="stock", Definition='{"Scopes": ["iam"]}')
    assert code(refused) == "InvalidInput"
    for name, definition in (("bare", {}), ("bare", {"Hosts": []}), ("stock", {})):
        with pytest.raises(ClientError, match="Hosts: is required"):
            api.put_service(ServiceName=name, Definition=json.dumps(definition))
    chunks = ["STREAMING-AWS4-HMAC-SHA256-PAYLOAD"]
    with pytest.raises(ClientError, match="chunks of such a body are not verified"):
        api.put_service(
            ServiceName="stock",
            Definition=json.dumps({**HOSTS, "Signature": {"Payloads": chunks}}),
        )
    api.delete_service(ServiceName="stock")
    with pytest.raises(ClientError) as gone:
        api.get_service(ServiceName="stock")
    assert code(gone) == "NoSuchEntity"


def test_tokens(api: Any) -> None:
    made = api.create_service_token(
        ServiceName="orders", Days=7, Addresses=["192.0.2.0/24"]
    )
    token = made["ServiceToken"]
    (listed,) = api.list_service_tokens(ServiceName="orders")["ServiceTokens"]
    assert listed == token
    assert (token["ExpirationDate"] - token["CreateDate"]).days == 7
    assert token["Addresses"] == ["192.0.2.0/24"]
    assert made["Token"] not in str(api.list_service_tokens(ServiceName="orders"))
    api.delete_service_token(ServiceName="orders", TokenId=token["TokenId"])
    assert api.list_service_tokens(ServiceName="orders")["ServiceTokens"] == []


@cases("statement, says", ids=str)
def test_a_statement_that_can_never_apply_is_refused(
    api: Any, alice: str, statement: dict[str, Any], says: str
) -> None:
    whole = {"Effect": "Allow", "Principal": {"AWS": alice}, **statement}
    if "NotAction" not in whole:
        whole.setdefault("Action", "orders:GetOrder")
    text = json.dumps({"Version": "2012-10-17", "Statement": [whole]})
    put = {"ResourceArn": ORDER, "PolicyDocument": text}
    if not says:
        api.put_resource_policy(**put)
        api.delete_resource_policy(ResourceArn=ORDER)
        return
    with pytest.raises(ClientError, match=says) as refused:
        api.put_resource_policy(**put)
    assert code(refused) == "MalformedPolicyDocument"


def test_resource_policies_take_part_in_simulations(
    api: Any, iam: Any, alice: str
) -> None:
    statement = {"Effect": "Allow", "Principal": {"AWS": alice}, "Action": "orders:*"}
    document = {
        "Version": "2012-10-17",
        "Statement": [{**statement, "Sid": "Alice", "Resource": "*"}],
    }
    asked = {
        "PolicySourceArn": alice,
        "ActionNames": ["orders:GetOrder"],
        "ResourceArns": [f"{ORDER}/files/a", ORDER[:-1] + "8"],
    }

    def simulated() -> list[str]:
        (result,) = iam.simulate_principal_policy(**asked)["EvaluationResults"]
        return [
            resource_specific_result["EvalResourceDecision"]
            for resource_specific_result in result["ResourceSpecificResults"]
        ]

    assert simulated() == ["implicitDeny", "implicitDeny"]
    api.put_resource_policy(ResourceArn=ORDER, PolicyDocument=json.dumps(document))
    policy = api.get_resource_policy(ResourceArn=ORDER)["ResourcePolicy"]
    assert json.loads(policy["PolicyDocument"]) == document
    listed = api.list_resource_policies(MaxItems=1)
    assert [
        resource_policy["ResourceArn"] for resource_policy in listed["ResourcePolicies"]
    ] == [ORDER]
    assert not listed["IsTruncated"]
    assert simulated() == ["allowed", "implicitDeny"]
    (result,) = iam.simulate_principal_policy(**asked)["EvaluationResults"]
    (matched,) = result["ResourceSpecificResults"][0]["MatchedStatements"]
    assert (matched["SourcePolicyId"], matched["SourcePolicyType"]) == (
        ORDER,
        "Resource Policy",
    )
    api.delete_resource_policy(ResourceArn=ORDER)
    assert simulated() == ["implicitDeny", "implicitDeny"]
    with pytest.raises(ClientError) as gone:
        api.delete_resource_policy(ResourceArn=ORDER)
    assert code(gone) == "NoSuchEntity"


def test_explain_knows_resource_policies(
    broker: RunningBroker, api: Any, alice: str
) -> None:
    statement = {"Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*"}
    document = {"Version": "2012-10-17", "Statement": statement}
    api.put_resource_policy(ResourceArn=ORDER, PolicyDocument=json.dumps(document))
    printed = broker.command(
        *("explain", "--principal", alice, "--action", "orders:GetOrder"),
        *("--resource", ORDER),
    )
    assert f"resource-based policy ({ORDER})" in printed
    assert "Denied" in printed
    api.delete_resource_policy(ResourceArn=ORDER)


def test_the_cli_speaks_it(broker: RunningBroker, root: Key, api: Any) -> None:
    assert api
    done = subprocess.run(
        [sys.executable, "-m", "awscli", "broker", "list-services"],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(broker.folder),
            "AWS_DATA_PATH": str(MODELS),
            "AWS_ENDPOINT_URL": broker.url,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": root.access_key_id,
            "AWS_SECRET_ACCESS_KEY": root.secret_access_key,
        },
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert [service["Name"] for service in json.loads(done.stdout)["Services"]] == [
        "orders"
    ]


def test_another_account_changes_nothing(broker: RunningBroker, api: Any) -> None:
    assert api
    stranger = broker_client(broker, broker.create_account("999900001111"))
    with pytest.raises(ClientError) as refused:
        stranger.put_resource_policy(ResourceArn=ORDER, PolicyDocument="{}")
    assert code(refused) == "InvalidInput"
    with pytest.raises(ClientError) as gone:
        stranger.get_service(ServiceName="orders")
    assert code(gone) == "NoSuchEntity"
