"""Findings: one statement for each code, and what holds of all."""

import json
from typing import Any

import pytest

from broker.policy import PolicyKind, PolicyRejected, parse_policy
from broker.policy.catalogue import (
    ServiceEntry,
    find_managed_policy_entry,
    managed_policy_arns,
)
from broker.policy.findings import (
    FINDINGS_MAX,
    ISSUES,
    FindingKind,
    PolicyFinding,
    Subject,
    locate,
    validate,
)
from broker.runtime.offload import run_steps
from tests.support.rows import of_file, rows

ORDERS = ServiceEntry(
    prefix="orders",
    name="orders",
    actions={"ship": None},  # type: ignore[dict-item]  # only names are looked at
    resource_types={},
    condition_keys={},
)
KINDS = {kind.value: kind for kind in PolicyKind}
SIZES = {
    PolicyKind.IDENTITY: "POLICY_SIZE_EXCEEDS_IDENTITY_POLICY_QUOTA",
    PolicyKind.RESOURCE: "POLICY_SIZE_EXCEEDS_RESOURCE_POLICY_QUOTA",
    PolicyKind.TRUST: "POLICY_SIZE_EXCEEDS_ROLE_TRUST_POLICY_QUOTA",
    PolicyKind.CONTROL: "POLICY_SIZE_EXCEEDS_SCP_QUOTA",
}


def findings(text: str, kind: PolicyKind) -> tuple[PolicyFinding, ...]:
    return run_steps(validate(Subject(text, kind, {"orders": ORDERS})))


def policy(kind: PolicyKind, **elements: Any) -> str:
    statement: dict[str, Any] = {"Effect": "Allow", "Action": "s3:GetObject"}
    if kind is PolicyKind.TRUST:
        statement["Action"] = "sts:AssumeRole"
    else:
        statement["Resource"] = "*"
    if kind.is_about_principals:
        statement["Principal"] = {"AWS": "111122223333"}
    whole = {k: v for k, v in (statement | elements).items() if v is not None}
    return json.dumps({"Version": "2012-10-17", "Statement": [whole]})


def places(text: str, kind: PolicyKind) -> set[tuple[str, str]]:
    """The codes, and their places within the text."""
    return {
        (finding.code, " ".join(map(str, finding.path)))
        for finding in findings(text, kind)
    }


@rows("kind, elements, code, place")
def test_a_statement_has_the_finding(
    kind: str, elements: dict[str, Any], code: str, place: str
) -> None:
    text = policy(KINDS[kind], **elements)
    assert (code, f"Statement 0 {place}".strip()) in places(text, KINDS[kind])


@rows("kind, elements")
def test_a_statement_has_no_such_finding(kind: str, elements: dict[str, Any]) -> None:
    assert places(policy(KINDS[kind], **elements), KINDS[kind]) == set()


UNCHECKED = {"INVALID_ARN_RESOURCE", "MISSING_QUALIFIER"}
"""Errors that a handful of AWS's policies have, of resources and keys of other days."""


@pytest.mark.parametrize(
    "part", [0, *(pytest.param(n, marks=pytest.mark.long) for n in range(1, 8))]
)
def test_what_aws_wrote_has_no_size_and_no_unknown_names(part: int) -> None:
    for arn in managed_policy_arns()[part::8]:
        entry = find_managed_policy_entry(arn)
        assert entry is not None
        errors = {
            finding.code
            for finding in findings(entry.document, PolicyKind.IDENTITY)
            if finding.kind is FindingKind.ERROR or "SIZE" in finding.code
        }
        assert errors <= UNCHECKED, arn


def test_a_long_policy_of_aws_is_one_however_it_is_laid_out_and_no_other_is() -> None:
    entry = find_managed_policy_entry("arn:aws:iam::aws:policy/ReadOnlyAccess")
    assert entry is not None
    document = json.loads(entry.document)
    assert places(json.dumps(document, indent=1), PolicyKind.IDENTITY) == places(
        entry.document, PolicyKind.IDENTITY
    )
    document["Id"] = "mine"
    codes = {code for code, _ in places(json.dumps(document), PolicyKind.IDENTITY)}
    assert "POLICY_SIZE_EXCEEDS_IDENTITY_POLICY_QUOTA" in codes


