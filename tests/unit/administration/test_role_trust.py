"""A role that the console makes takes sessions with tags and a source identity."""

import json
from pathlib import Path

import pytest

from broker.administration.role_trust import TrustForm, trust_statement
from tests.support.broker import ACCOUNT, Key
from tests.support.in_process import InProcess, in_process
from tests.support.policies import allow

ROLE = f"arn:aws:iam::{ACCOUNT}:role"
BROUGHT = {
    "Tags": [{"Key": "team", "Value": "blue"}],
    "TransitiveTagKeys": ["team"],
    "SourceIdentity": "ana",
}


async def make_role(broker: InProcess, root: Key, name: str, **brings: bool) -> None:
    statement = trust_statement("account", TrustForm(account=ACCOUNT, **brings))
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    await broker.ask(
        "iam", "CreateRole", root, RoleName=name, AssumeRolePolicyDocument=document
    )
    await broker.ask(
        "iam",
        "PutRolePolicy",
        root,
        RoleName=name,
        PolicyName="P",
        PolicyDocument=allow("sts:*"),
    )


@pytest.mark.parametrize(
    ("brings", "is_let_in"),
    [
        ({"tag_session": True, "source_identity": True}, True),
        ({"tag_session": True}, False),
        ({"source_identity": True}, False),
    ],
)
async def test_a_session_that_brings_something_switches_to_it(
    tmp_path: Path, brings: dict[str, bool], is_let_in: bool
) -> None:
    async with in_process(tmp_path) as broker:
        root = await broker.create_account(ACCOUNT)
        await make_role(broker, root, "First", tag_session=True, source_identity=True)
        await make_role(broker, root, "Second", **brings)
        await broker.ask("iam", "CreateUser", root, UserName="kim")
        await broker.ask(
            "iam",
            "PutUserPolicy",
            root,
            UserName="kim",
            PolicyName="P",
            PolicyDocument=allow("sts:*"),
        )
        made = await broker.ask("iam", "CreateAccessKey", root, UserName="kim")
        first = await broker.ask(
            "sts",
            "AssumeRole",
            Key.of(made["AccessKey"]),
            RoleArn=f"{ROLE}/First",
            RoleSessionName="one",
            **BROUGHT,
        )
        answer = await broker.call(
            "sts",
            "AssumeRole",
            Key.of(first["Credentials"]),
            RoleArn=f"{ROLE}/Second",
            RoleSessionName="one",
        )
    assert (answer.code == "") is is_let_in
