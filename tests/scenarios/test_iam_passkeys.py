"""A passkey in a real broker of two workers: made and shown by HTTP, seen by boto3."""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import httpx2 as httpx
import pytest
from botocore.exceptions import ClientError

from tests.support.authenticator import Authenticator
from tests.support.broker import ACCOUNT, REGION, RunningBroker, running_broker
from tests.support.signin import form_fields

PASSWORD = "Correct-horse-7"
PASSKEY = "/console/security/mfa/passkey"
SIGN_IN = "/signin/example"
POLICY = {
    "Version": "2012-10-17",
    "Statement": {"Effect": "Allow", "Action": "iam:EnableMFADevice", "Resource": "*"},
}


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    folder = tmp_path_factory.mktemp("passkeys")
    with running_broker(folder, workers=2, start=False) as made:
        made.environment["BROKER_PUBLIC_URL"] = origin(made)
        made.start()
        yield made


def origin(broker: RunningBroker) -> str:
    return f"http://localhost:{broker.port}"


@pytest.fixture(scope="module")
def iam(broker: RunningBroker) -> Any:
    key = broker.create_account(alias="example")
    return boto3.client(
        "iam",
        endpoint_url=origin(broker),
        region_name=REGION,
        aws_access_key_id=key.access_key_id,
        aws_secret_access_key=key.secret_access_key,
    )


def post(
    browser: httpx.Client, page: httpx.Response, action: str, **typed: str
) -> httpx.Response:
    fields = form_fields(page, action)
    return browser.post(
        action, data={**fields, **typed}, headers={"sec-fetch-site": "same-origin"}
    )


def send_password(browser: httpx.Client, name: str) -> httpx.Response:
    page = browser.get(SIGN_IN)
    return post(browser, page, SIGN_IN, username=name, password=PASSWORD)


def options_of(page: httpx.Response) -> str:
    from lxml import html

    (options,) = html.fromstring(page.text).xpath("//form/@data-options")
    return str(options)


def test_a_passkey_from_its_making_to_its_end(broker: RunningBroker, iam: Any) -> None:
    iam.create_user(UserName="ann", Path="/staff/")
    iam.create_login_profile(UserName="ann", Password=PASSWORD)
    iam.put_user_policy(
        UserName="ann", PolicyName="own", PolicyDocument=json.dumps(POLICY)
    )
    authenticator = Authenticator(origin(broker))
    with httpx.Client(base_url=origin(broker)) as browser:
        assert send_password(browser, "ann").status_code == 303
        page = browser.get(PASSKEY)
        credential = authenticator.create(options_of(page))
        made = post(browser, page, PASSKEY, name="laptop", credential=credential)
        assert made.status_code == 303, made.text
    (listed,) = iam.list_mfa_devices(UserName="ann")["MFADevices"]
    serial = listed["SerialNumber"]
    assert serial.startswith(f"arn:aws:iam::{ACCOUNT}:u2f/user/ann/laptop-")
    device = iam.get_mfa_device(SerialNumber=serial)
    assert device["UserName"] == "ann"
    assert device["EnableDate"] == listed["EnableDate"]
    with httpx.Client(base_url=origin(broker)) as browser:
        page = send_password(browser, "ann")
        assert page.status_code == 200
        answer = authenticator.get(options_of(page))
        step = f"{SIGN_IN}/factor"
        entered = post(browser, page, step, factor="passkey", credential=answer)
        assert entered.headers["location"] == "/console/"
        assert browser.get("/console/security").status_code == 200
    codes = {"AuthenticationCode1": "123456", "AuthenticationCode2": "654321"}
    for call in (iam.enable_mfa_device, iam.resync_mfa_device):
        with pytest.raises(ClientError) as refused:
            call(UserName="ann", SerialNumber=serial, **codes)
        assert refused.value.response["Error"]["Code"] == "NoSuchEntity"
    iam.delete_login_profile(UserName="ann")
    iam.delete_user_policy(UserName="ann", PolicyName="own")
    with pytest.raises(ClientError) as refused:
        iam.delete_user(UserName="ann")
    assert refused.value.response["Error"] == {
        "Type": "Sender",
        "Code": "DeleteConflict",
        "Message": "Cannot delete entity, must delete MFA device first.",
    }
    iam.deactivate_mfa_device(UserName="ann", SerialNumber=serial)
    assert iam.list_mfa_devices(UserName="ann")["MFADevices"] == []
    iam.delete_user(UserName="ann")


def test_a_passkey_is_no_factor_of_the_api(iam: Any, broker: RunningBroker) -> None:
    """As in AWS: signed requests show codes."""
    iam.create_user(UserName="bob")
    key = iam.create_access_key(UserName="bob")["AccessKey"]
    sts = boto3.client(
        "sts",
        endpoint_url=origin(broker),
        region_name=REGION,
        aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"],
    )
    with pytest.raises(ClientError) as refused:
        sts.get_session_token(
            SerialNumber=f"arn:aws:iam::{ACCOUNT}:u2f/user/bob/laptop-X",
            TokenCode="123456",
        )
    assert "unable to validate MFA code" in str(refused.value)
