"""Which condition keys policies mention: in conditions and in variables.

Source: ``GetContextKeysForCustomPolicy`` (IAM service model).
"""

from collections.abc import Iterable, Iterator

from broker.policy.document import PolicyDocument, Statement
from broker.policy.variables import find_variables


def context_keys(documents: Iterable[PolicyDocument]) -> tuple[str, ...]:
    """The keys as first written, sorted, each once whatever its case."""
    found: dict[str, str] = {}
    for document in documents:
        for statement in document.statements:
            for key in _keys(statement, variables=document.has_variables):
                found.setdefault(key.lower(), key)
    return tuple(found[key] for key in sorted(found))


def _keys(statement: Statement, *, variables: bool) -> Iterator[str]:
    texts = list(statement.resources or ())
    for condition in statement.conditions:
        yield condition.key
        texts += condition.values
    if variables:
        yield from (variable.name for variable in find_variables(texts))
