"""A write that breaks an invariant is refused alike by IAM, a template and the console."""

import json
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import httpx2
import pytest
from botocore.exceptions import ClientError
from lxml import html
from typer.testing import CliRunner

from broker.cli.main import app
from tests.support.broker import ACCOUNT, Key, RunningBroker
from tests.support.machine_agent import broker_client
from tests.support.storage import STORAGES, broker_on

SRE = f"arn:aws:iam::{ACCOUNT}:role/sre"
CI = f"arn:aws:iam::{ACCOUNT}:role/ci"
ALL_OF_S3 = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
ONLY_SRE = {
    "Effect": "Deny",
    "Action": "s3:GetObject",
    "Resource": "arn:aws:s3:::backups/*",
    "Condition": {"ArnNotEquals": {"aws:PrincipalArn": SRE}},
}
NO_BACKUPS = {"Effect": "Deny", "Action": "s3:*", "Resource": "arn:aws:s3:::backups/*"}
REFUSAL = re.compile(
    r"The invariant only-sre would be broken: (\S+) could (\S+ on \S+), by (.*?)\.(?:\s|$)"
)


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


TRUST = policy(
    {"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "sts:AssumeRole"}
)


@pytest.fixture(params=STORAGES)
def broker(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[RunningBroker, Key]]:
    """A broker whose account lets only SRE read backups, on each kind of storage."""
    with broker_on(request.param, tmp_path) as running:
        root = running.create_account()
        iam = running.client("iam", root)
        for name in ("sre", "ci"):
            iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)
        iam.put_role_policy(
            RoleName="sre", PolicyName="store", PolicyDocument=policy(ALL_OF_S3)
        )
        stated = {"PolicyName": "only-sre", "PolicyDocument": policy(ONLY_SRE)}
        broker_client(running, root).put_invariants(Invariants=[stated])
        yield running, root


def refused(call: Any, **params: Any) -> tuple[str, ...]:
    """Who could do what, by which policy, as IAM refuses it."""
    with pytest.raises(ClientError) as caught:
        call(**params)
    error = caught.value.response["Error"]
    assert error["Code"] == "AccessDenied"
    return told(error["Message"] + " " + error.get("Advice", ""))


def told(text: str) -> tuple[str, ...]:
    match = REFUSAL.search(unescape(text))
    assert match is not None, text
    return match.groups()


def test_four_ways_to_break_an_invariant(broker: tuple[RunningBroker, Key]) -> None:
    running, root = broker
    iam = running.client("iam", root)
    store = {"RoleName": "ci", "PolicyName": "store"}
    wide = {**store, "PolicyDocument": policy(ALL_OF_S3)}
    request = "s3:GetObject on arn:aws:s3:::backups/"
    assert refused(iam.put_role_policy, **wide)[:2] == (CI, request)
    read_only = "arn:aws:iam::aws:policy/ReadOnlyAccess"
    attached = refused(iam.attach_role_policy, RoleName="ci", PolicyArn=read_only)
    assert attached[:2] == (CI, request)
    assert read_only in attached[2]
    deny = {"RoleName": "ci", "PolicyName": "no-backups"}
    iam.put_role_policy(**deny, PolicyDocument=policy(NO_BACKUPS))
    iam.put_role_policy(**wide)
    assert refused(iam.delete_role_policy, **deny)[:2] == (CI, request)
    iam.create_user(UserName="ann")
    iam.create_group(GroupName="readers")
    iam.put_group_policy(
        GroupName="readers", PolicyName="store", PolicyDocument=policy(ALL_OF_S3)
    )
    joining = refused(iam.add_user_to_group, GroupName="readers", UserName="ann")
    assert joining[:2] == (f"arn:aws:iam::{ACCOUNT}:user/ann", request)


def test_boto3_the_console_and_a_template_are_refused_alike(
    broker: tuple[RunningBroker, Key],
) -> None:
    running, root = broker
    wide = {"PolicyName": "store", "PolicyDocument": policy(ALL_OF_S3)}
    by_boto3 = refused(
        running.client("iam", root).put_role_policy, RoleName="ci", **wide
    )
    assert by_template(running, wide) == by_boto3
    assert by_console(running, root, wide) == by_boto3
    policies = running.client("iam", root).list_role_policies(RoleName="ci")
    assert policies["PolicyNames"] == []


def by_template(running: RunningBroker, inline: dict[str, str]) -> tuple[str, ...]:
    role = {
        "RoleName": "ci",
        "AssumeRolePolicyDocument": json.loads(TRUST),
        "Policies": [
            {**inline, "PolicyDocument": json.loads(inline["PolicyDocument"])}
        ],
    }
    file = running.folder / "account.json"
    file.write_text(json.dumps({"Accounts": {ACCOUNT: {"Roles": [role]}}}))
    done = CliRunner(env=dict(running.environment)).invoke(app, ["apply", str(file)])
    assert done.exit_code == 1
    return told(" ".join(done.output.split()))


def by_console(
    running: RunningBroker, root: Key, inline: dict[str, str]
) -> tuple[str, ...]:
    iam = running.client("iam", root)
    iam.create_user(UserName="admin")
    everything = policy(
        {"Effect": "Allow", "Action": ["iam:*", "sts:*"], "Resource": "*"}
    )
    iam.put_user_policy(UserName="admin", PolicyName="all", PolicyDocument=everything)
    key = Key.of(iam.create_access_key(UserName="admin")["AccessKey"])
    made = running.client("sts", key).get_federation_token(
        Name="dora", Policy=everything
    )
    session = Key.of(made["Credentials"])
    with httpx2.Client(base_url=running.url, follow_redirects=True) as browser:
        made = browser.get(
            "/federation",
            params={
                "Action": "getSigninToken",
                "Session": json.dumps(
                    {
                        "sessionId": session.access_key_id,
                        "sessionKey": session.secret_access_key,
                        "sessionToken": session.session_token,
                    }
                ),
            },
        )
        browser.get(
            "/federation",
            params={
                "Action": "login",
                "Destination": f"{running.url}/console/",
                "SigninToken": made.json()["SigninToken"],
            },
        )
        page = browser.get("/console/inline?kind=role&name=ci")
        (form,) = html.fromstring(page.text).xpath("//form[@data-live]")
        fields = dict(form.form_values())
        fields |= {"policy": inline["PolicyName"], "do": "save"}
        fields |= {"view": "json", "text": inline["PolicyDocument"]}
        answer = browser.post(
            form.get("action"), data=fields, headers={"origin": running.url}
        )
    assert answer.status_code == 403, answer.text
    return told(html.fromstring(answer.text).text_content())
