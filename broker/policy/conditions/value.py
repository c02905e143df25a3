"""The interface of operator families: how values are parsed and compared."""

from collections.abc import Callable
from dataclasses import dataclass

from broker.policy.variables import Context

ValueTest = Callable[[str, Context], bool]
"""Whether one value of the request satisfies the operator (negation included)."""


@dataclass(frozen=True, slots=True)
class OperatorFamily:
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
