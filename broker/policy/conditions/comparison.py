"""Operators that parse values and compare them: numbers and dates."""

from collections.abc import Callable
from typing import Any, TypeVar

from broker.policy.conditions.value import OperatorFamily, ValueTest
from broker.policy.variables import Context

T = TypeVar("T")


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
        parsed = [one for one in map(parse, values) if one is not None]

        def matches(value: str, _: Context) -> bool:
            found = parse(value)
            if found is None:
                return False
            return any(compare(found, one) for one in parsed) is not negated

        return matches

    def check(text: str) -> str | None:
        return wrong if parse(text) is None else None

    return OperatorFamily(compile_values, check)
