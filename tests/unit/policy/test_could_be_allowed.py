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


@pytest.mark.parametrize(
    ("statements", "context", "expected"),
    [
        ([allow("iam:List*")], {}, True),
        ([allow("iam:ListUsers", ONE_USER)], {}, True),
        ([allow("iam:GetUser")], {}, False),
        ([allow("iam:ListUsers", **WITH_MFA)], {}, False),
        ([allow("iam:ListUsers", **WITH_MFA)], MFA, True),
        ([allow("*"), {**allow("iam:*"), "Effect": "Deny"}], {}, False),
        ([allow("*"), {**allow("iam:*", ONE_USER), "Effect": "Deny"}], {}, True),
        ([allow("*"), {**allow("iam:*", **WITH_MFA), "Effect": "Deny"}], {}, True),
        ([allow("*"), {**allow("iam:*", **WITH_MFA), "Effect": "Deny"}], MFA, False),
        # What a Deny leaves out may be allowed still.
        ([allow("*"), deny_outside(ONE_USER)], {}, True),
        ([allow("*"), deny_outside(OWN_USER)], ANN, True),
        # A variable without a value leaves nothing out, and makes negation hold.
        ([allow("*"), deny_outside(OWN_USER)], {}, False),
        ([allow("*"), deny_outside([OWN_USER, ONE_USER])], {}, True),
        (
            [allow("*"), deny_outside("arn:aws:iam::*:user/${iam:ResourceTag/x}")],
            {},
            True,
        ),
        (
            [allow("*", **condition("StringNotEquals", "aws:userid", MY_TEAM))],
            {"aws:userid": ("x",)},
            True,
        ),
        (
            [
                allow("*"),
                {
                    **allow("iam:*"),
                    "Effect": "Deny",
                    **condition("StringNotEquals", "aws:userid", MY_TEAM),
                },
            ],
            {"aws:userid": ("x",)},
            False,
        ),
        # What a call or its resource brings may be anything.
        ([allow("*", **condition("StringEquals", TEAM, MY_TEAM))], RED, True),
        ([allow("*", **condition("StringEquals", "aws:userid", MY_TEAM))], RED, False),
        ([allow("*", **condition("StringEquals", "s3:prefix", "x"))], {}, True),
        (
            [
                allow("*"),
                {
                    **allow("iam:*"),
                    "Effect": "Deny",
                    **condition("StringNotEquals", TEAM, "x"),
                },
            ],
            {},
            True,
        ),
        (
            [
                allow("*"),
                {
                    **allow("iam:*"),
                    "Effect": "Deny",
                    **condition("StringNotEquals", "aws:userid", "${iam:PolicyARN}"),
                },
            ],
            {"aws:userid": ("x",)},
            True,
        ),
    ],
)
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
    given = {layer: silent if layer == "boundary" else (silent,)}
    everything = policies(allow("*"))
    applicable = ApplicablePolicies(identity=everything, **given)  # type: ignore[arg-type]
    assert not could_be_allowed("iam:ListUsers", {}, applicable)
    assert could_be_allowed("s3:GetObject", {}, applicable)


def test_nothing_is_conceivable_for_callers_without_policies_of_their_own() -> None:
    assert not could_be_allowed("iam:ListUsers", {}, ApplicablePolicies())
