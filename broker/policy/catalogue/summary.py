"""Summarizes a policy by service, like the table of IAM's policy summary.

Source: IAM FAQ, "What is a policy summary?"; IAM User Guide, "Policy summaries".
"""

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum

from msgspec import Struct

from broker.policy import Effect, PolicyDocument, Statement
from broker.policy.catalogue.actions import expand_action
from broker.policy.catalogue.data import (
    AccessLevel,
    ActionEntry,
    find_service,
    service_prefixes,
)

ALL_RESOURCES = "All resources"
NO_CONDITION = "None"
MULTIPLE = "Multiple"
EVERY_SERVICE = "*"
"""The prefix of the single row for ``"Action": "*"``."""


class Coverage(StrEnum):
    """How much of an access level a policy covers."""

    FULL = "Full"
    LIMITED = "Limited"


class ServiceSummary(Struct, frozen=True, kw_only=True):
    """One row: what is allowed (or denied) in one service.

    ``levels`` holds the levels that are covered at all; ``resources`` and
    ``conditions`` are as the statements write them, each once.
    """

    effect: Effect
    prefix: str
    name: str
    levels: Mapping[AccessLevel, Coverage]
    resources: tuple[str, ...]
    conditions: tuple[str, ...]
    unknown: tuple[str, ...] = ()

    @property
    def access(self) -> str:
        """``Full access``, or ``Full: List Limited: Read, Write``."""
        if self.prefix == EVERY_SERVICE:
            return "Full access"
        if not self.levels:
            return "Unknown actions"
        service = find_service(self.prefix)
        there = {e.level for e in service.actions.values()} if service else set()
        if there == set(self.levels) and Coverage.LIMITED not in self.levels.values():
            return "Full access"
        parts = []
        for coverage in Coverage:
            named = [lv.value for lv in AccessLevel if self.levels.get(lv) is coverage]
            if named:
                parts.append(f"{coverage}: {', '.join(named)}")
        return " ".join(parts)


def policy_summary(documents: Iterable[PolicyDocument]) -> tuple[ServiceSummary, ...]:
    """The rows of one policy or several together: denials first, then by service.

    Services whose actions the catalogue does not know have a row too, without levels.
    """
    rows: dict[tuple[Effect, str], _Row] = {}
    for document in documents:
        for statement in document.statements:
            for prefix, actions, unknown in _covered(statement):
                row = rows.setdefault((statement.effect, prefix), _Row())
                row.add(statement, actions, unknown)
    ordered = sorted(rows, key=lambda key: (key[0] is Effect.ALLOW, key[1]))
    return tuple(rows[key].summary(*key) for key in ordered)


def show_summary(rows: Iterable[ServiceSummary]) -> str:
    """The rows as lines of text, as the console shows them."""
    return "\n".join(
        f"{row.effect} {row.name}: {row.access};"
        f" {_one_of(row.resources, ALL_RESOURCES)};"
        f" condition: {_one_of(row.conditions, NO_CONDITION)}"
        for row in rows
    )


class _Row:
    def __init__(self) -> None:
        self._actions: set[str] = set()
        self._unknown: dict[str, None] = {}
        self._resources: dict[str, None] = {}
        self._conditions: dict[str, None] = {}

    def add(
        self,
        statement: Statement,
        actions: Iterable[ActionEntry],
        unknown: Iterable[str],
    ) -> None:
        self._actions.update(entry.name for entry in actions)
        self._unknown.update(dict.fromkeys(unknown))
        but = "all but " if statement.not_resource else ""
        self._resources.update(
            dict.fromkeys(f"{but}{arn}" for arn in statement.resources or ())
        )
        self._conditions.update(
            dict.fromkeys(
                f"{c.key} {c.operator} {' or '.join(c.values)}"
                for c in statement.conditions
            )
        )

    def summary(self, effect: Effect, prefix: str) -> ServiceSummary:
        service = find_service(prefix)
        levels: dict[AccessLevel, Coverage] = {}
        if prefix == EVERY_SERVICE:
            levels = dict.fromkeys(AccessLevel, Coverage.FULL)
        for level in AccessLevel:
            there = {
                entry.name
                for entry in (service.actions.values() if service else ())
                if entry.level is level
            }
            covered = there & self._actions
            if covered:
                full = covered == there
                levels[level] = Coverage.FULL if full else Coverage.LIMITED
        return ServiceSummary(
            effect=effect,
            prefix=prefix,
            name=_name(prefix),
            levels=levels,
            resources=tuple(self._resources),
            conditions=tuple(self._conditions),
            unknown=tuple(self._unknown),
        )


def _name(prefix: str) -> str:
    if prefix == EVERY_SERVICE:
        return "all services"
    service = find_service(prefix)
    return service.name if service else prefix


def _covered(
    statement: Statement,
) -> Iterator[tuple[str, list[ActionEntry], list[str]]]:
    """The services of a statement, their actions in it, and the unknown rest."""
    named: dict[str, list[ActionEntry]] = {}
    unknown: dict[str, list[str]] = {}
    if not statement.not_action and any(not a.strip("*") for a in statement.actions):
        yield EVERY_SERVICE, [], []
        return
    for written in statement.actions:
        entries = expand_action(written)
        for entry in entries:
            named.setdefault(entry.service, []).append(entry)
        if not entries:
            unknown.setdefault(written.partition(":")[0].lower(), []).append(written)
    if statement.not_action:
        yield from ((p, e, []) for p, e in _others(named))
        return
    for prefix in {**named, **unknown}:
        yield prefix, named.get(prefix, []), unknown.get(prefix, [])


def _others(
    excluded: Mapping[str, list[ActionEntry]],
) -> Iterator[tuple[str, list[ActionEntry]]]:
    for prefix in service_prefixes():
        service = find_service(prefix)
        if service is None:
            continue
        out = {entry.name for entry in excluded.get(prefix, ())}
        left = [entry for entry in service.actions.values() if entry.name not in out]
        if left:
            yield prefix, left


def _one_of(results: tuple[str, ...], nothing: str) -> str:
    if not results or "*" in results:
        return nothing
    return results[0] if len(results) == 1 else MULTIPLE
