"""What breaks the constraints of an input, gathered; and values held to them."""

from collections.abc import Callable
from enum import StrEnum

from broker.protocols.shapes.constraints import (
    UNBOUNDED,
    Wording,
    compile_matcher,
    size_violation,
    string_violations,
)
from broker.protocols.shapes.model import ShapeModel

VIOLATIONS_MAX = 100
"""Violations that one message lists; the rest is not looked for."""


SHOWN_CHARACTERS = 10_000
"""Of a value in a message."""


MESSAGE_CHARACTERS = 50_000
"""After which no further violation is looked for."""

_INT32 = 1 << 31
_INT64 = 1 << 63


class InputReason(StrEnum):
    """What is wrong; each value is the name of the wire error."""

    INVALID_ACTION = "InvalidAction"
    MALFORMED_INPUT = "MalformedInput"
    MALFORMED_QUERY_STRING = "MalformedQueryString"
    VALIDATION_ERROR = "ValidationError"


class InputRejected(Exception):
    """The request does not say what the operation's model asks for.

    ``message`` is the wire text; None where AWS sends none. It never shows a value
    whose shape is sensitive.
    """

    def __init__(self, reason: InputReason, message: str | None = None) -> None:
        super().__init__(message or reason.value)
        self.reason = reason
        self.message = message


class Violations:
    """What breaks a constraint, as it is found."""

    __slots__ = ("_found", "_length", "_sentence", "wording")

    def __init__(self, wording: Wording) -> None:
        self._found: list[str] = []
        self._length = 0
        self._sentence: str | None = None
        self.wording = wording

    def add(self, text: str, path: str, constraint: str) -> None:
        """Note that the value (``text`` with a leading space) breaks a constraint."""
        if self._sentence is None:
            self._sentence = self.wording.sentence(path, constraint)
        if not self.wording.shows_values:
            text = ""
        self._found.append(
            f"Value{text} at '{path}' failed to satisfy constraint: "
            + self.wording.constraint(constraint)
        )
        self._length += len(self._found[-1])
        if len(self._found) == VIOLATIONS_MAX or self._length > MESSAGE_CHARACTERS:
            self.refuse()

    def refuse(self) -> None:
        """Raise what was found, if anything was; a sentence of its own stands alone."""
        if self._sentence is not None:
            raise InputRejected(InputReason.VALIDATION_ERROR, self._sentence)
        if self._found:
            count = len(self._found)
            raise InputRejected(
                InputReason.VALIDATION_ERROR,
                f"{count} validation error{'s' if count > 1 else ''} detected: "
                + "; ".join(self._found),
            )


StringCheck = Callable[[object, str, Violations], str]
"""Returns the string (the first); the second is its path in messages."""


def compile_string_check(shape: ShapeModel) -> StringCheck:
    """What holds strings to their shape, and gives them back as they are.

    It raises ``InputRejected`` for what is no string (MALFORMED_INPUT).
    """
    matches = compile_matcher(shape)
    shortest = shape.get("min", 0)
    longest = shape.get("max", UNBOUNDED)
    allowed = frozenset(shape["enum"]) if "enum" in shape else None
    sensitive = shape.get("sensitive", False)

    def check(value: object, path: str, violations: Violations) -> str:
        if not isinstance(value, str):
            raise InputRejected(InputReason.MALFORMED_INPUT)
        if (
            shortest <= len(value) <= longest
            and matches(value)
            and (allowed is None or value in allowed)
        ):
            return value
        text = "" if sensitive else f" '{value[:SHOWN_CHARACTERS]}'"
        for violation in string_violations(shape, matches, value):
            violations.add(text, path, violation)
        return value

    return check


IntegerCheck = Callable[[int, str, Violations], int]
"""Returns the integer (the first); the second is its path in messages."""


def compile_integer_check(shape: ShapeModel) -> IntegerCheck:
    """What holds integers to their shape, and gives them back as they are."""
    limit = _INT32 if shape["type"] == "integer" else _INT64

    def check(value: int, path: str, violations: Violations) -> int:
        if not -limit <= value < limit:
            raise InputRejected(InputReason.MALFORMED_INPUT)
        violation = size_violation(shape, value, "value")
        if violation:
            violations.add(f" '{value}'", path, violation)
        return value

    return check
