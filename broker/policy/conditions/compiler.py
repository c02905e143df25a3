"""Compiles a condition (operator, key, values) into a function of the request context.

For absent keys and several values see POL-06 to POL-08 in tests/decisions/README.md.
The operators and their modifiers are one table.

Source: IAM User Guide, "Condition operators" and "Set operators".
"""

from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from types import MappingProxyType

from msgspec import Struct
from msgspec.structs import replace

from broker.policy.conditions.ip_address import IP_ADDRESS
from broker.policy.conditions.string import (
    ARN_LIKE,
    STRING_EQUALS,
    STRING_EQUALS_IGNORE_CASE,
    STRING_LIKE,
)
from broker.policy.conditions.values import (
    BINARY_EQUALS,
    BOOL,
    BOOLEANS,
    DATE_EQUALS,
    DATE_GREATER_THAN,
    DATE_GREATER_THAN_EQUALS,
    DATE_LESS_THAN,
    DATE_LESS_THAN_EQUALS,
    NUMERIC_EQUALS,
    NUMERIC_GREATER_THAN,
    NUMERIC_GREATER_THAN_EQUALS,
    NUMERIC_LESS_THAN,
    NUMERIC_LESS_THAN_EQUALS,
    OperatorFamily,
    ValueTest,
)
from broker.policy.variables import Context

OPERATORS: Mapping[str, tuple[OperatorFamily, bool]] = MappingProxyType(
    {
        "StringEquals": (STRING_EQUALS, False),
        "StringNotEquals": (STRING_EQUALS, True),
        "StringEqualsIgnoreCase": (STRING_EQUALS_IGNORE_CASE, False),
        "StringNotEqualsIgnoreCase": (STRING_EQUALS_IGNORE_CASE, True),
        "StringLike": (STRING_LIKE, False),
        "StringNotLike": (STRING_LIKE, True),
        "NumericEquals": (NUMERIC_EQUALS, False),
        "NumericNotEquals": (NUMERIC_EQUALS, True),
        "NumericLessThan": (NUMERIC_LESS_THAN, False),
        "NumericLessThanEquals": (NUMERIC_LESS_THAN_EQUALS, False),
        "NumericGreaterThan": (NUMERIC_GREATER_THAN, False),
        "NumericGreaterThanEquals": (NUMERIC_GREATER_THAN_EQUALS, False),
        "DateEquals": (DATE_EQUALS, False),
        "DateNotEquals": (DATE_EQUALS, True),
        "DateLessThan": (DATE_LESS_THAN, False),
        "DateLessThanEquals": (DATE_LESS_THAN_EQUALS, False),
        "DateGreaterThan": (DATE_GREATER_THAN, False),
        "DateGreaterThanEquals": (DATE_GREATER_THAN_EQUALS, False),
        "Bool": (BOOL, False),
        "BinaryEquals": (BINARY_EQUALS, False),
        "IpAddress": (IP_ADDRESS, False),
        "NotIpAddress": (IP_ADDRESS, True),
        "ArnEquals": (ARN_LIKE, False),
        "ArnLike": (ARN_LIKE, False),
        "ArnNotEquals": (ARN_LIKE, True),
        "ArnNotLike": (ARN_LIKE, True),
    }
)
"""Family and negation by name, without ``Null``, which tests for presence."""

NULL = "Null"
_IF_EXISTS = "IfExists"
ConditionTest = Callable[[Context], bool]


class Quantifier(StrEnum):
    """How an operator treats a key with several values."""

    NONE = ""
    ANY_VALUE = "ForAnyValue"
    ALL_VALUES = "ForAllValues"


class Operator(Struct, frozen=True):
    """A parsed operator; ``family`` is None for ``Null``."""

    name: str
    family: OperatorFamily | None
    negated: bool = False
    quantifier: Quantifier = Quantifier.NONE
    if_exists: bool = False

    @property
    def wants_every_value(self) -> bool:
        """Whether all of a key's values must satisfy it, or else one of them.

        Without a quantifier, a negated operator is NOR: none of the request's values
        equals any of the policy's.
        """
        return self.quantifier is Quantifier.ALL_VALUES or (
            self.negated and self.quantifier is Quantifier.NONE
        )

    @property
    def accepts_absence(self) -> bool:
        """Whether it holds when the request does not have the key."""
        return self.wants_every_value or self.if_exists


