"""Instance profiles, the right to pass a role, and service-linked roles."""

import json
from typing import Any

from tests.support.broker import ACCOUNT, Key, RunningBroker
from tests.support.policies import trust
from tests.support.refusals import refused

TRUST = trust({"Service": "ec2.amazonaws.com"})


def make_user(iam: Any, name: str, *statements: Any) -> Key:
    iam.create_user(UserName=name)
    document = {"Version": "2012-10-17", "Statement": list(statements)}
    iam.put_user_policy(
        UserName=name, PolicyName="p", PolicyDocument=json.dumps(document)
    )
    return Key.of(iam.create_access_key(UserName=name)["AccessKey"])


def test_who_puts_a_role_in_must_be_allowed_to_pass_it(
    broker: RunningBroker, iam: Any
) -> None:
    for role in ("Passable", "Secret"):
        iam.create_role(RoleName=role, AssumeRolePolicyDocument=TRUST)
    iam.create_instance_profile(InstanceProfileName="pass")
    add = {"Effect": "Allow", "Action": "iam:AddRoleToInstanceProfile", "Resource": "*"}
    passed = {
        "Effect": "Allow",
        "Action": "iam:PassRole",
        "Resource": f"arn:aws:iam::{ACCOUNT}:role/Passable",
        "Condition": {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}},
    }
    key = make_user(iam, "passer", add, passed)
    mine = broker.client("iam", key)
    params = {"InstanceProfileName": "pass"}
    code, text = refused(
        mine.add_role_to_instance_profile, **params, RoleName="Secret"
    )[1:]
    assert code == "AccessDenied"
    assert "iam:PassRole on resource: " in text
    mine.add_role_to_instance_profile(**params, RoleName="Passable")


def test_nobody_takes_a_service_linked_role(broker: RunningBroker, iam: Any) -> None:
    made = iam.create_service_linked_role(AWSServiceName="autoscaling.amazonaws.com")
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    mighty = broker.client("sts", make_user(iam, "mighty", everything))
    params = {"RoleArn": made["Role"]["Arn"], "RoleSessionName": "mighty"}
    assert refused(mighty.assume_role, **params).code == "AccessDenied"


def test_a_service_is_named_to_the_policies(broker: RunningBroker, iam: Any) -> None:
    only = {
        "Effect": "Allow",
        "Action": "iam:CreateServiceLinkedRole",
        "Resource": f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/*",
        "Condition": {"StringLike": {"iam:AWSServiceName": "rds.amazonaws.com"}},
    }
    mine = broker.client("iam", make_user(iam, "linker", only))
    assert mine.create_service_linked_role(AWSServiceName="rds.amazonaws.com")
    assert refused(
        mine.create_service_linked_role, AWSServiceName="support.amazonaws.com"
    ).code == ("AccessDenied")


def test_the_accounts_details_show_which_profiles_hold_a_role(iam: Any) -> None:
    iam.create_role(RoleName="Held", AssumeRolePolicyDocument=TRUST)
    iam.create_instance_profile(InstanceProfileName="holder")
    iam.add_role_to_instance_profile(InstanceProfileName="holder", RoleName="Held")
    pages = iam.get_paginator("get_account_authorization_details").paginate(
        Filter=["Role"]
    )
    roles = {r["RoleName"]: r for page in pages for r in page["RoleDetailList"]}
    (profile,) = roles["Held"]["InstanceProfileList"]
    got = iam.get_instance_profile(InstanceProfileName="holder")["InstanceProfile"]
    # Recorded: this one shows that there are no tags.
    assert got == {**profile, "Tags": []}


def test_an_export_leaves_service_linked_roles_to_their_services(
    broker: RunningBroker, iam: Any
) -> None:
    iam.create_service_linked_role(AWSServiceName="backup.amazonaws.com")
    exported = broker.command("export", ACCOUNT)
    assert "AWSServiceRoleFor" not in exported
