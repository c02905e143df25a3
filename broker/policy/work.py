"""Estimates how much work a decision can take, before it is made.

A *unit of work* is one comparison of a text of ordinary length, or one character of a
pattern with ``?``; it takes about a fifth of a microsecond. For nearly every decision
the policies alone are far below the bound; otherwise the request is taken into account
as well.

It relies on the limits that the entry points enforce: texts are no longer than
`VALUE_CHARACTERS_MAX`, and a request has no more than `VALUES_MAX` of them.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from broker.policy.conditions import parse_operator
from broker.policy.conditions.string import STRING_EQUALS
from broker.policy.document import Condition, Statement
from broker.policy.errors import TooMuchWork

VALUE_CHARACTERS_MAX = 4096
"""For one value of a condition key. Browsers send no longer Referer."""

VALUES_MAX = 1000
"""For all condition keys that a request provides."""

DECISION_WORK_MAX = 50_000
"""Units of one decision: as many as ten groups full of policies may need."""

SMALL_WORK = 128
"""Units for one short value of each key, below which no request exceeds the bound."""

_FILLING = 16
"""The cost of substituting a pattern's variables."""

_FILLED = 512
"""The cost of a long value between question marks."""

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
        """The total."""
        return 1 + self.resource + sum(units for _, units in self.conditions)


def statement_work(statement: Statement, *, variables: bool) -> StatementWork:
    """The units of a statement; ``variables`` if its document has policy variables."""
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
) -> int:
    """The units of a decision before it is made, held to its bound.

    Raises:
        TooMuchWork: it could take more than `DECISION_WORK_MAX` units.
    """
    units = count_units(statements, resource, context)
    if units > DECISION_WORK_MAX:
        raise TooMuchWork(units, DECISION_WORK_MAX)
    return units


def count_units(
    statements: Iterable[StatementWork],
    resource: str,
    context: Mapping[str, tuple[str, ...]],
) -> int:
    """The units that the statements can take for one request.

    Counting takes a look at each statement and at each value, not at both together.
    """
    total = 0
    asked: dict[str, _Asked] = {}
    resources = _Asked()
    for work in statements:
        total += 1
        resources.add(work.resource)
        for key, units in work.conditions:
            if key in context:
                asked.setdefault(key, _Asked()).add(units)
    total += resources.over(resource)
    for key, comparisons in asked.items():
        total += sum(map(comparisons.over, context[key]))
    return total


class _Asked:
    """What the statements compare with the same texts, in units for a short one."""

    __slots__ = ("_looks", "_units")

    def __init__(self) -> None:
        self._units = self._looks = 0

    def add(self, units: int) -> None:
        """Count one more comparison."""
        self._units += units
        if units > 1:
            self._looks += min(units, _LETTERS_MAX)

    def over(self, text: str) -> int:
        """The units of all for a text of some length.

        Finding the positions of each letter of a pattern takes one pass over the text.
        """
        length = len(text)
        passes = self._looks * (length // _WORDS)
        return self._units * (1 + length // _STEP_CHARACTERS) + passes


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
