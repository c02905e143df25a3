"""``Bool``: true or false, in any case."""

from broker.policy.conditions.value import OperatorFamily, ValueTest
from broker.policy.variables import Context

BOOLEANS = frozenset({"true", "false"})


def check_boolean(text: str) -> str | None:
    """What is wrong with a Boolean written in a policy."""
    return None if text.lower() in BOOLEANS else 'is neither "true" nor "false"'


def _compile(values: tuple[str, ...], _negated: bool, _: bool) -> ValueTest:  # noqa: FBT001  # the shape of every family
    # IAM has no negated Bool.
    accepted = BOOLEANS.intersection(value.lower() for value in values)

    def matches(value: str, _: Context) -> bool:
        return value.lower() in accepted

    return matches


BOOL = OperatorFamily(_compile, check_boolean)
