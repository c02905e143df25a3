"""Advice about policies that the grammar accepts."""

import json
from typing import Any

from broker.administration.policy_check import inspect_text
from broker.policy import PolicyKind
from tests.support.rows import rows

HOME = "111122223333"
SAML = f"arn:aws:iam::{HOME}:saml-provider/Corp"
OIDC = f"arn:aws:iam::{HOME}:oidc-provider/ci.example.com"


def advice(
    kind: PolicyKind, *statements: dict[str, Any], version: str = "2012-10-17"
) -> list[tuple[str, int | None]]:
    text = json.dumps({"Version": version, "Statement": list(statements)})
    checked = inspect_text(text, kind)
    assert checked.problem is None
    return [(finding.text, finding.statement) for finding in checked.findings]


def allow(action: Any, resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def trust(principal: Any, action: str, **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Principal": principal, "Action": action, **more}


@rows("statement, said")
def test_what_gives_much_or_nothing_is_said(statement: Any, said: str) -> None:
    assert said in " ".join(text for text, _ in advice(PolicyKind.IDENTITY, statement))


@rows("statement")
def test_what_is_narrow_needs_no_advice(statement: Any) -> None:
    assert advice(PolicyKind.IDENTITY, statement) == []


def test_advice_says_which_statement_it_is_about() -> None:
    results = advice(PolicyKind.IDENTITY, allow("s3:GetObject"), allow("s3:Nothing"))
    assert [statement for _, statement in results] == [1]


def test_the_old_version_has_no_variables() -> None:
    results = advice(PolicyKind.IDENTITY, allow("s3:GetObject"), version="2008-10-17")
    assert "plain text" in results[0][0]


@rows("statement, said")
def test_trust_that_is_too_wide_is_said(statement: Any, said: list[str]) -> None:
    results = advice(PolicyKind.TRUST, statement)
    assert len(results) == len(said)
    for (text, _), words in zip(results, said, strict=True):
        assert words in text


def test_there_is_never_too_much_advice() -> None:
    many = [allow(f"s3:Nothing{n}") for n in range(40)]
    assert len(advice(PolicyKind.IDENTITY, *many)) == 12
