"""One origin and a host for each region; and how often an account may call."""

import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from tests.support.broker import Key, RunningBroker, running_broker
from tests.support.rows import cases


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    folder: Path = tmp_path_factory.mktemp("regions")
    with running_broker(folder, regions="us-east-1,eu-west-3") as broker:
        yield broker


@pytest.fixture(scope="module")
def root(broker: RunningBroker) -> Key:
    return broker.create_account()


@pytest.fixture(scope="module")
def alice(broker: RunningBroker, root: Key) -> Key:
    """A user who may ask for nobody's account in the region eu-west-3 only."""
    iam = broker.client("iam", root)
    iam.create_user(UserName="alice")
    iam.put_user_policy(
        UserName="alice",
        PolicyName="There",
        PolicyDocument="""{"Version": "2012-10-17", "Statement": {
            "Effect": "Allow", "Action": "sts:*", "Resource": "*",
            "Condition": {"StringEquals": {"aws:RequestedRegion": "eu-west-3"}}}}""",
    )
    return Key.of(iam.create_access_key(UserName="alice")["AccessKey"])


def ask(
    broker: RunningBroker, key: Key, action: str, *, host: str, region: str
) -> tuple[int, str]:
    """Send a call to the broker with another Host header, as a name would."""
    body = f"Action={action}&Version=2011-06-15".encode()
    named = f"{host}:{broker.port}"
    request = AWSRequest(
        "POST",
        f"http://{named}/",
        data=body,
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    credentials = Credentials(
        key.access_key_id, key.secret_access_key, key.session_token
    )
    SigV4Auth(credentials, "sts", region).add_auth(request)
    sent = urllib.request.Request(
        broker.url, body, {**dict(request.headers.items()), "Host": named}
    )
    try:
        with urllib.request.urlopen(sent, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


TASK = "arn:aws:iam::aws:policy/root-task/S3UnlockBucketPolicy"
INFO = "GetAccessKeyInfo&AccessKeyId=ASIARZPUZDIKAAAACAQD"


@cases("host, region, status")
def test_a_host_takes_its_own_region(
    broker: RunningBroker, root: Key, host: str, region: str, status: int
) -> None:
    answer, text = ask(broker, root, "GetCallerIdentity", host=host, region=region)
    assert answer == status
    assert ("SignatureDoesNotMatch" in text) == (status == 403)


@cases("host, region, status")
def test_policies_see_the_region_that_was_asked(
    broker: RunningBroker, alice: Key, host: str, region: str, status: int
) -> None:
    answer, text = ask(broker, alice, INFO, host=host, region=region)
    assert answer == status
    assert ("AccessDenied" in text) == (status == 403)


@cases("action")
def test_some_operations_are_at_regional_endpoints_only(
    broker: RunningBroker, root: Key, action: str
) -> None:
    _, text = ask(broker, root, action, host="sts.127.0.0.1", region="us-east-1")
    assert "<Code>InvalidAction</Code>" in text
    _, text = ask(
        broker, root, action, host="sts.us-east-1.127.0.0.1", region="us-east-1"
    )
    assert "<Code>InvalidAction</Code>" not in text


def codes_of_calls(
    broker: RunningBroker, key: Key, calls: int, service: str = "sts"
) -> list[str]:
    client: Any = broker.client(service, key)
    call = client.get_caller_identity if service == "sts" else client.list_users
    codes = []
    for _ in range(calls):
        try:
            call()
        except ClientError as error:
            codes.append(error.response["Error"]["Code"])
        else:
            codes.append("")
    return codes


def test_a_retry_storm_is_throttled_by_account(tmp_path: Path) -> None:
    with running_broker(tmp_path, rate_limit="3") as broker:
        busy, quiet = broker.create_account(), broker.create_account("210987654321")
        codes = codes_of_calls(broker, busy, 40)
        assert set(codes) == {"", "Throttling"}
        assert codes_of_calls(broker, quiet, 1) == [""]
        assert set(codes_of_calls(broker, busy, 40, "iam")) == {"", "Throttling"}
        assert codes_of_calls(broker, quiet, 1, "iam") == [""]
        patient = boto3.client(
            "sts",
            endpoint_url=broker.url,
            region_name="eu-west-3",
            aws_access_key_id=busy.access_key_id,
            aws_secret_access_key=busy.secret_access_key,
            config=Config(retries={"mode": "standard", "total_max_attempts": 8}),
        )
        for _ in range(4):
            assert patient.get_caller_identity()["Account"]
