"""Trust policies in plain words."""

import json

from broker.administration.trust_words import trust_lines
from broker.policy import PolicyKind, parse_policy
from tests.support.rows import rows

HOME = "111122223333"


def lines(principal: object, **more: object) -> list[tuple[str, tuple[str, ...]]]:
    statement = {
        "Effect": "Allow",
        "Principal": principal,
        "Action": "sts:AssumeRole",
        **more,
    }
    text = json.dumps({"Version": "2012-10-17", "Statement": statement})
    document = parse_policy(text, PolicyKind.TRUST)
    return [(line.who, line.conditions) for line in trust_lines(document, HOME)]


@rows("principal, who")
def test_each_kind_of_principal_has_its_words(principal: object, who: str) -> None:
    ((said, _),) = lines(principal)
    assert who in said


@rows("condition, words")
def test_conditions_have_words(condition: object, words: str) -> None:
    ((_, said),) = lines({"AWS": HOME}, Condition=condition)
    assert words in said[0]


def test_every_principal_is_a_line() -> None:
    assert (
        len(lines({"AWS": [HOME, "444455556666"], "Service": "ec2.amazonaws.com"})) == 3
    )


@rows("actions, brings")
def test_what_sessions_may_bring_is_told(
    actions: dict[str, object], brings: tuple[str, ...]
) -> None:
    statement = {"Effect": "Allow", "Principal": {"AWS": HOME}, **actions}
    text = json.dumps({"Version": "2012-10-17", "Statement": statement})
    (line,) = trust_lines(parse_policy(text, PolicyKind.TRUST), HOME)
    assert line.brings == brings
