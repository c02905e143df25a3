"""Users and the root sign in with a password; all set up with boto3 and the operator.

Two workers and a Redis, so that each step may meet another worker.
"""

import base64
import json
import re
import time
from collections.abc import Iterator
from typing import Any

import httpx2 as httpx
import pytest
from botocore.exceptions import ClientError
from lxml import html

from tests.support.broker import ACCOUNT, Key, RunningBroker, running_broker
from tests.support.servers import find_redis, start_redis
from tests.support.totp import Device

PASSWORD = "Correct-horse-7"
NEW = "Another-horse-8"
ROOT_PASSWORD = "an emergency password, long enough"
SEED = bytes(range(20))
SERIAL = "GAHT12345678"
PROMISED_SECONDS = 1.0
"""Within them every worker knows of a change."""
SAME = {"sec-fetch-site": "same-origin"}
ONLY_WITH_MFA = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": "iam:List*",
                "Resource": "*",
                "Condition": {
                    "Bool": {"aws:MultiFactorAuthPresent": "true"},
                    "NumericLessThan": {"aws:MultiFactorAuthAge": "3600"},
                },
            },
            {
                "Effect": "Allow",
                "Action": ["iam:ChangePassword"],
                "Resource": "arn:aws:iam::*:user/${aws:username}",
            },
        ],
    }
)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    if find_redis() is None:
        pytest.skip("redis-server is not installed")
    with (
        start_redis() as redis,
        running_broker(
            tmp_path_factory.mktemp("passwords"), workers=2, redis_url=redis.url
        ) as made,
    ):
        yield made


@pytest.fixture(scope="module")
def iam(broker: RunningBroker) -> Any:
    return broker.client("iam", broker.create_account(alias="example"))


def send(
    browser: httpx.Client, response: httpx.Response, **typed: str
) -> httpx.Response:
    """Fill in the form of a page and send it; redirects are followed."""
    (form,) = html.fromstring(response.text).xpath("//form[@method='post']")
    fields = {
        field.get("name"): field.get("value")
        for field in form.xpath(".//input[@type='hidden']")
    }
    return browser.post(form.get("action"), data={**fields, **typed}, headers=SAME)


def credentials(browser: httpx.Client) -> Key:
    """What the console shows for a terminal."""
    home = browser.get("/console/")
    (form,) = html.fromstring(home.text).xpath("//form[@action='/console/credentials']")
    fields = {f.get("name"): f.get("value") for f in form.xpath(".//input")}
    text = browser.post("/console/credentials", data=fields, headers=SAME).text
    results = dict(re.findall(r"export (AWS_[A-Z_]+)=(\S+)", html_text(text)))
    return Key(
        results["AWS_ACCESS_KEY_ID"],
        results["AWS_SECRET_ACCESS_KEY"],
        results["AWS_SESSION_TOKEN"],
    )


def html_text(page: str) -> str:
    text: str = html.fromstring(page).text_content()
    return text


@pytest.mark.quick
def test_a_user_signs_in_and_takes_the_session_to_a_terminal(
    broker: RunningBroker, iam: Any
) -> None:
    iam.create_user(UserName="ann")
    iam.put_user_policy(UserName="ann", PolicyName="own", PolicyDocument=ONLY_WITH_MFA)
    iam.create_login_profile(
        UserName="ann", Password=PASSWORD, PasswordResetRequired=True
    )
    made = iam.create_virtual_mfa_device(VirtualMFADeviceName="ann")
    made = made["VirtualMFADevice"]
    device = Device(made["Base32StringSeed"].decode())
    iam.enable_mfa_device(
        UserName="ann", SerialNumber=made["SerialNumber"], **device.pair()
    )
    with httpx.Client(base_url=broker.url, follow_redirects=True) as browser:
        page = browser.get("/signin/example")
        page = send(browser, page, username="ann", password=PASSWORD)
        assert "Second factor" in html_text(page.text)
        page = send(browser, page, code=device.code())
        assert "Choose a new password" in html_text(page.text)
        page = send(browser, page, password=PASSWORD, new=NEW, again=NEW)
        assert str(page.url) == f"{broker.url}/console/"
        key = credentials(browser)
        identity = broker.client("sts", key).get_caller_identity()
        assert identity["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/ann"
        console = broker.client("iam", key)
        assert console.list_users()["Users"]
        with pytest.raises(ClientError, match="AccessDenied"):
            console.create_user(UserName="bob")
        assert used_at(iam, "ann") is not None
        iam.delete_login_profile(UserName="ann")
        time.sleep(PROMISED_SECONDS)
        assert browser.get("/console/").status_code == 403
        with pytest.raises(ClientError, match="InvalidClientTokenId"):
            console.list_users()


def used_at(iam: Any, name: str) -> Any:
    """When the password was used; uses are written within seconds."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        user = iam.get_user(UserName=name)["User"]
        if "PasswordLastUsed" in user:
            return user["PasswordLastUsed"]
        time.sleep(0.5)
    return None


@pytest.mark.usefixtures("iam")
def test_the_root_signs_in_while_the_operator_lets_it(broker: RunningBroker) -> None:
    tokens = broker.folder / "tokens.txt"
    tokens.write_text(f"{SERIAL},{SEED.hex()}\n")
    broker.command("mfa", "import", "--account", ACCOUNT, str(tokens))
    device = Device(base64.b32encode(SEED).decode())
    broker.command(
        "mfa", "enable-root", "--account", ACCOUNT, SERIAL, device.code(), device.code()
    )
    command = ("account", "root-password", ACCOUNT)
    said = broker.command(*command, "--set", stdin=f"{ROOT_PASSWORD}\n")
    assert "can now sign in" in said
    time.sleep(PROMISED_SECONDS)
    with httpx.Client(base_url=broker.url, follow_redirects=True) as browser:
        page = browser.get("/signin/example?kind=root")
        page = send(browser, page, password=ROOT_PASSWORD)
        page = send(browser, page, code=device.code())
        assert "Root user" in html_text(page.text)
        root = broker.client("iam", credentials(browser))
        assert root.get_account_summary()["SummaryMap"]["AccountPasswordPresent"] == 1
        broker.command(*command, "--off")
        time.sleep(PROMISED_SECONDS)
        assert browser.get("/console/").status_code == 403
    log = broker.log
    assert "root user signed in" in log
    for secret in (ROOT_PASSWORD, PASSWORD, NEW):
        assert secret not in log
