"""An account's control policies are set, shown and taken away by the operator."""

import json
from typing import Any

import pytest
import yaml

from broker.kinds.control_policies import ControlKind, control_policies
from broker.kinds.yaml_text import TemplateError
from broker.stores.directory import kinds
from broker.template.apply import Change, apply_template
from broker.template.section import TemplateContext
from tests.support.exported import exported_text
from tests.support.iam import ACCOUNT, Iam

SURROUNDINGS = TemplateContext(is_internal=lambda *_: False)
VERSION = {"Version": "2012-10-17"}
FULL = {"Effect": "Allow", "Action": "*", "Resource": "*"}
NO_DELETING = {"Effect": "Deny", "Action": "iam:Delete*", "Resource": "*"}
NOBODY_HERE = {**NO_DELETING, "Principal": "*", "Action": "sts:AssumeRole"}


def named(name: str, *statements: object) -> dict[str, object]:
    document = {**VERSION, "Statement": list(statements)}
    return {"PolicyName": name, "PolicyDocument": document}


async def apply(iam: Iam, **broker: Any) -> list[Change]:
    text = yaml.safe_dump({"Accounts": {ACCOUNT: {"Broker": broker}}})
    return await apply_template(
        text, directory=iam.directory, context=SURROUNDINGS, operator="ops", now=iam.now
    )


async def kept(iam: Iam, kind: ControlKind) -> list[str]:
    account = await iam.directory.find(kinds.ACCOUNT, ACCOUNT)
    assert account is not None
    return [policy.name for policy in control_policies(account, kind)]


async def test_control_policies_are_set_once_and_taken_away(iam: Iam) -> None:
    service = [named("Full", FULL), named("NoDeleting", NO_DELETING)]
    wanted = {
        "ServiceControlPolicies": service,
        "ResourceControlPolicies": [named("Nobody", NOBODY_HERE)],
    }
    (change,) = await apply(iam, **wanted)
    assert change.details == (
        "ServiceControlPolicies: nothing -> Full, NoDeleting",
        "ResourceControlPolicies: nothing -> Nobody",
    )
    assert await apply(iam, **wanted) == []
    assert await kept(iam, ControlKind.SERVICE) == ["Full", "NoDeleting"]
    # What is absent stays; an empty list takes away.
    await apply(iam, ServiceControlPolicies=[])
    assert await kept(iam, ControlKind.SERVICE) == []
    assert await kept(iam, ControlKind.RESOURCE) == ["Nobody"]


async def test_an_export_holds_them(iam: Iam) -> None:
    wanted = {"ServiceControlPolicies": [named("Full", FULL)]}
    await apply(iam, Quotas={"RolesPerAccount": 7}, **wanted)
    account = await iam.directory.find(kinds.ACCOUNT, ACCOUNT)
    assert account is not None
    exported = yaml.safe_load(await exported_text(iam.directory, account))
    broker = exported["Accounts"][ACCOUNT]["Broker"]
    assert broker == {"Quotas": {"RolesPerAccount": 7}, **wanted}
    assert await apply(iam, **broker) == []


@pytest.mark.parametrize(
    ("kind", "policies", "wrong"),
    [
        ("ServiceControlPolicies", [named("A", {"Effect": "Allow"})], "A: "),
        (
            "ServiceControlPolicies",
            [named("A", FULL), named("A", FULL)],
            "the name A comes twice",
        ),
        (
            "ServiceControlPolicies",
            [named(f"P{n}", FULL) for n in range(6)],
            "there are 6; an account can have 5",
        ),
        (
            "ServiceControlPolicies",
            [named("A", {**FULL, "Resource": ["arn:aws:s3:::" + "x" * 600] * 9})],
            "at most 5120 fit",
        ),
        ("ResourceControlPolicies", [named("A", FULL)], "has no Principal"),
        (
            "ResourceControlPolicies",
            [named("A", {**NOBODY_HERE, "Principal": {"AWS": ACCOUNT}})],
            "only denies, and to everyone",
        ),
        (
            "ResourceControlPolicies",
            [named("A", {**FULL, "Principal": "*"})],
            "only denies, and to everyone",
        ),
    ],
)
async def test_a_malformed_control_policy_is_refused(
    iam: Iam, kind: str, policies: list[object], wrong: str
) -> None:
    with pytest.raises(TemplateError) as caught:
        await apply(iam, **{kind: policies})
    assert caught.value.place == f"Accounts.{ACCOUNT}.Broker.{kind}"
    assert wrong in str(caught.value)


async def test_documents_may_be_json_text(iam: Iam) -> None:
    text = json.dumps({**VERSION, "Statement": FULL}, indent=2)
    full = {"PolicyName": "Full", "PolicyDocument": text}
    await apply(iam, ServiceControlPolicies=[full])
    assert await kept(iam, ControlKind.SERVICE) == ["Full"]
