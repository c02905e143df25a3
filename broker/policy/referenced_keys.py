"""Finds the condition keys that policies refer to, in conditions and variables.

Source: ``GetContextKeysForCustomPolicy`` (IAM service model).
"""

from collections.abc import Iterable, Iterator, Mapping

from broker.policy.document import PolicyDocument, Statement
from broker.policy.variables import find_variables


def context_keys(documents: Iterable[PolicyDocument]) -> tuple[str, ...]:
    """The keys as first written and in that order, each once regardless of case."""
    results: dict[str, str] = {}
    for document in documents:
        for statement in document.statements:
            for key in _keys(statement, variables=document.has_variables):
                results.setdefault(key.lower(), key)
    return tuple(results.values())


def missing_keys(
    statement: Statement, context: Mapping[str, tuple[str, ...]], *, variables: bool
) -> Iterator[str]:
    """The keys that a statement uses and a request does not have.

    A variable with a default needs no key.
    """
    for key in _keys(statement, variables=variables, defaults=False):
        if not context.get(key.lower()):
            yield key


def _keys(
    statement: Statement, *, variables: bool, defaults: bool = True
) -> Iterator[str]:
    def named(texts: Iterable[str]) -> Iterator[str]:
        if variables:
            for variable in find_variables(texts):
                if defaults or variable.default is None:
                    yield variable.name

    yield from named(statement.resources or ())
    for condition in statement.conditions:
        yield condition.key
        yield from named(condition.values)
