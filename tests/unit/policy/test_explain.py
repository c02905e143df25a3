"""An explanation names the statement that decided, or the one that came closest."""

import json
from typing import Any

import pytest

from broker.model.account import AccountId
from broker.model.principal import Principal
from broker.policy import (
    AccessRequest,
    ApplicablePolicies,
    Element,
    Explanation,
    PolicyKind,
    PolicySet,
    PolicyType,
    authorize,
    compile_policies,
    explain,
    parse_policy,
)
from tests.support.rows import rows

ACCOUNT = AccountId("111122223333")
BOB = Principal.user(ACCOUNT, user_id="AIDABOBBOBBOBBOBBOBBO", path="/", name="bob")


def policies(*statements: dict[str, Any], kind: str = "identity") -> PolicySet:
    text = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow"} | s for s in statements],
        }
    )
    return compile_policies([("inline:Work", parse_policy(text, PolicyKind(kind)))])


def explained(
    applicable: ApplicablePolicies, **context: tuple[str, ...]
) -> Explanation:
    request = AccessRequest(
        "s3:GetObject",
        "arn:aws:s3:::b/k",
        BOB,
        {key.replace("_", ":"): value for key, value in context.items()},
    )
    return explain(request, applicable, authorize(request, applicable))


def test_an_allowed_request_names_the_statement() -> None:
    explanation = explained(
        ApplicablePolicies(
            identity=policies({"Sid": "Read", "Action": "s3:*", "Resource": "*"})
        )
    )
    assert explanation.sentence() == (
        'Statement 1 ("Read") of inline:Work allows s3:GetObject on arn:aws:s3:::b/k.'
    )
    assert explanation.closest is None


def test_two_layers_that_agree_are_both_named() -> None:
    work = policies({"Action": "s3:*", "Resource": "*"})
    explanation = explained(ApplicablePolicies(identity=work, boundary=work))
    assert explanation.sentence() == (
        "Statement 1 of inline:Work and statement 1 of inline:Work "
        "allow s3:GetObject on arn:aws:s3:::b/k."
    )


def test_an_explicit_deny_names_the_statement() -> None:
    explanation = explained(
        ApplicablePolicies(
            identity=policies(
                {"Action": "*", "Resource": "*"},
                {"Sid": "No", "Effect": "Deny", "Action": "s3:*", "Resource": "*"},
            )
        )
    )
    assert explanation.sentence() == (
        'Statement 2 ("No") of inline:Work denies s3:GetObject on arn:aws:s3:::b/k.'
    )


def test_a_missing_key_is_said() -> None:
    explanation = explained(
        ApplicablePolicies(
            identity=policies(
                {
                    "Action": "s3:*",
                    "Resource": "*",
                    "Condition": {"StringEquals": {"aws:PrincipalTag/team": "red"}},
                }
            )
        )
    )
    assert explanation.sentence() == (
        "No identity-based policy allows s3:GetObject on arn:aws:s3:::b/k. "
        "Statement 1 of inline:Work comes closest, but StringEquals asks for "
        'aws:PrincipalTag/team "red" and the request has no aws:PrincipalTag/team.'
    )
    assert explanation.closest is not None
    assert explanation.closest.failed is Element.CONDITION
    assert [c.key for c in explanation.closest.conditions] == ["aws:PrincipalTag/team"]


def test_another_value_is_quoted_and_only_failed_conditions_are_named() -> None:
    explanation = explained(
        ApplicablePolicies(
            identity=policies(
                {
                    "Action": "s3:*",
                    "Resource": "*",
                    "Condition": {
                        "StringEquals": {"aws:username": ["a", "b", "c", "d", "e"]},
                        "Bool": {"aws:SecureTransport": "true"},
                    },
                }
            )
        ),
        aws_username=("bob",),
        aws_securetransport=("true",),
    )
    assert explanation.closest is not None
    assert explanation.closest.words == (
        'StringEquals asks for aws:username "a" or "b" or "c" or 2 more '
        'and the request has "bob"'
    )


def test_the_statement_that_fails_latest_is_the_closest() -> None:
    explanation = explained(
        ApplicablePolicies(
            identity=policies(
                {"Action": "ec2:*", "Resource": "*"},
                {
                    "Sid": "Cond",
                    "Action": "s3:*",
                    "Resource": "*",
                    "Condition": {
                        "StringEquals": {"aws:username": "x", "aws:userid": "y"}
                    },
                },
                {
                    "Sid": "Nearer",
                    "Action": "s3:*",
                    "Resource": "*",
                    "Condition": {"StringEquals": {"aws:username": "x"}},
                },
                {"Action": "s3:*", "Resource": "arn:aws:s3:::other"},
            )
        )
    )
    assert explanation.closest is not None
    assert explanation.closest.statement.sid == "Nearer"


