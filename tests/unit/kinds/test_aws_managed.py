"""AWS-managed policies grant what their names say."""

import re

import pytest

from broker.kinds.managed_policies import (
    aws_managed_arns,
    find_aws_managed,
    unlisted_policy,
)
from broker.model.principal import Principal
from broker.policy import (
    AccessRequest,
    ApplicablePolicies,
    PolicyKind,
    authorize,
    compile_policies,
    parse_policy,
)
from tests.support.iam import ACCOUNT
from tests.support.rows import rows

BASE = "arn:aws:iam::aws:policy"
KIND = PolicyKind.IDENTITY
ALL = (
    '{"Version": "2012-10-17",'
    ' "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}'
)
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
        ApplicablePolicies(
            identity=policies,
            boundary=None,
            session=(),
            resource=None,
            resource_account=ACCOUNT,
        ),
    ).allowed


@rows("name, allowed, denied")
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


LONGER_THAN_ANY_POLICY = {"AWSSupportServiceRolePolicy"}
"""A service-linked role's, never evaluated here."""


def test_all_of_them_can_be_read_and_are_named_as_aws_names_them() -> None:
    arns = aws_managed_arns()
    assert len(arns) > 1500
    ids, made = set(), []
    for arn in arns:
        policy = find_aws_managed(arn)
        assert policy is not None
        assert policy.arn == arn
        assert re.fullmatch("ANPA[A-Z0-9]{17}", policy.policy_id)
        ids.add(policy.policy_id)
        made.append(policy.created_at)
        if policy.name not in LONGER_THAN_ANY_POLICY:
            parse_policy(policy.default_version.document, PolicyKind.IDENTITY)
    assert len(ids) == len(arns)
    # As AWS lists them (recorded in localstack, test_list_policies_scope_aws).
    assert made == sorted(made)
    first = [arn.rpartition("/")[2] for arn in arns[:3]]
    assert first == ["AdministratorAccess", "PowerUserAccess", "ReadOnlyAccess"]


@rows("name")
def test_what_plays_and_modules_attach_is_there(name: str) -> None:
    assert find_aws_managed(f"{BASE}/{name}") is not None


@pytest.mark.parametrize("name", ["NoSuchPolicy", "AWSLambdaBasicExecutionRole", ""])
def test_what_aws_does_not_have_is_not_there(name: str) -> None:
    """The last but one has a path."""
    assert find_aws_managed(f"{BASE}/{name}") is None


@pytest.mark.parametrize(
    "name", ["Made-Up", "service-role/Made.Up", "a/b/Made_Up", "x" * 128]
)
def test_an_unlisted_name_grants_and_denies_nothing(name: str) -> None:
    policy = unlisted_policy(f"{BASE}/{name}")
    assert policy is not None
    assert policy.arn == f"{BASE}/{name}"
    document = parse_policy(policy.default_version.document, PolicyKind.IDENTITY)
    policies = compile_policies([("unlisted", document)])
    request = AccessRequest(
        action="s3:GetObject", resource="*", principal=USER, context={}
    )
    decision = authorize(
        request,
        ApplicablePolicies(
            identity=compile_policies(
                [("unlisted", document), ("admin", parse_policy(ALL, KIND))]
            ),
            boundary=None,
            session=(),
            resource=None,
            resource_account=ACCOUNT,
        ),
    )
    assert decision.allowed
    alone = ApplicablePolicies(
        identity=policies,
        boundary=None,
        session=(),
        resource=None,
        resource_account=ACCOUNT,
    )
    assert not authorize(request, alone).allowed


@pytest.mark.parametrize(
    "arn",
    [
        f"{BASE}/AdministratorAccess",
        f"{BASE}/",
        f"{BASE}//x",
        f"{BASE}/a b",
        f"{BASE}/{'x' * 129}",
        "arn:aws:iam::aws:role/x",
        f"arn:aws:iam::{ACCOUNT}:policy/x",
        f"{BASE}/{'x/' * 1024}y",
    ],
)
def test_other_arns_are_not_taken_for_unlisted_policies(arn: str) -> None:
    assert unlisted_policy(arn) is None
