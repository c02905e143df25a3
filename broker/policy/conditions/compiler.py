"""Compiles a condition (operator, key, values) into a function of the request context.

For absent keys and several values see POL-06 to POL-08 in tests/decisions/README.md.
"""

from collections.abc import Callable

from broker.policy.conditions.operator import Operator, Quantifier, parse_operator
from broker.policy.conditions.string import STRING_EQUALS
from broker.policy.conditions.values import BOOLEANS, ValueTest
from broker.policy.variables import Context

ConditionTest = Callable[[Context], bool]


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
    if operator.quantifier is Quantifier.ANY_VALUE:
        return _any_value(name, test, absent=operator.if_exists)
    if operator.quantifier is Quantifier.ALL_VALUES:
        return _all_values(name, test, absent=True)
    if operator.negated:
        # NOR: none of the request's values equals any of the policy's.
        return _all_values(name, test, absent=True)
    return _any_value(name, test, absent=operator.if_exists)


def _any_value(name: str, test: ValueTest, *, absent: bool) -> ConditionTest:
    def holds(context: Context) -> bool:
        results = context.get(name)
        if not results:
            return absent
        if len(results) == 1:
            return test(results[0], context)
        return any(test(value, context) for value in results)

    return holds


def _all_values(name: str, test: ValueTest, *, absent: bool) -> ConditionTest:
    def holds(context: Context) -> bool:
        results = context.get(name)
        if not results:
            return absent
        if len(results) == 1:
            return test(results[0], context)
        return all(test(value, context) for value in results)

    return holds


def _null(name: str, values: tuple[str, ...]) -> ConditionTest:
    accepted = BOOLEANS.intersection(value.lower() for value in values)

    def holds(context: Context) -> bool:
        return ("false" if context.get(name) else "true") in accepted

    return holds


def _is_plain_equality(
    operator: Operator, values: tuple[str, ...], *, variables: bool
) -> bool:
    return (
        operator.family is STRING_EQUALS
        and not operator.negated
        and operator.quantifier is not Quantifier.ALL_VALUES
        and not (variables and any("${" in value for value in values))
    )


def _plain_equality(
    name: str, accepted: frozenset[str], *, if_exists: bool
) -> ConditionTest:
    """Plain equality, by far the most frequent condition, in one look-up."""

    def holds(context: Context) -> bool:
        results = context.get(name)
        if not results:
            return if_exists
        return not accepted.isdisjoint(results)

    return holds
