"""Statements stand where AWS says they do."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.policy.positions import Span, TextPosition, statement_spans
from tests.support.effort import examples


def place(text: str) -> list[tuple[int, int, int, int]]:
    return [
        (span.start.line, span.start.column, span.end.line, span.end.column)
        for span in statement_spans(text)
    ]


def test_a_single_statement_begins_behind_its_brace() -> None:
    """The AWS CLI's example of simulate-custom-policy."""
    text = (
        '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"dynamodb:*",'
        '"Resource":"*","Condition":{"DateGreaterThan":'
        '{"aws:CurrentTime":"2018-08-16T12:00:00Z"}}}}'
    )
    assert place(text) == [(1, 38, 1, 167)]


def test_a_single_statement_over_several_lines() -> None:
    """The first example of the API reference's SimulatePrincipalPolicy."""
    text = """{
  "Version":"2012-10-17",
  "Statement":{
    "Effect":"Allow",
    "Action":"s3:PutObject",
    "Resource":"arn:aws:s3:::my-test-bucket"
  }
}"""
    assert place(text) == [(3, 16, 7, 4)]


def test_a_list_begins_behind_its_bracket() -> None:
    """The second example there: a policy that allows everything."""
    statement = '{"Effect":"Allow","Action":"*","Resource":"*"}'
    text = f'{{"Version":"2012-10-17","Statement":[{statement}]}}'
    assert place(text) == [(1, 38, 1, 84)]


def test_a_list_over_several_lines() -> None:
    """The AWS CLI's example of simulate-principal-policy."""
    text = """{
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": [
                "codecommit:ListRepositories"
            ]
        }
    ]
}"""
    assert place(text) == [(3, 19, 9, 10)]


def test_the_next_statement_begins_where_the_one_before_ended() -> None:
    """Recorded: columns 41 to 198, 198 to 300."""
    text = json.dumps(
        {"Version": "2012-10-17", "Statement": [{"a": "x" * 148}, {"b": "y" * 91}]}
    )
    assert place(text)[0] == (1, 41, 1, 198)
    assert place(text)[1] == (1, 198, 1, 300)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_kind_of_line_end_counts_once(end: str) -> None:
    text = end.join(["{", '"Statement":', "[{}", ",{}]}"])
    assert place(text) == [(3, 2, 3, 4), (3, 4, 4, 4)]


def test_a_statement_inside_of_a_value_is_not_meant() -> None:
    text = (
        '{"Id": "\\"Statement\\": [", "Other": {"Statement": [1, 2]}, "Statement": {}}'
    )
    assert statement_spans(text) == (Span(TextPosition(1, 74), TextPosition(1, 75)),)


JSON = st.none() | st.text(max_size=5) | st.lists(st.text(max_size=3), max_size=2)
OBJECTS = st.dictionaries(st.text(max_size=3), JSON, max_size=3)


@settings(max_examples=examples(60), deadline=None)
@given(
    statements=st.lists(OBJECTS, min_size=1, max_size=3),
    before=OBJECTS,
    indent=st.sampled_from([None, 0, 1, 3]),
)
def test_the_text_between_the_positions_is_the_statement(
    statements: list[object], before: dict[str, object], indent: int | None
) -> None:
    policy = {**before, "Statement": statements}
    text = json.dumps(policy, indent=indent)
    lines = text.split("\n")

    def index(position: TextPosition) -> int:
        above = sum(len(line) + 1 for line in lines[: position.line - 1])
        return above + position.column - 1

    results = [text[index(s.start) : index(s.end)] for s in statement_spans(text)]
    assert [json.loads(part.lstrip(", \n")) for part in results] == statements