def parse_operator(text: str) -> Operator:
    """Read an operator with its modifiers, exactly as IAM spells them.

    Raises:
        ValueError: there is no such operator; the text says what to write.
    """
    operator = _PARSED.get(text)
    if operator is not None:
        return operator
    prefix, colon, name = text.partition(":")
    if not colon:
        raise ValueError(_suggestion(text))
    if prefix not in {Quantifier.ANY_VALUE, Quantifier.ALL_VALUES}:
        raise ValueError("only ForAnyValue: and ForAllValues: stand before an operator")
    raise ValueError(_suggestion(name))


def _suggestion(name: str) -> str:
    if name == NULL + _IF_EXISTS:
        return "Null takes no IfExists; write Null"
    lowered = name.lower()
    for known in (*OPERATORS, NULL):
        if known.lower() == lowered:
            return f"there is no such operator; write {known}"
    return "there is no such operator; write one such as StringEquals"


def _all_operators() -> Iterator[tuple[str, Operator]]:
    for quantifier in Quantifier:
        prefix = f"{quantifier.value}:" if quantifier.value else ""
        yield f"{prefix}{NULL}", Operator(NULL, None, quantifier=quantifier)
        for name, (family, negated) in OPERATORS.items():
            plain = Operator(name, family, negated, quantifier)
            yield f"{prefix}{name}", plain
            yield f"{prefix}{name}{_IF_EXISTS}", replace(plain, if_exists=True)


_PARSED = dict(_all_operators())


def compile_condition(
    operator_text: str, key: str, values: tuple[str, ...], *, variables: bool
) -> ConditionTest:
    """A function deciding whether a request's context satisfies the condition.

    Raises:
        ValueError: there is no such operator (a parsed document has none such).
    """
    operator = parse_operator(operator_text)
    name = key.lower()
    if operator.family is None:
        return _null(name, values)
    if _is_plain_equality(operator, values, variables=variables):
        return _plain_equality(name, frozenset(values), if_exists=operator.if_exists)
    test = operator.family.compile(values, operator.negated, variables)
    quantified = _all_values if operator.wants_every_value else _any_value
    return quantified(name, test, absent=operator.accepts_absence)


def _any_value(name: str, test: ValueTest, *, absent: bool) -> ConditionTest:
    def holds(context: Context) -> bool:
        values = context.get(name)
        if not values:
            return absent
        if len(values) == 1:
            return test(values[0], context)
        return any(test(value, context) for value in values)

    return holds


def _all_values(name: str, test: ValueTest, *, absent: bool) -> ConditionTest:
    def holds(context: Context) -> bool:
        values = context.get(name)
        if not values:
            return absent
        if len(values) == 1:
            return test(values[0], context)
        return all(test(value, context) for value in values)

    return holds


def accepted_presence(values: tuple[str, ...]) -> frozenset[str]:
    """What ``Null`` accepts: ``true`` for an absent key, ``false`` for one that is there."""
    return BOOLEANS.intersection(value.lower() for value in values)


def _null(name: str, values: tuple[str, ...]) -> ConditionTest:
    accepted = accepted_presence(values)

    def holds(context: Context) -> bool:
        return ("false" if context.get(name) else "true") in accepted

    return holds


def _is_plain_equality(
    operator: Operator, values: tuple[str, ...], *, variables: bool
) -> bool:
    return (
        operator.family is STRING_EQUALS
        and not operator.negated
        and not operator.wants_every_value
        and not (variables and any("${" in value for value in values))
    )


def _plain_equality(
    name: str, accepted: frozenset[str], *, if_exists: bool
) -> ConditionTest:
    """Plain equality, by far the most frequent condition, in one look-up."""

    def holds(context: Context) -> bool:
        values = context.get(name)
        if not values:
            return if_exists
        return not accepted.isdisjoint(values)

    return holds
