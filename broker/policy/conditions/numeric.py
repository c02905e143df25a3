"""Numeric operators: decimal numbers compared by value."""

import operator
import re
from collections.abc import Callable
from decimal import Decimal

from broker.policy.conditions.value import OperatorFamily, ValueTest
from broker.policy.variables import Context

_NUMBER = re.compile(r"[+-]?[0-9]{1,40}(?:\.[0-9]{1,40})?(?:[eE][+-]?[0-9]{1,3})?")
_PLAIN_DIGITS = 18

Number = int | Decimal
Comparison = Callable[[Number, Number], bool]


def find_number(text: str) -> Number | None:
    """The number that a text writes; None when it writes none."""
    if len(text) <= _PLAIN_DIGITS and text.isascii() and text.isdigit():
        return int(text)
    return Decimal(text) if _NUMBER.fullmatch(text) else None


def _check(text: str) -> str | None:
    if find_number(text) is None:
        return "is not a number; write one such as 3600 or -0.5"
    return None


def _comparing(compare: Comparison) -> OperatorFamily:
    def compile_values(
        values: tuple[str, ...],
        negated: bool,  # noqa: FBT001  # the shape of every family
        _: bool,  # noqa: FBT001  # the shape of every family
    ) -> ValueTest:
        numbers = [n for n in map(find_number, values) if n is not None]

        def matches(value: str, _: Context) -> bool:
            found = find_number(value)
            if found is None:
                return False
            return any(compare(found, number) for number in numbers) is not negated

        return matches

    return OperatorFamily(compile_values, _check)


NUMERIC_EQUALS = _comparing(operator.eq)
NUMERIC_LESS_THAN = _comparing(operator.lt)
NUMERIC_LESS_THAN_EQUALS = _comparing(operator.le)
NUMERIC_GREATER_THAN = _comparing(operator.gt)
NUMERIC_GREATER_THAN_EQUALS = _comparing(operator.ge)
