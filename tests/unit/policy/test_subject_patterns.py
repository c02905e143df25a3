import json
from typing import Any

from broker.policy import PolicyKind, Statement, parse_policy
from broker.policy.subject_patterns import find_loose_subjects
from tests.support.rows import rows

ISSUER = "token.actions.githubusercontent.com"


def statement(effect: str = "Allow", **conditions: Any) -> Statement:
    document = {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": effect,
            "Principal": {
                "Federated": f"arn:aws:iam::111122223333:oidc-provider/{ISSUER}"
            },
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": conditions,
        },
    }
    (parsed,) = parse_policy(json.dumps(document), PolicyKind.TRUST).statements
    return parsed


@rows("pattern, is_loose")
def test_a_star_after_part_of_a_name_is_loose(pattern: str, is_loose: bool) -> None:
    like = statement(StringLike={f"{ISSUER}:sub": [pattern, "repo:a/b:*"]})
    assert [*find_loose_subjects(like)] == ([pattern] if is_loose else [])


def test_only_patterns_of_an_allow_on_the_subject_are_looked_at() -> None:
    loose = "repo:example*/shop:*"
    for operator in ("StringLike", "ForAnyValue:StringLikeIfExists"):
        assert [*find_loose_subjects(statement(**{operator: {f"{ISSUER}:sub": loose}}))]
    for other in (
        statement("Deny", StringLike={f"{ISSUER}:sub": loose}),
        statement(StringEquals={f"{ISSUER}:sub": loose}),
        statement(
            StringLike={f"{ISSUER}:ref": "v*"}, StringEquals={f"{ISSUER}:sub": "a"}
        ),
    ):
        assert [*find_loose_subjects(other)] == []
