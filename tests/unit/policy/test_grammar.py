"""The grammar takes what IAM takes, refuses the rest and says where."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from broker.policy import (
    PolicyKind,
    PolicyRejected,
    RejectionReason,
    parse_new_policy,
    parse_policy,
    policy_size,
    print_policy,
)
from broker.policy.catalogue import find_managed_policy_entry, managed_policy_arns
from broker.policy.strict_json import POLICY_CHARACTERS_MAX, STORED_CHARACTERS_MAX
from tests.support.rows import rows

CASES = yaml.load(
    (Path(__file__).parents[2] / "decisions" / "grammar.yaml").read_text(),
    yaml.CSafeLoader,
)


def text_of(case: dict[str, Any]) -> str:
    if "text" in case:
        return str(case["text"])
    statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
    statement |= case["statement"]
    kept = {name: value for name, value in statement.items() if value is not None}
    return json.dumps({"Version": "2012-10-17", "Statement": kept}, ensure_ascii=False)


def kind_of(case: dict[str, Any]) -> PolicyKind:
    return PolicyKind(case.get("kind", "identity"))


@rows("case", CASES["accepted"], ids=lambda case: case["name"])
def test_takes(case: dict[str, Any]) -> None:
    kind = kind_of(case)
    document = parse_policy(text_of(case), kind)
    assert document.kind is kind
    assert parse_policy(print_policy(document), kind) == document


@rows("case", CASES["refused"], ids=lambda case: case["name"])
def test_refuses(case: dict[str, Any]) -> None:
    with pytest.raises(PolicyRejected) as caught:
        parse_policy(text_of(case), kind_of(case))
    assert caught.value.reason is RejectionReason(case["reason"])
    if "exact" in case:
        assert caught.value.words == case["exact"]
    else:
        assert caught.value.words.startswith(case["message"])
        assert caught.value.words.endswith((".", '"'))


def test_says_the_place_of_a_statement_by_number_and_sid() -> None:
    text = (
        '{"Version":"2012-10-17","Statement":['
        '{"Effect":"Allow","Action":"s3:*","Resource":"*"},'
        '{"Sid":"Write","Effect":"Allow","Action":"s3","Resource":"*"}]}'
    )
    with pytest.raises(PolicyRejected) as caught:
        parse_policy(text, PolicyKind.IDENTITY)
    assert caught.value.place == 'Statement 2 ("Write"), Action'
    assert caught.value.message == (
        "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."
    )
    assert caught.value.advice == (
        'Statement 2 ("Write"), Action: "s3" has no service; '
        'write for example "s3:GetObject".'
    )
    assert caught.value.words == f"{caught.value.message} {caught.value.advice}"


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 20_000, "[{" * 50_000])
def test_deep_nesting_is_invalid_json(text: str) -> None:
    with pytest.raises(PolicyRejected) as caught:
        parse_policy(text, PolicyKind.IDENTITY)
    assert caught.value.reason is RejectionReason.INVALID_JSON


def test_a_new_text_beyond_the_parameters_bound_is_not_read() -> None:
    with pytest.raises(PolicyRejected) as caught:
        parse_new_policy(
            " " * (POLICY_CHARACTERS_MAX + 1),
            PolicyKind.IDENTITY,
            managed=True,
            knows_service=lambda _: True,
        )
    assert caught.value.reason is RejectionReason.TOO_LONG


def test_a_stored_text_has_a_bound_of_its_own() -> None:
    with pytest.raises(PolicyRejected) as caught:
        parse_policy(" " * (STORED_CHARACTERS_MAX + 1), PolicyKind.IDENTITY)
    assert caught.value.reason is RejectionReason.TOO_LONG


def test_all_that_aws_manages_can_be_read() -> None:
    for arn in managed_policy_arns():
        entry = find_managed_policy_entry(arn)
        assert entry is not None
        assert parse_policy(entry.document, PolicyKind.IDENTITY).statements


def with_number(number: str) -> str:
    return (
        '{"Statement":{"Effect":"Allow","Action":"*","Resource":"*",'
        f'"Condition":{{"StringEquals":{{"a:b":{number}}}}}}}}}'
    )


def test_a_long_number_is_text_and_harmless() -> None:
    document = parse_policy(with_number("1" * 300), PolicyKind.IDENTITY)
    assert document.statements[0].conditions[0].values == ("1" * 300,)


@pytest.mark.parametrize("number", ["1" * 50_000, "1e400", "-1e400"])
def test_a_number_that_no_double_holds_is_refused(number: str) -> None:
    with pytest.raises(PolicyRejected) as refused:
        parse_policy(with_number(number), PolicyKind.IDENTITY)
    assert refused.value.reason is RejectionReason.INVALID_JSON


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [
        ("a*" * 1017, True),
        ("a*" * 1018, False),
        ("a?" * 249, True),
        ("a?" * 250, False),
        ("a" * 10_000, True),
    ],
)
def test_patterns_are_bounded(pattern: str, fits: bool) -> None:
    text = json.dumps(
        {
            "Statement": {
                "Effect": "Allow",
                "Action": "*",
                "Resource": f"arn:aws:s3:::{pattern}",
            }
        }
    )
    if fits:
        parse_policy(text, PolicyKind.IDENTITY)
        return
    with pytest.raises(PolicyRejected) as caught:
        parse_policy(text, PolicyKind.IDENTITY)
    assert caught.value.reason is RejectionReason.TOO_LONG


@pytest.mark.parametrize("operator", ["StringLike", "StringNotLike", "ArnLike"])
def test_patterns_of_conditions_are_bounded_too(operator: str) -> None:
    text = json.dumps(
        {
            "Statement": {
                "Effect": "Allow",
                "Action": "*",
                "Resource": "*",
                "Condition": {operator: {"aws:x": "a*" * 2000}},
            }
        }
    )
    with pytest.raises(PolicyRejected) as caught:
        parse_policy(text, PolicyKind.IDENTITY)
    assert caught.value.reason is RejectionReason.TOO_LONG
    parse_policy(text.replace(operator, "StringEquals"), PolicyKind.IDENTITY)


def test_a_long_action_is_refused() -> None:
    text = (
        f'{{"Statement":{{"Effect":"Allow","Action":"s3:{"a" * 200}","Resource":"*"}}}}'
    )
    with pytest.raises(PolicyRejected) as caught:
        parse_policy(text, PolicyKind.IDENTITY)
    assert caught.value.reason is RejectionReason.INVALID_ACTION


def test_a_message_shows_no_more_than_a_piece_of_a_long_text() -> None:
    text = json.dumps(
        {"Statement": {"Effect": "Allow", "Action": "x" * 9999, "Resource": "*"}}
    )
    with pytest.raises(PolicyRejected) as caught:
        parse_policy(text, PolicyKind.IDENTITY)
    assert len(caught.value.message) < 400


def test_size_counts_no_white_space() -> None:
    assert policy_size('{ "a" :\t["b c"]\r\n}') == len('{"a":["bc"]}')


def test_a_condition_keeps_numbers_and_booleans_as_they_are_written() -> None:
    text = (
        '{"Statement":{"Effect":"Allow","Action":"*","Resource":"*",'
        '"Condition":{"StringEquals":{"a:b":[1.50,true,"x"]}}}}'
    )
    document = parse_policy(text, PolicyKind.IDENTITY)
    assert document.statements[0].conditions[0].values == ("1.50", "true", "x")
