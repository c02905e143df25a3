"""What ``broker policy`` has to tell of files: as lines, as JSON, and as SARIF.

A line begins with file, line and column, as compilers write them. Lines and columns
count from 1; the end is the first column behind.

Source: OASIS Static Analysis Results Interchange Format (SARIF) Version 2.1.0.
"""

from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Any
from urllib.parse import quote

from msgspec import Struct

from broker.cli.terminal import say, say_json
from broker.policy.findings import ISSUES, FindingKind, PolicyFinding, locate
from broker.policy.findings.finding import Path
from broker.policy.positions import Span, make_span
from broker.policy.proofs import Reason, describe_request, name_caller

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS = {
    FindingKind.ERROR: "error",
    FindingKind.SECURITY_WARNING: "error",
    FindingKind.WARNING: "warning",
    FindingKind.SUGGESTION: "note",
}
ANSWERS = {
    "NEW_ACCESS": "This grants what the existing policy does not.",
    "ACCESS_GRANTED": "This grants one of the actions or resources that were named.",
    "PUBLIC_ACCESS": "This grants access to the public.",
}
"""What an Allow can fail, by code."""


class PolicyReport(Struct, frozen=True):
    """A finding, or an Allow that fails a question, and where it stands."""

    file: str
    span: Span
    kind: FindingKind
    code: str
    text: str
    path: Path = ()
    reason: Reason | None = None

    @property
    def entry(self) -> Mapping[str, Any]:
        """The report as plain data."""
        start, end = self.span.start, self.span.end
        data = {
            "File": self.file,
            "Line": start.line,
            "Column": start.column,
            "EndLine": end.line,
            "EndColumn": end.column,
            "Type": self.kind.value,
            "Code": self.code,
            "Text": self.text,
            "Path": list(self.path),
        }
        return data if self.reason is None else data | dict(_answer(self.reason))


def report_finding(file: str, text: str, finding: PolicyFinding) -> PolicyReport:
    """What is told of a finding."""
    span = make_span(text, *locate(text, finding))
    return PolicyReport(
        file, span, finding.kind, finding.code, finding.text, finding.path
    )


def report_reason(file: str, text: str, code: str, reason: Reason) -> PolicyReport:
    """What is told of an Allow that fails a question."""
    path: Path = ("Statement", reason.index)
    span = make_span(text, *locate(text, PolicyFinding(code, path)))
    more = f"Not decided: {reason.undecided}."
    if reason.request is not None:
        more = f"For example: {describe_request(reason.request)}."
    words = f"{ANSWERS[code]} {more}"
    return PolicyReport(file, span, FindingKind.ERROR, code, words, path, reason)


def say_reports(reports: Iterable[PolicyReport]) -> None:
    """Print a line each, and the whole request of an answer below it."""
    for report in reports:
        start = report.span.start
        words = report.text if report.reason is None else ANSWERS[report.code]
        say(
            f"{report.file}:{start.line}:{start.column}: {report.kind} {report.code}:"
            f" {words}"
        )
        if report.reason is not None:
            say(*(f"  {line}" for line in _lines(report.reason)))


def say_sarif(reports: Sequence[PolicyReport]) -> None:
    """Print one log of SARIF 2.1.0."""
    codes = sorted({report.code for report in reports})
    driver = {
        "name": "broker policy",
        "version": version("federation-broker"),
        "rules": [
            {"id": code, "shortDescription": {"text": _rule(code)}} for code in codes
        ],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(report, codes) for report in reports],
    }
    log = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}
    say_json(log, indent=2)


def _answer(reason: Reason) -> Iterable[tuple[str, Any]]:
    yield "StatementIndex", reason.index
    if reason.sid:
        yield "Sid", reason.sid
    if reason.request is None:
        yield "Undecided", reason.undecided
        return
    request = reason.request
    yield (
        "Request",
        {
            "Action": request.action,
            "Resource": request.resource,
            "Principal": name_caller(request),
            "Context": {key: list(v) for key, v in sorted(request.context.items())},
        },
    )


def _lines(reason: Reason) -> Iterable[str]:
    request = reason.request
    if request is None:
        yield f"Not decided: {reason.undecided}."
        return
    yield f"action    {request.action}"
    yield f"resource  {request.resource}"
    yield f"caller    {name_caller(request)}"
    for key, values in sorted(request.context.items()):
        yield f"with      {key} = {', '.join(values)}"


def _rule(code: str) -> str:
    """What a code is about, before anything is filled in."""
    if code in ANSWERS:
        return ANSWERS[code]
    return ISSUES[code].kind.value.replace("_", " ").capitalize()


def _result(report: PolicyReport, codes: Sequence[str]) -> Mapping[str, Any]:
    start, end = report.span.start, report.span.end
    region = {
        "startLine": start.line,
        "startColumn": start.column,
        "endLine": end.line,
        "endColumn": end.column,
    }
    place = {"artifactLocation": {"uri": quote(report.file)}, "region": region}
    properties: dict[str, Any] = {"type": report.kind.value}
    if report.reason is not None:
        properties |= dict(_answer(report.reason))
    return {
        "ruleId": report.code,
        "ruleIndex": codes.index(report.code),
        "level": _LEVELS[report.kind],
        "message": {"text": report.text},
        "locations": [{"physicalLocation": place}],
        "properties": properties,
    }
