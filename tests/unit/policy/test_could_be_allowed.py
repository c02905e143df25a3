import json

import pytest

from broker.policy import (
    ApplicablePolicies,
    PolicyKind,
    PolicySet,
    compile_policies,
    could_be_allowed,
    parse_policy,
)
from tests.support.rows import rows

MFA = {"aws:multifactorauthpresent": ("true",)}


def allow(action: str, resource: str = "*", **more: object) -> dict[str, object]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def policies(*statements: dict[str, object]) -> PolicySet:
    text = json.dumps({"Version": "2012-10-17", "Statement": statements})
    return compile_policies([("p", parse_policy(text, PolicyKind.IDENTITY))])


WITH_MFA = {"Condition": {"Bool": {"aws:MultiFactorAuthPresent": "true"}}}
ONE_USER = "arn:aws:iam::111122223333:user/a"
OWN_USER = "arn:aws:iam::111122223333:user/${aws:username}"
ANN = {"aws:username": ("ann",)}


def deny_outside(arn: object, **more: object) -> dict[str, object]:
    return {"Effect": "Deny", "Action": "iam:*", "NotResource": arn, **more}


def condition(operator: str, key: str, value: str) -> dict[str, object]:
    return {"Condition": {operator: {key: value}}}


TEAM = "iam:ResourceTag/team"
MY_TEAM = "${aws:PrincipalTag/team}"
RED = {"aws:principaltag/team": ("red",)}


@rows("statements, context, expected")
def test_an_action_is_conceivable_when_some_resource_would_allow_it(
    statements: list[dict[str, object]],
    context: dict[str, tuple[str, ...]],
    *,
    expected: bool,
) -> None:
    applicable = ApplicablePolicies(identity=policies(*statements))
    assert could_be_allowed("iam:ListUsers", context, applicable) is expected


@pytest.mark.parametrize("layer", ["boundary", "session", "service_controls"])
def test_every_layer_must_allow_it(layer: str) -> None:
    silent = policies(allow("s3:*"))
    params = {layer: silent if layer == "boundary" else (silent,)}
    everything = policies(allow("*"))
    applicable = ApplicablePolicies(identity=everything, **params)  # type: ignore[arg-type]
    assert not could_be_allowed("iam:ListUsers", {}, applicable)
    assert could_be_allowed("s3:GetObject", {}, applicable)


def test_nothing_is_conceivable_for_callers_without_policies_of_their_own() -> None:
    assert not could_be_allowed("iam:ListUsers", {}, ApplicablePolicies())