@rows("text, code, place")
def test_a_policy_has_the_finding(text: str, code: str, place: str) -> None:
    assert (code, place) in places(text, PolicyKind.IDENTITY)


@pytest.mark.parametrize("kind", SIZES)
def test_a_policy_that_is_too_large_has_a_finding(kind: PolicyKind) -> None:
    condition = {"StringEquals": {"aws:username": ["a" * 21_000]}}
    text = policy(kind, Condition=condition)
    assert places(text, kind) == {(SIZES[kind], "")}


def test_every_code_is_tried() -> None:
    tried = {row[2] for row in of_file(__file__, "test_a_statement_has_the_finding")}
    tried |= {row[1] for row in of_file(__file__, "test_a_policy_has_the_finding")}
    assert tried | set(SIZES.values()) == set(ISSUES)


def test_every_text_is_filled_in() -> None:
    for name in ("test_a_statement_has_the_finding",):
        for kind, elements, code, _ in of_file(__file__, name):
            text = policy(KINDS[kind], **elements)
            for finding in findings(text, KINDS[kind]):
                assert finding.text.endswith("."), code
                assert "  " not in finding.text, code
                assert " :" not in finding.text, code
                assert not finding.text.startswith(" "), code


def test_what_the_grammar_refuses_has_an_error() -> None:
    for kind, elements, code, _ in of_file(
        __file__, "test_a_statement_has_the_finding"
    ):
        text = policy(KINDS[kind], **elements)
        try:
            parse_policy(text, KINDS[kind])
        except PolicyRejected:
            kinds = {finding.kind for finding in findings(text, KINDS[kind])}
            assert FindingKind.ERROR in kinds, code


def test_the_worst_come_first_and_their_number_is_bounded() -> None:
    actions = [f"s3:Nothing{n}" for n in range(FINDINGS_MAX)]
    results = findings(
        policy(PolicyKind.IDENTITY, Sid="", Action=actions), PolicyKind.IDENTITY
    )
    assert len(results) == FINDINGS_MAX
    assert {finding.kind for finding in results} == {FindingKind.ERROR}


def test_a_deny_takes_a_grant_back() -> None:
    allow = {"Effect": "Allow", "Action": "iam:*", "Resource": "*"}
    deny = {"Effect": "Deny", "Action": "iam:PassRole", "Resource": "*"}
    text = json.dumps({"Version": "2012-10-17", "Statement": [allow, deny]})
    codes = {finding.code for finding in findings(text, PolicyKind.IDENTITY)}
    assert codes == {"CREATE_SLR_WITH_STAR_IN_ACTION_AND_RESOURCE"}


@pytest.mark.parametrize(
    ("finding", "part"),
    [
        (PolicyFinding("MISSING_VERSION"), '{"a": [1, {"b": "c"}]}'),
        (PolicyFinding("MISSING_VERSION", ("a",)), '[1, {"b": "c"}]'),
        (PolicyFinding("MISSING_VERSION", ("a",), of_key=True), '"a"'),
        (PolicyFinding("MISSING_VERSION", ("a", 0)), "1"),
        (PolicyFinding("MISSING_VERSION", ("a", 1, "b")), '"c"'),
        (PolicyFinding("MISSING_VERSION", ("a", 1, "b"), of_key=True), '"b"'),
        (PolicyFinding("MISSING_VERSION", ("a", 7)), '[1, {"b": "c"}]'),
        (PolicyFinding("MISSING_VERSION", ("x",)), '{"a": [1, {"b": "c"}]}'),
    ],
)
def test_a_finding_has_its_place_in_the_text(finding: PolicyFinding, part: str) -> None:
    text = ' {"a": [1, {"b": "c"}]} '
    start, end = locate(text, finding)
    assert text[start:end] == part


def test_a_text_that_is_no_json_has_the_place_where_it_ends() -> None:
    assert locate('{"a": }', PolicyFinding("JSON_SYNTAX_ERROR")) == (6, 7)
