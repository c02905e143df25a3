"""ARN operators; ``ArnEquals`` and ``ArnLike`` are the same.

A pattern with an unresolved variable matches no ARN, so the negated operators match
(IAM User Guide, "Policy variables with no value").
"""

from broker.policy.arn_pattern import compile_arn_patterns
from broker.policy.conditions.value import OperatorFamily, ValueTest, accept
from broker.policy.variables import Context

_COLONS = 5


def _like(values: tuple[str, ...], negated: bool, variables: bool) -> ValueTest:  # noqa: FBT001  # the shape of every family
    test = compile_arn_patterns(values, variables=variables)

    def matches(value: str, context: Context) -> bool:
        if not value.startswith("arn:") or value.count(":") < _COLONS:
            return False
        return test(value, context) is not negated

    return matches


ARN_LIKE = OperatorFamily(_like, accept, takes_variables=True, takes_wildcards=True)
