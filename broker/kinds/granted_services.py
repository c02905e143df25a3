"""Finds the services of which a policy allows anything.

A statement that allows some action of a service counts whatever its resources and
conditions are: the question is what an entity could have used at all.
"""

from collections.abc import Iterable

from broker.policy import PolicyDocument
from broker.policy.document import Effect
from broker.policy.wildcard import compile_wildcard, tokenize


def granted_services(
    documents: Iterable[PolicyDocument], services: Iterable[str]
) -> tuple[str, ...]:
    """Those of ``services`` (action prefixes) that a document allows something of."""
    known = tuple(services)
    found: set[str] = set()
    for document in documents:
        for statement in document.statements:
            if statement.effect is not Effect.ALLOW:
                continue
            if statement.not_action:
                found.update(set(known) - _wholly_named(statement.actions, known))
            else:
                for action in statement.actions:
                    found.update(_named(action, known))
    return tuple(service for service in known if service in found)


def _named(action: str, services: Iterable[str]) -> Iterable[str]:
    prefix, colon, _ = action.lower().partition(":")
    if not colon:
        return services if not prefix.strip("*") else ()
    matches = compile_wildcard(tokenize(prefix))
    return (service for service in services if matches(service))


def _wholly_named(actions: Iterable[str], services: Iterable[str]) -> set[str]:
    """Services of which ``NotAction`` leaves nothing."""
    return {
        service
        for action in actions
        if action.endswith(":*") or not action.strip("*")
        for service in _named(action, services)
    }
