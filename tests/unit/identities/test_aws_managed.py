"""AWS-managed policies grant what their names say."""

import pytest

from broker.identities.aws_managed import find_aws_managed, list_aws_managed
from broker.model.principal import Principal
from broker.policy import (
    AccessRequest,
    Applicable,
    PolicyKind,
    authorize,
    compile_policies,
    parse_policy,
)
from tests.support.iam import ACCOUNT

BASE = "arn:aws:iam::aws:policy"
USER = Principal.user(ACCOUNT, user_id="AIDA", path="/", name="ann")


def allows(name: str, action: str, resource: str = "*") -> bool:
    managed = find_aws_managed(f"{BASE}/{name}")
    assert managed is not None
    document = parse_policy(managed.default_version.document, PolicyKind.IDENTITY)
    request = AccessRequest(
        action=action,
        resource=resource,
        principal=USER,
        context={"aws:username": ("ann",)},
    )
    policies = compile_policies([(name, document)])
    return authorize(
        request,
        Applicable(
            identity=policies,
            boundary=None,
            session=(),
            resource=None,
            resource_account=ACCOUNT,
        ),
    ).allowed


@pytest.mark.parametrize(
    ("name", "allowed", "denied"),
    [
        ("AdministratorAccess", ["iam:CreateUser", "s3:PutObject"], []),
        ("PowerUserAccess", ["s3:PutObject", "iam:ListRoles"], ["iam:CreateUser"]),
        (
            "ReadOnlyAccess",
            ["iam:GetRole", "s3:GetObject", "ec2:DescribeInstances", "dynamodb:Query"],
            ["s3:PutObject", "iam:CreateUser", "secretsmanager:GetSecretValue"],
        ),
        (
            "SecurityAudit",
            ["iam:ListUsers", "s3:GetBucketPolicy", "kms:GetKeyPolicy"],
            ["s3:GetObject", "dynamodb:Query", "iam:CreateUser"],
        ),
        (
            "job-function/ViewOnlyAccess",
            ["ec2:DescribeInstances", "s3:ListAllMyBuckets"],
            ["s3:GetObject", "iam:GetRole"],
        ),
        ("IAMFullAccess", ["iam:CreateUser"], ["s3:GetObject"]),
        ("IAMReadOnlyAccess", ["iam:GetUser", "iam:ListRoles"], ["iam:CreateUser"]),
        ("AmazonS3FullAccess", ["s3:PutObject"], ["ec2:RunInstances"]),
        ("AmazonS3ReadOnlyAccess", ["s3:GetObject"], ["s3:PutObject"]),
        ("AmazonEC2FullAccess", ["ec2:RunInstances"], ["s3:GetObject"]),
        ("AmazonEC2ReadOnlyAccess", ["ec2:DescribeVpcs"], ["ec2:RunInstances"]),
        ("AmazonDynamoDBFullAccess", ["dynamodb:PutItem"], ["iam:PassRole"]),
        ("AmazonDynamoDBReadOnlyAccess", ["dynamodb:Query"], ["dynamodb:PutItem"]),
        ("AmazonSQSFullAccess", ["sqs:SendMessage"], ["sns:Publish"]),
        ("AmazonSQSReadOnlyAccess", ["sqs:ListQueues"], ["sqs:ReceiveMessage"]),
        ("AmazonSNSFullAccess", ["sns:Publish"], ["sqs:SendMessage"]),
        ("AmazonSNSReadOnlyAccess", ["sns:ListTopics"], ["sns:Publish"]),
        ("AWSLambda_FullAccess", ["lambda:CreateFunction"], ["iam:PassRole"]),
        ("AWSLambda_ReadOnlyAccess", ["lambda:GetFunction"], ["lambda:InvokeFunction"]),
        ("job-function/Billing", ["budgets:ModifyBudget"], ["s3:GetObject"]),
        (
            "AWSBillingReadOnlyAccess",
            ["ce:GetDimensionValues"],
            ["ce:DeleteAnomalyMonitor"],
        ),
        ("job-function/SupportUser", ["support:CreateCase"], ["ec2:RunInstances"]),
        ("job-function/SystemAdministrator", ["ec2:RunInstances"], ["iam:CreateUser"]),
        (
            "job-function/DatabaseAdministrator",
            ["rds:CreateDBInstance"],
            ["ec2:RunInstances"],
        ),
        ("job-function/NetworkAdministrator", ["ec2:CreateVpc"], ["ec2:RunInstances"]),
        ("job-function/DataScientist", ["redshift:CreateCluster"], ["iam:CreateUser"]),
    ],
)
def test_a_policy_grants_what_it_is_for(
    name: str, allowed: list[str], denied: list[str]
) -> None:
    assert [action for action in allowed if not allows(name, action)] == []
    assert [action for action in denied if allows(name, action)] == []


def test_a_user_changes_its_own_password_only() -> None:
    own = f"arn:aws:iam::{ACCOUNT}:user/ann"
    other = f"arn:aws:iam::{ACCOUNT}:user/bob"
    assert allows("IAMUserChangePassword", "iam:ChangePassword", own)
    assert not allows("IAMUserChangePassword", "iam:ChangePassword", other)


def test_names_and_actions_are_known_ones() -> None:
    from policy_sentry.querying.all import get_all_service_prefixes

    services = set(get_all_service_prefixes())
    for policy in list_aws_managed():
        document = parse_policy(policy.default_version.document, PolicyKind.IDENTITY)
        for statement in document.statements:
            named = {action.partition(":")[0] for action in statement.actions}
            assert named - services - {"*"} == set(), policy.name
