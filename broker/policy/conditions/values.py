"""Operators that compare parsed values: numbers, dates, Booleans and bytes.

Dates are the W3C profile of ISO 8601, or epoch seconds, and compared as instants.
"""

import base64
import operator
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, TypeVar

from msgspec import Struct

from broker.policy.variables import Context

ValueTest = Callable[[str, Context], bool]
"""Whether one value of the request satisfies the operator (negation included)."""

T = TypeVar("T")
_NUMBER = re.compile(r"[+-]?[0-9]{1,40}(?:\.[0-9]{1,40})?(?:[eE][+-]?[0-9]{1,3})?")
_PLAIN_DIGITS = 18
Number = int | Decimal
_NO_NUMBER = "is not a number; write one such as 3600 or -0.5"
_DATE = re.compile(
    r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2})"
    r"(?:[Tt]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,9}))?)?"
    r"(Z|z|[+-][0-9]{2}:?[0-9]{2})?)?)?)?"
)
_EPOCH = re.compile(r"[0-9]{5,12}")
_START = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST = 40
_NO_DATE = "is not a date; write one such as 2026-01-31T12:00:00Z"
BOOLEANS = frozenset({"true", "false"})


class OperatorFamily(Struct, frozen=True):
    """One comparison with its negation.

    ``compile`` takes the policy's values, whether the operator is negated and
    whether variables mean something. ``check`` returns what is wrong with a value
    written in a policy, or None.
    """

    compile: Callable[[tuple[str, ...], bool, bool], ValueTest]
    check: Callable[[str], str | None]
    takes_variables: bool = False
    takes_wildcards: bool = False


def accept(_: str) -> None:
    """Every text is a valid value."""
    return


def comparing(
    parse: Callable[[str], T | None], wrong: str, compare: Callable[[Any, Any], bool]
) -> OperatorFamily:
    """A family that compares parsed values; ``wrong`` says what others lack.

    A value of the request that cannot be parsed matches nothing, negated or not.
    """

    def compile_values(
        values: tuple[str, ...],
        negated: bool,  # noqa: FBT001  # the shape of every family
        _: bool,  # noqa: FBT001  # the shape of every family
    ) -> ValueTest:
        parsed = [entry for entry in map(parse, values) if entry is not None]

        def matches(value: str, _: Context) -> bool:
            operand = parse(value)
            if operand is None:
                return False
            return any(compare(operand, entry) for entry in parsed) is not negated

        return matches

    def check(text: str) -> str | None:
        return wrong if parse(text) is None else None

    return OperatorFamily(compile_values, check)


def find_number(text: str) -> Number | None:
    """The number that a text writes; None when it writes none."""
    if len(text) <= _PLAIN_DIGITS and text.isascii() and text.isdigit():
        return int(text)
    return Decimal(text) if _NUMBER.fullmatch(text) else None


NUMERIC_EQUALS = comparing(find_number, _NO_NUMBER, operator.eq)
NUMERIC_LESS_THAN = comparing(find_number, _NO_NUMBER, operator.lt)
NUMERIC_LESS_THAN_EQUALS = comparing(find_number, _NO_NUMBER, operator.le)
NUMERIC_GREATER_THAN = comparing(find_number, _NO_NUMBER, operator.gt)
NUMERIC_GREATER_THAN_EQUALS = comparing(find_number, _NO_NUMBER, operator.ge)


def find_instant(text: str) -> int | None:
    """Microseconds since 1970 of a date; None when the text writes no date.

    Four digits are a year, five and more are epoch seconds. A time without zone is
    UTC.
    """
    if len(text) > _LONGEST:
        return None
    if _EPOCH.fullmatch(text):
        return int(text) * 1_000_000
    match = _DATE.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    try:
        moment = datetime(
            int(year),
            int(month or 1),
            int(day or 1),
            int(hour or 0),
            int(minute or 0),
            int(second or 0),
            int(f"{fraction or 0:0<6}"[:6]),
            tzinfo=_zone(zone),
        )
        return (moment - _START) // timedelta(microseconds=1)
    except (ValueError, OverflowError):
        return None


def _zone(text: str | None) -> timezone:
    if text is None or text in "Zz":
        return UTC
    sign = -1 if text[0] == "-" else 1
    minutes = int(text[1:3]) * 60 + int(text[-2:])
    return timezone(sign * timedelta(minutes=minutes))


DATE_EQUALS = comparing(find_instant, _NO_DATE, operator.eq)
DATE_LESS_THAN = comparing(find_instant, _NO_DATE, operator.lt)
DATE_LESS_THAN_EQUALS = comparing(find_instant, _NO_DATE, operator.le)
DATE_GREATER_THAN = comparing(find_instant, _NO_DATE, operator.gt)
DATE_GREATER_THAN_EQUALS = comparing(find_instant, _NO_DATE, operator.ge)


def describe_boolean_fault(text: str) -> str | None:
    """What is wrong with a Boolean written in a policy."""
    return None if text.lower() in BOOLEANS else 'is neither "true" nor "false"'


def _compile_boolean(values: tuple[str, ...], _negated: bool, _: bool) -> ValueTest:  # noqa: FBT001  # the shape of every family
    # IAM has no negated Bool.
    accepted = BOOLEANS.intersection(value.lower() for value in values)

    def matches(value: str, _: Context) -> bool:
        return value.lower() in accepted

    return matches


BOOL = OperatorFamily(_compile_boolean, describe_boolean_fault)


def find_bytes(text: str) -> bytes | None:
    """The bytes that a text writes in base64; None when it writes none."""
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return None


def _compile_binary(values: tuple[str, ...], _negated: bool, _: bool) -> ValueTest:  # noqa: FBT001  # the shape of every family
    # IAM has no negated BinaryEquals.
    accepted = {entry for entry in map(find_bytes, values) if entry is not None}

    def matches(value: str, _: Context) -> bool:
        decoded = find_bytes(value)
        return decoded is not None and decoded in accepted

    return matches


BINARY_EQUALS = OperatorFamily(
    _compile_binary, lambda text: "is not base64" if find_bytes(text) is None else None
)
