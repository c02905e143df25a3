"""How much work a decision can take, estimated beforehand.

A *unit of work* is one comparison of a text of ordinary length, or one character of a
pattern with ``?``; it takes about a fifth of a microsecond. Nearly every decision is
far below the bound by its policies alone; for the others the request counts, too.

The bound rests on those that the doors hold requests to: texts are no longer than
`VALUE_CHARACTERS_MAX`, and a request has no more than `VALUES_MAX` of them.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from broker.policy.conditions import parse_operator
from broker.policy.conditions.string import STRING_EQUALS
from broker.policy.document import Condition, Statement
from broker.policy.errors import TooMuchWork

VALUE_CHARACTERS_MAX = 4096
"""Of one value of a condition key. Browsers send no longer Referer."""

VALUES_MAX = 1000
"""Of all condition keys that a request names itself."""

DECISION_WORK_MAX = 50_000
"""Units of one decision: what ten groups full of policies may need, and no more."""

SMALL_WORK = 128
"""Units for one short value of each key, below which no request is too much."""

_FILLING = 16
"""What it takes to fill a pattern's variables in."""

_FILLED = 512
"""What a long value takes that stands between question marks."""

_WORDS = 64
_LETTERS_MAX = 256
_STEP_CHARACTERS = 4096


class StatementWork(NamedTuple):
    """The units that a statement takes for one short text of each kind.

    ``conditions`` has the key in lower case and the units of each.
    """

    resource: int
    conditions: tuple[tuple[str, int], ...]

    @property
    def total(self) -> int:
        """All of them together."""
        return 1 + self.resource + sum(units for _, units in self.conditions)


def statement_work(statement: Statement, *, variables: bool) -> StatementWork:
    """What a statement takes; ``variables`` when its document has policy variables."""
    return StatementWork(
        resource=_patterns(statement.resources or (), variables=variables),
        conditions=tuple(
            (condition.key.lower(), _condition(condition, variables=variables))
            for condition in statement.conditions
        ),
    )


def require_bounded(
    statements: Iterable[StatementWork],
    resource: str,
    context: Mapping[str, tuple[str, ...]],
) -> None:
    """Hold a decision to its bound before it begins.

    Raises:
        TooMuchWork: it could take more than `DECISION_WORK_MAX` units.
    """
    units = count_units(statements, resource, context)
    if units > DECISION_WORK_MAX:
        raise TooMuchWork(units, DECISION_WORK_MAX)


def count_units(
    statements: Iterable[StatementWork],
    resource: str,
    context: Mapping[str, tuple[str, ...]],
) -> int:
    """The units that the statements can take for one request."""
    total = 0
    for work in statements:
        total += 1 + _over(work.resource, resource)
        for key, units in work.conditions:
            for value in context.get(key, ()):
                total += _over(units, value)
    return total


def _over(units: int, text: str) -> int:
    """The units for a text of some length.

    To know where each letter of a pattern stands takes one look at the whole text.
    """
    length = len(text)
    looks = min(units, _LETTERS_MAX) * (length // _WORDS) if units > 1 else 0
    return units * (1 + length // _STEP_CHARACTERS) + looks


def _condition(condition: Condition, *, variables: bool) -> int:
    family = parse_operator(condition.operator).family
    values = condition.values
    if family is None:
        return 1
    if family.takes_wildcards:
        return _patterns(values, variables=variables)
    if family is STRING_EQUALS and not (variables and "${" in "".join(values)):
        return 1
    return len(values)


def _patterns(texts: Iterable[str], *, variables: bool) -> int:
    total = 0
    for text in texts:
        total += len(text) if "?" in text else 1 + text.count("*")
        if variables and "${" in text:
            total += _FILLED if "?" in text else _FILLING
    return total
