"""Groups lend their members what they may do, through boto3."""

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
