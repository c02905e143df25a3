"""Whether a policy grants more than is likely meant: a reading of its text alone.

It looks for statements without conditions on every resource; what such a statement
leaves to others (boundaries, control policies, denials) is not looked at.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

_EVERY = frozenset({"*", "*:*"})
_IDENTITIES = frozenset({"iam:*", "sts:*"})


class Breadth(StrEnum):
    """How much a policy grants; the widest first."""

    EVERYTHING = "everything"
    ALL_BUT = "everything except a list"
    IDENTITIES = "all of IAM or STS, and with it the right to grant everything"


def find_breadth(document: Mapping[str, Any]) -> Breadth | None:
    """The widest grant of a policy's statements that is too wide; None for none."""
    breadths = {_breadth(entry) for entry in _listed(document.get("Statement"))}
    return next((breadth for breadth in Breadth if breadth in breadths), None)


def _breadth(statement: object) -> Breadth | None:
    if not isinstance(statement, Mapping) or statement.get("Effect") != "Allow":
        return None
    if statement.get("Condition") or "*" not in _listed(statement.get("Resource")):
        return None
    if "NotAction" in statement:
        return Breadth.ALL_BUT
    actions = {str(entry).lower() for entry in _listed(statement.get("Action"))}
    if actions & _EVERY:
        return Breadth.EVERYTHING
    return Breadth.IDENTITIES if actions & _IDENTITIES else None


def _listed(value: object) -> Iterable[object]:
    if value is None:
        return ()
    return value if isinstance(value, list) else (value,)
