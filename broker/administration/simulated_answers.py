"""Simulation results as rows: decision, deciding statements, missing context keys."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from msgspec import Struct

from broker.administration.policy_texts import PolicyTexts, lowered

_STATEMENTS_MAX = 3
_STATEMENT_MAX = 1500
_PASTED = "PolicyInputList."


class DecidingStatement(Struct, frozen=True):
    """A statement behind the decision; ``text`` is empty if it is not visible."""

    policy: str
    lines: str
    text: str


class SimulationRow(Struct, frozen=True, kw_only=True):
    """One action on one resource."""

    action: str
    resource: str
    decision: str
    reason: str
    statements: tuple[DecidingStatement, ...]
    statements_more: int
    missing: tuple[str, ...]
    limits: tuple[str, ...]

    @property
    def allowed(self) -> bool:
        """Whether the decision is to allow."""
        return self.decision == "allowed"


def make_rows(
    results: Iterable[Mapping[str, Any]], texts: PolicyTexts
) -> tuple[SimulationRow, ...]:
    """One row for each action and resource."""
    return tuple(_rows(results, texts))


def _rows(
    results: Iterable[Mapping[str, Any]], texts: PolicyTexts
) -> Iterator[SimulationRow]:
    by_name = dict(lowered(texts.found))
    for result in results:
        specific = result.get("ResourceSpecificResults")
        for entry in specific or [result]:
            matched = entry.get("MatchedStatements", [])
            yield SimulationRow(
                action=result["EvalActionName"],
                resource=entry["EvalResourceName"] if specific else "*",
                decision=entry.get("EvalResourceDecision") or result["EvalDecision"],
                # The reason quotes policies, which the user may not be able to read.
                reason="" if texts.refused else _named(entry.get("Explanation", "")),
                statements=tuple(
                    _deciding(statement, by_name)
                    for statement in matched[:_STATEMENTS_MAX]
                ),
                statements_more=max(0, len(matched) - _STATEMENTS_MAX),
                missing=tuple(entry.get("MissingContextValues", ())),
                limits=tuple(_limits(result, entry)),
            )


def _limits(result: Mapping[str, Any], entry: Mapping[str, Any]) -> Iterator[str]:
    boundary = entry.get("PermissionsBoundaryDecisionDetail")
    if boundary and not boundary["AllowedByPermissionsBoundary"]:
        yield "The permissions boundary does not allow it."
    controls = result.get("OrganizationsDecisionDetail")
    if controls and not controls["AllowedByOrganizations"]:
        yield "The account's service control policies do not allow it."


def _deciding(
    statement: Mapping[str, Any], by_name: Mapping[str, str]
) -> DecidingStatement:
    name = statement["SourcePolicyId"]
    start, end = statement["StartPosition"], statement["EndPosition"]
    first, last = start["Line"], end["Line"]
    text = by_name.get(name.lower(), "")
    return DecidingStatement(
        policy=_named(name),
        lines=f"line {first}" if first == last else f"lines {first} to {last}",
        text=_cut(text, start, end)[:_STATEMENT_MAX] if text else "",
    )


def _named(text: str) -> str:
    """Replace the API's names of pasted policies with the page's."""
    return (
        text.replace("PermissionsBoundaryPolicyInputList.1", "the pasted boundary")
        .replace(_PASTED, "pasted policy ")
        .replace("ResourcePolicy", "the resource policy")
    )


def _cut(text: str, start: Mapping[str, int], end: Mapping[str, int]) -> str:
    """Cut a statement out of a policy text, and format it."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    offsets = [0]
    for line in lines:
        offsets.append(offsets[-1] + len(line) + 1)
    begin, stop = (
        offsets[min(place["Line"], len(lines)) - 1] + place["Column"] - 1
        for place in (start, end)
    )
    # A position may start before or after the separating comma or opening brace.
    cut = "\n".join(lines)[begin:stop].strip().removeprefix(",").strip()
    if not cut.startswith("{"):
        cut = "{" + cut
    try:
        return json.dumps(json.loads(cut), indent=4, ensure_ascii=False)
    except ValueError:
        return cut
