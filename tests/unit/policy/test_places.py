"""Where a refused policy is wrong."""

import json

import pytest

from broker.policy import PolicyKind, PolicyRejected, parse_policy
from broker.policy.places import find_place, find_statement_index
from broker.policy.positions import Span
from tests.support.rows import rows

GOOD = '{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}'


def refused(text: str, kind: PolicyKind = PolicyKind.IDENTITY) -> PolicyRejected:
    with pytest.raises(PolicyRejected) as caught:
        parse_policy(text, kind)
    return caught.value


def cut(text: str, span: Span | None) -> str:
    """The part of the text that a place covers."""
    if span is None:
        return ""
    starts = [0]
    for line in text.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    start, end = (
        starts[place.line - 1] + place.column - 1 for place in (span.start, span.end)
    )
    return text[start:end]


def pointed_at(text: str, kind: PolicyKind = PolicyKind.IDENTITY) -> str:
    return cut(text, find_place(text, refused(text, kind)))


@rows("text, wrong")
def test_the_place_is_the_wrong_part_itself(text: str, wrong: str) -> None:
    assert pointed_at(text) == wrong


def test_principals_are_pointed_at() -> None:
    text = json.dumps(
        {
            "Statement": {
                "Effect": "Allow",
                "Principal": {"AWS": ["111122223333", "nobody"]},
                "Action": "sts:AssumeRole",
            }
        },
        indent=2,
    )
    assert pointed_at(text, PolicyKind.TRUST) == '"nobody"'


@pytest.mark.parametrize(
    "text",
    ["[1]", '"text"', "", "NaN", '{"Version": "2012-10-17"}', "[" * 100_000, "{" * 9],
)
def test_a_text_without_such_a_part_is_no_surprise(text: str) -> None:
    error = refused(text)
    assert find_place(text, error) is None or pointed_at(text) != "x"
    assert find_statement_index(error) is None


def test_the_statement_is_named_by_its_number() -> None:
    text = '{"Statement": [' + GOOD + ', {"Sid": "Two", "Effect": "Allow"}]}'
    assert find_statement_index(refused(text)) == 1


def test_a_place_of_another_text_is_nowhere() -> None:
    """The error and the text need not belong together."""
    error = refused('{"Statement": [' + GOOD + ', {"Effect": 1}]}')
    for text in ("{}", "[]", "", '{"Statement": {}}', '{"Statement": [{}, {'):
        assert find_place(text, error) is None
