"""Readers of scalar shapes, and the violations that a whole input gathers."""

import re
from base64 import b64decode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from broker.protocols.query.constraints import (
    UNBOUNDED,
    Matcher,
    Wording,
    compile_pattern,
    is_xml_text,
    size_violation,
    string_violations,
)
from broker.protocols.query.errors import QueryReason, QueryRejected
from broker.protocols.query.model import ShapeModel

Node = str | dict[str, "Node"]
"""A value, or what stands below a dotted name."""

Read = Callable[[Node, str, "Violations"], object]
"""Reads a node that is there; the text is its path in messages."""

VIOLATIONS_MAX = 100
"""Violations that one message lists; the rest is not looked for."""

SHOWN_CHARACTERS = 10_000
"""Of a value in a message."""

MESSAGE_CHARACTERS = 50_000
"""After which no further violation is looked for."""

_INTEGER = re.compile(r"[+-]?[0-9]{1,64}")
_INT32 = 1 << 31
_INT64 = 1 << 63


class Violations:
    """What breaks a constraint, as it is found."""

    __slots__ = ("_found", "_length", "_sentence", "wording")

    def __init__(self, wording: Wording) -> None:
        self._found: list[str] = []
        self._length = 0
        self._sentence: str | None = None
        self.wording = wording

    def add(self, shown: str, path: str, constraint: str) -> None:
        """Note that the value (``shown`` with a leading space) breaks a constraint."""
        if self._sentence is None:
            self._sentence = self.wording.sentence(path, constraint)
        if not self.wording.shows_values:
            shown = ""
        self._found.append(
            f"Value{shown} at '{path}' failed to satisfy constraint: "
            + self.wording.constraint(constraint)
        )
        self._length += len(self._found[-1])
        if len(self._found) == VIOLATIONS_MAX or self._length > MESSAGE_CHARACTERS:
            self.refuse()

    def refuse(self) -> None:
        """Raise what was found, if anything was; a sentence of its own stands alone."""
        if self._sentence is not None:
            raise QueryRejected(QueryReason.VALIDATION_ERROR, self._sentence)
        if self._found:
            count = len(self._found)
            raise QueryRejected(
                QueryReason.VALIDATION_ERROR,
                f"{count} validation error{'s' if count > 1 else ''} detected: "
                + "; ".join(self._found),
            )


def scalar(node: Node) -> str:
    """The node's text; MALFORMED_INPUT when names stand below it."""
    if isinstance(node, str):
        return node
    raise QueryRejected(QueryReason.MALFORMED_INPUT)


def compile_matcher(shape: ShapeModel) -> Matcher:
    """What a string must match: its pattern, else that XML can carry it.

    Secrets without a pattern are left to those who verify them.
    """
    if "pattern" in shape:
        return compile_pattern(shape["pattern"])
    if shape.get("sensitive"):
        return lambda _value: True
    return is_xml_text


def _compile_string(shape: ShapeModel) -> Read:
    matches = compile_matcher(shape)
    shortest = shape.get("min", 0)
    longest = shape.get("max", UNBOUNDED)
    allowed = frozenset(shape["enum"]) if "enum" in shape else None
    sensitive = shape.get("sensitive", False)

    def read(node: Node, path: str, violations: Violations) -> object:
        value = scalar(node)
        if (
            shortest <= len(value) <= longest
            and matches(value)
            and (allowed is None or value in allowed)
        ):
            return value
        shown = "" if sensitive else f" '{value[:SHOWN_CHARACTERS]}'"
        for violation in string_violations(shape, matches, value):
            violations.add(shown, path, violation)
        return value

    return read


def _compile_integer(shape: ShapeModel) -> Read:
    limit = _INT32 if shape["type"] == "integer" else _INT64

    def read(node: Node, path: str, violations: Violations) -> object:
        text = scalar(node)
        if not text:
            raise QueryRejected(
                QueryReason.MALFORMED_INPUT, "missing value for decimal type"
            )
        if not _INTEGER.fullmatch(text):
            raise QueryRejected(QueryReason.MALFORMED_INPUT)
        value = int(text)
        if not -limit <= value < limit:
            raise QueryRejected(QueryReason.MALFORMED_INPUT)
        violation = size_violation(shape, value, "value")
        if violation:
            violations.add(f" '{value}'", path, violation)
        return value

    return read


def _read_boolean(node: Node, _path: str, _violations: Violations) -> object:
    match node:
        case "true" | "1":
            return True
        case "false" | "0":
            return False
        case _:
            raise QueryRejected(QueryReason.MALFORMED_INPUT)


def _read_timestamp(node: Node, _path: str, _violations: Violations) -> object:
    try:
        moment = datetime.fromisoformat(scalar(node))
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise QueryRejected(QueryReason.MALFORMED_INPUT) from error


def _read_blob(node: Node, _path: str, _violations: Violations) -> object:
    try:
        return b64decode(scalar(node), validate=True)
    except ValueError as error:
        raise QueryRejected(QueryReason.MALFORMED_INPUT) from error


_FACTORIES: Mapping[str, Callable[[ShapeModel], Read]] = {
    "blob": lambda _shape: _read_blob,
    "boolean": lambda _shape: _read_boolean,
    "integer": _compile_integer,
    "long": _compile_integer,
    "string": _compile_string,
    "timestamp": lambda _shape: _read_timestamp,
}


def compile_scalar(shape: ShapeModel) -> Read:
    """The reader of a shape that has no parts.

    Raises:
        ValueError: the shape's type is not one that requests have.
    """
    factory = _FACTORIES.get(shape["type"])
    if factory is None:
        raise ValueError(f"the type {shape['type']!r} cannot be read")
    return factory(shape)