@rows("statement, words")
def test_a_resource_that_fails_is_quoted(statement: Any, words: str) -> None:
    explanation = explained(ApplicablePolicies(identity=policies(statement)))
    assert explanation.closest is not None
    assert explanation.closest.failed is Element.RESOURCE
    assert explanation.closest.words == words


@pytest.mark.parametrize("element", ["Principal", "NotPrincipal"])
def test_a_principal_that_is_not_named_is_said(element: str) -> None:
    name = "eve" if element == "Principal" else "bob"
    resource = policies(
        {
            element: {"AWS": f"arn:aws:iam::{ACCOUNT}:user/{name}"},
            "Action": "s3:*",
            "Resource": "*",
        },
        kind="resource",
    )
    explanation = explained(
        ApplicablePolicies(
            identity=policies({"Action": "s3:*", "Resource": "*"}),
            resource=resource,
            resource_account="999988887777",
        )
    )
    assert explanation.decision.policy_type is PolicyType.RESOURCE
    assert explanation.closest is not None
    assert explanation.closest.failed is Element.PRINCIPAL
    assert explanation.closest.words == f"its {element} does not name {BOB.arn}"


def test_one_action_of_several_is_close() -> None:
    statement = {"Action": ["ec2:*", "s3:Get*"], "Resource": "arn:aws:s3:::x"}
    explanation = explained(ApplicablePolicies(identity=policies(statement)))
    assert explanation.closest is not None
    other = {"NotAction": ["ec2:*", "s3:Get*"], "Resource": "arn:aws:s3:::x"}
    assert explained(ApplicablePolicies(identity=policies(other))).closest is None


def test_nothing_close_says_what_to_do() -> None:
    explanation = explained(
        ApplicablePolicies(identity=policies({"Action": "ec2:*", "Resource": "*"}))
    )
    assert explanation.closest is None
    assert explanation.sentence() == (
        "No identity-based policy allows s3:GetObject on arn:aws:s3:::b/k. "
        "No statement there covers the action; add one to an identity-based policy."
    )


def test_the_layer_that_is_silent_is_the_one_explained() -> None:
    wide = policies({"Action": "*", "Resource": "*"})
    narrow = policies({"Sid": "B", "Action": "s3:*", "Resource": "arn:aws:s3:::x"})
    for applicable, word in (
        (ApplicablePolicies(identity=wide, boundary=narrow), "permissions boundary"),
        (ApplicablePolicies(identity=wide, session=(wide, narrow)), "session policy"),
        (
            ApplicablePolicies(identity=wide, service_controls=(narrow,)),
            "service control policy",
        ),
    ):
        explanation = explained(applicable)
        assert explanation.sentence().startswith(f"No {word} allows")
        assert 'Statement 1 ("B")' in explanation.sentence()


def test_a_denial_has_the_clause_of_the_wire_text() -> None:
    """Recorded: REC-S federation, REC-L."""
    silent = explained(ApplicablePolicies(identity=compile_policies([])))
    assert silent.decision.denial_clause("s3:GetObject") == (
        "because no identity-based policy allows the s3:GetObject action"
    )
    denied = explained(
        ApplicablePolicies(
            identity=policies({"Effect": "Deny", "Action": "*", "Resource": "*"})
        )
    )
    assert denied.decision.denial_clause("s3:GetObject") == (
        "with an explicit deny in an identity-based policy"
    )
    allowed = explained(
        ApplicablePolicies(identity=policies({"Action": "*", "Resource": "*"}))
    )
    assert allowed.decision.denial_clause("s3:GetObject") == ""


def test_policy_types_have_their_article() -> None:
    assert {kind.with_article for kind in PolicyType} == {
        "an identity-based policy",
        "a resource-based policy",
        "a role trust policy",
        "a session policy",
        "a permissions boundary",
        "a service control policy",
        "a resource control policy",
    }


def test_a_variable_without_a_value_is_said() -> None:
    explanation = explained(
        ApplicablePolicies(
            identity=policies(
                {
                    "Action": "s3:*",
                    "Resource": "*",
                    "Condition": {"StringEquals": {"s3:prefix": "${aws:username}"}},
                }
            )
        ),
        s3_prefix=("bob",),
    )
    assert explanation.sentence().endswith(
        'StringEquals asks for s3:prefix "${aws:username}" and the request has "bob"'
        " (${aws:username} has no value)."
    )
    explanation = explained(
        ApplicablePolicies(
            identity=policies(
                {"Action": "*", "Resource": "arn:aws:s3:::${a:b}/${a:c}${a:d, ''}"}
            )
        )
    )
    assert explanation.sentence().endswith("(${a:b} and ${a:c} have no value).")
