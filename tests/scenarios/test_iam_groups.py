"""Groups lend their members what they may do, through boto3."""

import json
from typing import Any

from tests.support.broker import ACCOUNT, Key, RunningBroker
from tests.support.policies import allow, policy, statement
from tests.support.refusals import refused

READ = allow("iam:Get*")
MANAGED = "arn:aws:iam::aws:policy/IAMReadOnlyAccess"


def test_a_group_gives_and_takes_permissions_at_once(
    broker: RunningBroker, iam: Any
) -> None:
    iam.create_user(UserName="ann")
    key = Key.of(iam.create_access_key(UserName="ann")["AccessKey"])
    ann = broker.client("iam", key)
    iam.create_group(GroupName="Readers", Path="/team/")
    iam.add_user_to_group(GroupName="readers", UserName="ann")
    assert refused(ann.get_user).code == "AccessDenied"
    iam.put_group_policy(GroupName="Readers", PolicyName="R", PolicyDocument=READ)
    assert ann.get_user()["User"]["UserName"] == "ann"
    assert refused(ann.list_users).code == "AccessDenied"
    iam.attach_group_policy(GroupName="Readers", PolicyArn=MANAGED)
    assert ann.list_users()["Users"]
    # The user may have attached what its group has: still one policy.
    iam.attach_user_policy(UserName="ann", PolicyArn=MANAGED)
    simulated = iam.simulate_principal_policy(
        PolicySourceArn=f"arn:aws:iam::{ACCOUNT}:user/ann",
        ActionNames=["iam:GetUser", "iam:CreateUser"],
    )["EvaluationResults"]
    assert [r["EvalDecision"] for r in simulated] == ["allowed", "implicitDeny"]
    iam.detach_user_policy(UserName="ann", PolicyArn=MANAGED)
    iam.remove_user_from_group(GroupName="Readers", UserName="ann")
    assert refused(ann.get_user).code == "AccessDenied"


def test_groups_are_listed_with_their_members_and_policies(iam: Any) -> None:
    made = iam.create_group(GroupName="Ops", Path="/ops/")["Group"]
    assert made["GroupId"].startswith("AGPA")
    assert made["Arn"] == f"arn:aws:iam::{ACCOUNT}:group/ops/Ops"
    for number in range(3):
        iam.create_user(UserName=f"ops-{number}")
        iam.add_user_to_group(GroupName="Ops", UserName=f"ops-{number}")
    pages = iam.get_paginator("get_group").paginate(
        GroupName="Ops", PaginationConfig={"PageSize": 2}
    )
    users = [user["UserName"] for page in pages for user in page["Users"]]
    assert users == ["ops-0", "ops-1", "ops-2"]
    assert iam.get_group(GroupName="ops")["Group"] == made
    assert iam.list_groups(PathPrefix="/ops/")["Groups"] == [made]
    assert iam.list_groups_for_user(UserName="ops-1")["Groups"] == [made]
    iam.put_group_policy(GroupName="Ops", PolicyName="R", PolicyDocument=READ)
    assert iam.list_group_policies(GroupName="Ops")["PolicyNames"] == ["R"]
    got = iam.get_group_policy(GroupName="Ops", PolicyName="R")
    assert got["PolicyDocument"] == json.loads(READ)
    iam.attach_group_policy(GroupName="Ops", PolicyArn=MANAGED)
    attached = iam.list_attached_group_policies(GroupName="Ops")["AttachedPolicies"]
    assert [policy["PolicyArn"] for policy in attached] == [MANAGED]
    found = iam.list_entities_for_policy(PolicyArn=MANAGED, EntityFilter="Group")
    assert {"GroupName": "Ops", "GroupId": made["GroupId"]} in found["PolicyGroups"]
    iam.update_group(GroupName="Ops", NewGroupName="Operators", NewPath="/")
    renamed = iam.get_group(GroupName="Operators")["Group"]
    assert renamed["GroupId"] == made["GroupId"]
    assert iam.list_groups_for_user(UserName="ops-0")["Groups"] == [renamed]


def test_what_is_in_use_is_not_deleted(iam: Any) -> None:
    iam.create_group(GroupName="Busy")
    iam.create_user(UserName="busy")
    iam.add_user_to_group(GroupName="Busy", UserName="busy")
    in_group = (
        "DeleteConflict",
        "Cannot delete entity, must remove users from group first.",
    )
    assert refused(iam.delete_group, GroupName="Busy")[1:] == in_group
    assert refused(iam.delete_user, UserName="busy")[1:] == in_group
    iam.remove_user_from_group(GroupName="Busy", UserName="busy")
    iam.remove_user_from_group(GroupName="Busy", UserName="busy")
    iam.put_group_policy(GroupName="Busy", PolicyName="R", PolicyDocument=READ)
    assert refused(iam.delete_group, GroupName="Busy").code == "DeleteConflict"
    iam.delete_group_policy(GroupName="Busy", PolicyName="R")
    iam.attach_group_policy(GroupName="Busy", PolicyArn=MANAGED)
    assert refused(iam.delete_group, GroupName="Busy").code == "DeleteConflict"
    iam.detach_group_policy(GroupName="Busy", PolicyArn=MANAGED)
    iam.delete_group(GroupName="Busy")
    iam.delete_user(UserName="busy")
    assert refused(iam.get_group, GroupName="Busy")[1:] == (
        "NoSuchEntity",
        "The group with name Busy cannot be found.",
    )


def test_a_user_is_in_ten_groups_and_their_policies_are_short(iam: Any) -> None:
    iam.create_group(GroupName="Other")
    iam.create_user(UserName="joiner")
    for number in range(10):
        iam.create_group(GroupName=f"g{number}")
        iam.add_user_to_group(GroupName=f"g{number}", UserName="joiner")
    iam.add_user_to_group(GroupName="g9", UserName="joiner")
    assert refused(iam.add_user_to_group, GroupName="Other", UserName="joiner")[1:] == (
        "LimitExceeded",
        "Cannot exceed quota for GroupsPerUser: 10",
    )
    large = policy(statement("s3:Get*", Resource=f"arn:aws:s3:::{'a' * 5100}"))
    code, message = refused(
        iam.put_group_policy, GroupName="Other", PolicyName="L", PolicyDocument=large
    )[1:]
    assert (code, message) == (
        "LimitExceeded",
        "Maximum policy size of 5120 bytes exceeded for group Other",
    )


def test_anyone_who_lacks_the_tag_is_denied_by_a_rule_about_it(
    broker: RunningBroker, iam: Any
) -> None:
    """IAM User Guide, "Policy variables with no value": negated operators match."""
    for name, tags in {"tagged": [{"Key": "team", "Value": "red"}], "bare": []}.items():
        iam.create_user(UserName=name, Tags=tags)
    rule = policy(
        statement("iam:GetUser"),
        statement(
            "iam:GetUser",
            Effect="Deny",
            Condition={
                "StringNotEquals": {"aws:ResourceTag/team": "${aws:PrincipalTag/team}"}
            },
        ),
    )
    answers = {}
    for name in ("tagged", "bare"):
        iam.put_user_policy(UserName=name, PolicyName="P", PolicyDocument=rule)
        key = Key.of(iam.create_access_key(UserName=name)["AccessKey"])
        client = broker.client("iam", key)
        try:
            answers[name] = client.get_user(UserName="tagged")["User"]["UserName"]
        except client.exceptions.ClientError as error:
            answers[name] = error.response["Error"]["Message"].rpartition("with ")[2]
    assert answers == {
        "tagged": "tagged",
        "bare": "an explicit deny in an identity-based policy",
    }
