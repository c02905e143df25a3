"""The guard on shared issuers refuses what IAM refuses (recorded for Cognito)."""

import json
from typing import Any

import pytest

from broker.policy import (
    PolicyKind,
    PolicyRejected,
    RejectionReason,
    check_shared_issuers,
    parse_policy,
)
from broker.policy.shared_issuers import REQUIRED_KEYS
from tests.support.rows import rows

COGNITO = "cognito-identity.amazonaws.com"
AUD = f"{COGNITO}:aud"
GITHUB = "token.actions.githubusercontent.com"


def check(federated: str, condition: Any = None, **elements: Any) -> None:
    statement = {
        "Effect": "Allow",
        "Principal": {"Federated": federated},
        "Action": "sts:AssumeRoleWithWebIdentity",
    } | elements
    if condition is not None:
        statement["Condition"] = condition
    text = json.dumps({"Version": "2012-10-17", "Statement": statement})
    check_shared_issuers(parse_policy(text, PolicyKind.TRUST))


@rows("condition")
def test_a_bound_tenant_passes(condition: Any) -> None:
    check(COGNITO, condition)


@rows("condition")
def test_an_unbound_tenant_is_refused_with_the_recorded_text(condition: Any) -> None:
    with pytest.raises(PolicyRejected) as caught:
        check(COGNITO, condition)
    assert caught.value.reason is RejectionReason.SHARED_ISSUER
    assert caught.value.message == (
        "Trust policy with trusted principal cognito-identity.amazonaws.com must "
        "evaluate, using StringEquals, StringLike or StringEqualsIgnoreCase, "
        "cognito-identity.amazonaws.com:aud which is not scoped to all."
    )
    assert caught.value.place == "Statement 1, Condition"


@pytest.mark.parametrize("condition", [None, {}])
def test_cognito_without_a_condition_has_its_own_text(condition: Any) -> None:
    with pytest.raises(PolicyRejected) as caught:
        check(COGNITO, condition)
    assert caught.value.message == (
        "A condition block must be present for the Cognito provider"
    )


@pytest.mark.parametrize("issuer", sorted(set(REQUIRED_KEYS) - {COGNITO}))
def test_every_shared_issuer_is_guarded_by_its_provider_arn(issuer: str) -> None:
    arn = f"arn:aws:iam::111122223333:oidc-provider/{issuer}"
    check(arn, {"StringLike": {REQUIRED_KEYS[issuer]: "org/*"}})
    for condition in (None, {"StringEquals": {f"{issuer}:other": "x"}}):
        with pytest.raises(PolicyRejected) as caught:
            check(arn, condition)
        assert REQUIRED_KEYS[issuer] in caught.value.message


@rows("elements")
def test_other_statements_are_not_checked(elements: Any) -> None:
    check(COGNITO, None, **elements)


@rows("elements")
def test_every_way_to_allow_the_action_is_checked(elements: Any) -> None:
    statement = {"Effect": "Allow", "Principal": {"Federated": COGNITO}} | elements
    text = json.dumps({"Version": "2012-10-17", "Statement": statement})
    with pytest.raises(PolicyRejected):
        check_shared_issuers(parse_policy(text, PolicyKind.TRUST))


def test_other_issuers_need_no_condition() -> None:
    check("arn:aws:iam::111122223333:oidc-provider/idp.example.com")
    check("accounts.google.com")


def test_a_statement_behind_others_is_checked_too() -> None:
    guarded = {
        "Effect": "Allow",
        "Principal": {"Federated": COGNITO},
        "Action": "sts:AssumeRoleWithWebIdentity",
    }
    others = [
        guarded | {"Effect": "Deny"},
        guarded | {"Action": "sts:TagSession"},
        guarded | {"Principal": {"Federated": "accounts.google.com"}},
    ]
    text = json.dumps({"Version": "2012-10-17", "Statement": [*others, guarded]})
    with pytest.raises(PolicyRejected) as caught:
        check_shared_issuers(parse_policy(text, PolicyKind.TRUST))
    assert caught.value.place == "Statement 4, Condition"


def test_policies_without_principals_pass() -> None:
    text = '{"Statement": {"Effect": "Allow", "Action": "sts:*", "Resource": "*"}}'
    check_shared_issuers(parse_policy(text, PolicyKind.IDENTITY))
