"""Why a request was decided as it was, in words an operator can act on.

Computed on demand: the decision itself does not pay for it. For a denial that no
statement made, the *closest* statement is the Allow that fails latest: at its
conditions rather than its resource, its resource rather than its action.
"""

from collections.abc import Iterator
from enum import IntEnum

from msgspec import Struct

from broker.policy.compiled import CompiledStatement, PolicySet
from broker.policy.decision import Decision, PolicyType, StatementRef
from broker.policy.document import Condition
from broker.policy.evaluate import (
    AccessRequest,
    ApplicablePolicies,
    Check,
    no_check,
)
from broker.policy.principal import PrincipalGrant
from broker.policy.variables import find_variables

_SHOWN_VALUES = 3


class Element(IntEnum):
    """The elements of a statement, in the order in which they are compared.

    Its action comes first; a statement about another one is never close.
    """

    RESOURCE = 1
    PRINCIPAL = 2
    CONDITION = 3


class Closest(Struct, frozen=True):
    """The statement that came closest to allowing, and what it failed on.

    ``failed`` is the element and ``words`` says how, quoting the policy and the
    request. ``conditions`` are all the conditions that do not hold.
    """

    statement: StatementRef
    failed: Element
    words: str
    conditions: tuple[Condition, ...] = ()


class Explanation(Struct, frozen=True):
    """A decision, together with the request it answers and what came closest."""

    request: AccessRequest
    decision: Decision
    closest: Closest | None = None

    def sentence(self) -> str:
        """The decision as one or two full sentences."""
        request = f"{self.request.action} on {self.request.resource}"
        decision = self.decision
        if decision.statements:
            named = " and ".join(str(ref) for ref in decision.statements)
            return f"{_capital(named)} {_verb(decision)} {request}."
        head = f"No {decision.policy_type.value} allows {request}."
        if self.closest is None:
            return f"{head} {_advice(decision.policy_type)}"
        return (
            f"{head} {_capital(str(self.closest.statement))} comes closest, "
            f"but {self.closest.words}."
        )


def explain(
    request: AccessRequest,
    applicable: ApplicablePolicies,
    decision: Decision,
    check: Check = no_check,
) -> Explanation:
    """Say why: for an implicit denial, look for the statement that came closest.

    ``check`` is called between statements; what it raises ends the search.
    """
    if decision.statements:
        return Explanation(request, decision)
    best: Closest | None = None
    best_rank = (0, 0)
    for statement in _allows(request.action, applicable, decision.policy_type):
        closest = _compare(statement, request)
        check()
        if closest is None:
            continue
        rank = (closest.failed.value, -len(closest.conditions))
        if rank > best_rank:
            best, best_rank = closest, rank
    return Explanation(request, decision, best)


def _allows(
    action: str, applicable: ApplicablePolicies, policy_type: PolicyType
) -> Iterator[CompiledStatement]:
    sets: dict[PolicyType, tuple[PolicySet | None, ...]] = {
        PolicyType.IDENTITY: (applicable.identity,),
        PolicyType.RESOURCE: (applicable.resource,),
        PolicyType.TRUST: (applicable.resource,),
        PolicyType.BOUNDARY: (applicable.boundary,),
        PolicyType.SESSION: applicable.session,
        PolicyType.SERVICE_CONTROL: applicable.service_controls,
        PolicyType.RESOURCE_CONTROL: applicable.resource_controls,
    }
    for policies in sets[policy_type]:
        if policies is not None:
            yield from policies.candidates(action).allows


def _compare(statement: CompiledStatement, request: AccessRequest) -> Closest | None:
    """What an Allow fails on first; None when it matches."""
    source = statement.source
    resource = statement.resource
    if resource is not None and not resource(request.resource, request.context):
        named = _listed(source.resources or ())
        words = (
            f"its NotResource {named} leaves {request.resource} out"
            if source.not_resource
            else f"its Resource {named} does not cover {request.resource}"
            + _unfilled(statement, source.resources or (), request)
        )
        return Closest(statement.ref, Element.RESOURCE, words)
    principal = statement.principal
    if (
        principal is not None
        and principal.grant(request.principal) is PrincipalGrant.NONE
    ):
        element = "NotPrincipal" if source.not_principal else "Principal"
        return Closest(
            statement.ref,
            Element.PRINCIPAL,
            f"its {element} does not name {request.principal.arn or 'the caller'}",
        )
    failed = tuple(
        condition
        for condition, holds in zip(
            source.conditions, statement.conditions, strict=True
        )
        if not holds(request.context)
    )
    if not failed:
        return None
    words = " and ".join(
        _condition_words(c, request) + _unfilled(statement, c.values, request)
        for c in failed
    )
    return Closest(statement.ref, Element.CONDITION, words, failed)


def _condition_words(condition: Condition, request: AccessRequest) -> str:
    values = request.context.get(condition.key.lower())
    expected = f"{condition.operator} asks for {condition.key}"
    if condition.values:
        expected = f"{expected} {_listed(condition.values)}"
    if not values:
        return f"{expected} and the request has no {condition.key}"
    return f"{expected} and the request has {_listed(values)}"


def _unfilled(
    statement: CompiledStatement, texts: tuple[str, ...], request: AccessRequest
) -> str:
    """Which variables of the texts have no value in the request, if any."""
    named = find_variables(texts) if statement.variables else ()
    missing = dict.fromkeys(
        f"${{{variable.name}}}"
        for variable in named
        if variable.resolve(request.context) is None
    )
    if not missing:
        return ""
    verb = "has" if len(missing) == 1 else "have"
    return f" ({' and '.join(missing)} {verb} no value)"


def _listed(values: tuple[str, ...]) -> str:
    text = " or ".join(f'"{value[:120]}"' for value in values[:_SHOWN_VALUES])
    more = len(values) - _SHOWN_VALUES
    return f"{text} or {more} more" if more > 0 else text


def _verb(decision: Decision) -> str:
    is_single = len(decision.statements) == 1
    if decision.allowed:
        return "allows" if is_single else "allow"
    return "denies" if is_single else "deny"


def _advice(policy_type: PolicyType) -> str:
    return (
        f"No statement there covers the action; add one to {policy_type.with_article}."
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
