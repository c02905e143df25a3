"""Breaks a decision down into what each type of policy decides by itself.

The decision is `authorize`'s; this module reports what led to it, in the shape of the
policy simulator's answers.

Source: IAM service model, ``EvaluationResult`` and ``ResourceSpecificResult``.
"""

from collections.abc import Iterator, Mapping
from enum import IntEnum

from msgspec import Struct

from broker.policy.compiled import CompiledStatement, PolicySet
from broker.policy.decision import Decision, PolicyType, StatementRef
from broker.policy.document import Effect
from broker.policy.evaluate import (
    AccessRequest,
    ApplicablePolicies,
    authorize,
    authorize_trust,
    matched_statements,
)
from broker.policy.referenced_keys import missing_keys
from broker.policy.variables import all_resolve, find_variables
from broker.policy.work import count_units

_PASSES = 4
"""Deciding, breaking down, finding missing keys and explaining."""

_ONE_SIMULATION = 200
_ONE_STATEMENT = 100
"""Work besides comparisons; most of it is for a statement's position."""

_SHOWN = (PolicyType.RESOURCE, PolicyType.IDENTITY)
_ByEffect = dict[Effect, list[StatementRef]]


class SimulatedOutcome(IntEnum):
    """The outcome; a greater one is more restrictive."""

    ALLOWED = 0
    IMPLICIT_DENY = 1
    EXPLICIT_DENY = 2


class Simulation(Struct, frozen=True, kw_only=True):
    """The decision, and what each type of policy decides by itself.

    ``matched`` are the identity and resource policies' statements that the outcome
    rests on: the denying ones of an explicit denial, else all that allow. ``missing``
    are the condition keys that those policies use and the request does not have.
    ``verdicts`` has one entry for each type of policy that takes part.
    """

    outcome: SimulatedOutcome
    matched: tuple[StatementRef, ...]
    missing: tuple[str, ...]
    verdicts: Mapping[PolicyType, SimulatedOutcome]


def simulate(
    request: AccessRequest, applicable: ApplicablePolicies, *, trust: bool = False
) -> Simulation:
    """Decide, and break the decision down; ``trust`` is for a role's trust policy."""
    decision = (authorize_trust if trust else authorize)(request, applicable)
    effects = {
        policy_type: [
            _by_effect(request, policies, bounded=applicable.boundary is not None)
            for policies in sets
        ]
        for policy_type, sets in _sets(applicable).items()
    }
    effect = Effect.DENY if decision.explicit_deny else Effect.ALLOW
    matched = [
        ref
        for policy_type in _SHOWN
        for entry in effects.get(policy_type, ())
        for ref in entry[effect]
    ]
    rows = (applicable.identity, applicable.resource)
    missing = {
        key.lower(): key
        for policies in rows
        if policies is not None
        for key in _missing(request, policies)
    }
    return Simulation(
        outcome=_outcome(decision),
        matched=tuple(matched),
        missing=tuple(missing.values()),
        verdicts={
            policy_type: max(map(_verdict, results))
            for policy_type, results in effects.items()
        },
    )


def simulation_work(request: AccessRequest, applicable: ApplicablePolicies) -> int:
    """The units of work that `simulate` and an explanation take at most."""
    candidates = [
        policies.candidates(request.action)
        for sets in _sets(applicable).values()
        for policies in sets
    ]
    statements = [s.work for entry in candidates for s in entry.denies + entry.allows]
    units = count_units(statements, request.resource, request.context)
    return _ONE_SIMULATION + _PASSES * units


def answer_work(simulation: Simulation) -> int:
    """The units of work that reporting the result takes."""
    return _ONE_STATEMENT * len(simulation.matched)


def compiling(action: str, applicable: ApplicablePolicies) -> Iterator[None]:
    """Compile the statements about an action, one a step."""
    for sets in _sets(applicable).values():
        for policies in sets:
            for _ in policies.compiling(action):
                yield


def search_work(action: str, applicable: ApplicablePolicies) -> int:
    """The units of work that it takes to find the statements about an action."""
    return sum(
        policies.candidates(action).search
        for sets in _sets(applicable).values()
        for policies in sets
    )


def _sets(applicable: ApplicablePolicies) -> dict[PolicyType, tuple[PolicySet, ...]]:
    """The policy sets that apply, by type, one for each layer."""
    single = {
        PolicyType.IDENTITY: applicable.identity,
        PolicyType.RESOURCE: applicable.resource,
        PolicyType.BOUNDARY: applicable.boundary,
    }
    results = {kind: (policies,) for kind, policies in single.items() if policies}
    layered = {
        PolicyType.SESSION: applicable.session,
        PolicyType.SERVICE_CONTROL: applicable.service_controls,
        PolicyType.RESOURCE_CONTROL: applicable.resource_controls,
    }
    return {**results, **{kind: sets for kind, sets in layered.items() if sets}}


def _by_effect(
    request: AccessRequest, policies: PolicySet, *, bounded: bool
) -> _ByEffect:
    results: _ByEffect = {Effect.ALLOW: [], Effect.DENY: []}
    effects = {s.ref: s.source.effect for s in _candidates(request, policies)}
    for ref in matched_statements(request, policies, bounded=bounded):
        results[effects[ref]].append(ref)
    return results


def _candidates(
    request: AccessRequest, policies: PolicySet
) -> Iterator[CompiledStatement]:
    candidates = policies.candidates(request.action)
    yield from candidates.denies
    yield from candidates.allows


def _verdict(by_effect: _ByEffect) -> SimulatedOutcome:
    if by_effect[Effect.DENY]:
        return SimulatedOutcome.EXPLICIT_DENY
    return (
        SimulatedOutcome.ALLOWED
        if by_effect[Effect.ALLOW]
        else SimulatedOutcome.IMPLICIT_DENY
    )


def _outcome(decision: Decision) -> SimulatedOutcome:
    if decision.allowed:
        return SimulatedOutcome.ALLOWED
    return (
        SimulatedOutcome.EXPLICIT_DENY
        if decision.explicit_deny
        else SimulatedOutcome.IMPLICIT_DENY
    )


def _missing(request: AccessRequest, policies: PolicySet) -> Iterator[str]:
    for statement in _candidates(request, policies):
        if _may_match(statement, request):
            yield from missing_keys(
                statement.source, request.context, variables=statement.variables
            )


def _may_match(statement: CompiledStatement, request: AccessRequest) -> bool:
    resource = statement.resource
    if resource is None or resource(request.resource, request.context):
        return True
    if not statement.variables:
        return False
    needed = find_variables(statement.source.resources or ())
    return not all_resolve(needed, request.context)
