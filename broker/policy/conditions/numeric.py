"""Numeric operators: decimal numbers compared by value."""

import operator
import re
from decimal import Decimal

from broker.policy.conditions.comparison import comparing

_NUMBER = re.compile(r"[+-]?[0-9]{1,40}(?:\.[0-9]{1,40})?(?:[eE][+-]?[0-9]{1,3})?")
_PLAIN_DIGITS = 18

Number = int | Decimal


def find_number(text: str) -> Number | None:
    """The number that a text writes; None when it writes none."""
    if len(text) <= _PLAIN_DIGITS and text.isascii() and text.isdigit():
        return int(text)
    return Decimal(text) if _NUMBER.fullmatch(text) else None


_WRONG = "is not a number; write one such as 3600 or -0.5"

NUMERIC_EQUALS = comparing(find_number, _WRONG, operator.eq)
NUMERIC_LESS_THAN = comparing(find_number, _WRONG, operator.lt)
NUMERIC_LESS_THAN_EQUALS = comparing(find_number, _WRONG, operator.le)
NUMERIC_GREATER_THAN = comparing(find_number, _WRONG, operator.gt)
NUMERIC_GREATER_THAN_EQUALS = comparing(find_number, _WRONG, operator.ge)
