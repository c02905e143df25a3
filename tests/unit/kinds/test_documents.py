"""What IAM refuses to store is refused here, with IAM's sentence."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from broker.errors import MalformedPolicyDocument
from broker.kinds.documents import checked_document
from broker.policy import PolicyKind
from broker.policy.catalogue import find_service
from broker.policy.new_policy import STS_ACTIONS
from tests.support.rows import rows

CASES = yaml.load(
    (Path(__file__).parents[2] / "decisions" / "new-policies.yaml").read_text(),
    yaml.CSafeLoader,
)


def text_of(case: dict[str, Any]) -> str:
    if "text" in case:
        return str(case["text"])
    whole = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
    statements = [
        {name: value for name, value in (whole | entity).items() if value is not None}
        for entity in (case["statement"], case.get("also"))
        if entity is not None
    ]
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def check(case: dict[str, Any]) -> None:
    kind = PolicyKind(case.get("kind", "identity"))
    managed = kind is PolicyKind.IDENTITY and not case.get("inline")
    checked_document(text_of(case), kind, managed=managed)


@rows("case", CASES["refused"], ids=lambda case: case["name"])
def test_refuses_with_iam_s_sentence_alone(case: dict[str, Any]) -> None:
    with pytest.raises(MalformedPolicyDocument) as caught:
        check(case)
    assert caught.value.message == case["says"]
    assert caught.value.detail.endswith(case["says"])


@rows("case", CASES["accepted"], ids=lambda case: case["name"])
def test_takes(case: dict[str, Any]) -> None:
    check(case)


@pytest.mark.parametrize("element", ["Resource", "NotResource"])
def test_the_advice_names_the_place(element: str) -> None:
    statement = {"Sid": "A", "Effect": "Allow", "Action": "*", element: "arn:aws:s3::b"}
    text = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    with pytest.raises(MalformedPolicyDocument) as caught:
        checked_document(text, PolicyKind.IDENTITY)
    assert caught.value.advice == (
        f'Statement 1 ("A"), {element}: arn:aws:s3::b is not an ARN; it has six parts with'
        " colons between."
    )


def test_names_of_cases_are_used_once() -> None:
    for cases in (CASES["refused"], CASES["accepted"]):
        names = [case["name"] for case in cases]
        assert len(names) == len(set(names))


def test_the_actions_of_sts_are_those_of_the_reference() -> None:
    sts = find_service("sts")
    assert sts is not None
    assert {f"sts:{name}" for name in sts.actions} == STS_ACTIONS
