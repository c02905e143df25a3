"""Statements are found where the simulator's recorded answers say they stand."""

import pytest

from broker.policy import PolicyKind, parse_policy
from broker.policy.position import Position, Span, statement_spans

ONE_LINE = (
    '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"dynamodb:*",'
    '"Resource":"*","Condition":{"DateGreaterThan":{"aws:CurrentTime":'
    '"2018-08-16T12:00:00Z"}}}}'
)
LINES = """{
    "Version": "2012-10-17",
    "Statement": {
        "Sid": "}{",
        "Effect": "Allow",
        "Action": "codecommit:ListRepositories",
        "Resource": "*"

        }
}"""

LIST = (
    ' {"Id": "Statement", "Statement" : [\r\n{"Effect":"Allow","Action":"*",\n'
    '"Resource":"*"} ,{"Effect":"Deny","NotAction":"*","Resource":"*"}\n]\n}'
)


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        (ONE_LINE, [((1, 38), (1, 167))]),
        (LINES.replace('"}{"', '""'), [((3, 19), (9, 10))]),
        (
            LIST,
            [((2, 2), (3, 16)), ((3, 19), (3, 66))],
        ),
    ],
)
def test_spans_are_taken_behind_the_braces(
    text: str, spans: list[tuple[tuple[int, int], tuple[int, int]]]
) -> None:
    """The first two are recorded in the AWS CLI's examples."""
    document = parse_policy(text, PolicyKind.IDENTITY)
    found = statement_spans(text)
    assert found == tuple(Span(Position(*a), Position(*b)) for a, b in spans)
    assert len(found) == len(document.statements)
