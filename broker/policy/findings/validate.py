"""All findings of a text, in the order of their kinds."""

from collections.abc import Generator, Iterator, Mapping
from types import MappingProxyType

from msgspec import Struct

from broker.policy.catalogue import ServiceEntry, is_long_managed
from broker.policy.document import VERSION_2012, PolicyKind, policy_size
from broker.policy.errors import PolicyRejected, RejectionReason
from broker.policy.findings.codes import FindingKind
from broker.policy.findings.conditions import list_condition_faults
from broker.policy.findings.elements import list_element_faults, list_policy_faults
from broker.policy.findings.finding import Path, PolicyFinding, RawStatement, list_items
from broker.policy.findings.grants import list_grants
from broker.policy.findings.names import list_unknown_names
from broker.policy.grammar import parse_policy
from broker.policy.places import find_statement_index
from broker.policy.strict_json import STORED_CHARACTERS_MAX, Json, parse_json

FINDINGS_MAX = 200
"""Of one text; errors are among them first."""

Findings = Generator[None, None, tuple[PolicyFinding, ...]]
"""The work of finding them, and what it returns."""

_SIZES = {
    PolicyKind.IDENTITY: ("POLICY_SIZE_EXCEEDS_IDENTITY_POLICY_QUOTA", 6_144),
    PolicyKind.RESOURCE: ("POLICY_SIZE_EXCEEDS_RESOURCE_POLICY_QUOTA", 20_480),
    PolicyKind.TRUST: ("POLICY_SIZE_EXCEEDS_ROLE_TRUST_POLICY_QUOTA", 2_048),
    PolicyKind.CONTROL: ("POLICY_SIZE_EXCEEDS_SCP_QUOTA", 5_120),
}
"""Source: IAM and Organizations quotas; what people write has no white space counted."""

_CODES = {
    RejectionReason.INVALID_JSON: "JSON_SYNTAX_ERROR",
    RejectionReason.TOO_LONG: "JSON_SYNTAX_ERROR",
    RejectionReason.DUPLICATE_KEY: "JSON_SYNTAX_ERROR",
    RejectionReason.INVALID_ACTION: "INVALID_ACTION",
    RejectionReason.INVALID_RESOURCE: "INVALID_ARN_RESOURCE",
    RejectionReason.INVALID_PRINCIPAL: "INVALID_PRINCIPAL_FORMAT",
    RejectionReason.INVALID_CONDITION: "INVALID_CONDITION_DATA_TYPE",
}
"""For what the grammar refuses and no rule sees; DATA_TYPE_MISMATCH for the rest."""


class Subject(Struct, frozen=True):
    """A text, what kind of policy it is, and services beside AWS's that it may name."""

    text: str
    kind: PolicyKind
    own: Mapping[str, ServiceEntry] = MappingProxyType({})


def validate(subject: Subject) -> Findings:
    """The findings of a text, the worst first, at most `FINDINGS_MAX`."""
    results: dict[PolicyFinding, None] = {}
    for finding in _findings(subject):
        if finding is None:
            yield
        else:
            results[finding] = None
    order = list(FindingKind)
    worst = sorted(results, key=lambda finding: order.index(finding.kind))
    return tuple(worst[:FINDINGS_MAX])


def _findings(subject: Subject) -> Iterator[PolicyFinding | None]:
    text, kind = subject.text, subject.kind
    try:
        value = parse_json(text, STORED_CHARACTERS_MAX)
    except PolicyRejected as error:
        words = error.advice or str(error.__cause__ or error.message)
        yield PolicyFinding("JSON_SYNTAX_ERROR", hint=words.rstrip("."))
        return
    any_error = False
    for finding in _of_text(subject, value):
        any_error |= finding is not None and finding.kind is FindingKind.ERROR
        yield finding
    try:
        document = parse_policy(text, kind)
    except PolicyRejected as error:
        if not any_error:
            yield _refused(error)
        return
    yield from _of_size(text, kind, value)
    yield from list_grants(document, lambda index: _path(value, index))


def _of_text(subject: Subject, value: Json) -> Iterator[PolicyFinding | None]:
    yield from list_policy_faults(value)
    if not isinstance(value, dict):
        return
    has_variables = value.get("Version") == VERSION_2012
    for path, raw in list_items(value.get("Statement", []), ("Statement",)):
        yield None
        if isinstance(raw, dict):
            statement = RawStatement(
                raw, path, subject.kind, has_variables, subject.own
            )
            yield from list_element_faults(statement)
            yield from list_condition_faults(statement)
            yield from list_unknown_names(statement)


def _of_size(text: str, kind: PolicyKind, value: Json) -> Iterator[PolicyFinding]:
    size = policy_size(text)
    code, size_max = _SIZES.get(kind, ("", size))
    if size > size_max and not is_long_managed(value):
        yield PolicyFinding(code, value=str(size), hint=str(size_max))


def _path(value: Json, index: int) -> Path:
    statements = value.get("Statement") if isinstance(value, dict) else None
    return ("Statement", index) if isinstance(statements, list) else ("Statement",)


def _refused(error: PolicyRejected) -> PolicyFinding:
    index = find_statement_index(error)
    path: Path = () if index is None else ("Statement", index)
    code = _CODES.get(error.reason, "DATA_TYPE_MISMATCH")
    return PolicyFinding(code, path, words=error.words)
