"""Answers of the policy simulator: one result per action, containing its resources.

Source: IAM service model (pinned), ``EvaluationResult`` and
``ResourceSpecificResult``; the examples of the API reference.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct, field, structs
from msgspec.structs import replace

from broker.actions.iam.simulated_policies import (
    BOUNDARY_POLICY,
    IAM_POLICY,
    RESOURCE_POLICY,
    Sources,
)
from broker.actions.iam.simulated_request import (
    EVERYTHING,
    SimulatedCaller,
)
from broker.model.arn import Arn
from broker.policy import (
    ApplicablePolicies,
    Explanation,
    PolicySet,
    PolicyType,
    StatementRef,
)
from broker.policy.catalogue import find_resource_template
from broker.policy.simulate import (
    SimulatedOutcome,
    Simulation,
)

Answer = Mapping[str, Any]

_DECISION = {
    SimulatedOutcome.ALLOWED: "allowed",
    SimulatedOutcome.IMPLICIT_DENY: "implicitDeny",
    SimulatedOutcome.EXPLICIT_DENY: "explicitDeny",
}
_DETAILS = {
    PolicyType.IDENTITY: IAM_POLICY,
    PolicyType.RESOURCE: RESOURCE_POLICY,
    PolicyType.BOUNDARY: BOUNDARY_POLICY,
}


class Setting(Struct, frozen=True, kw_only=True):
    """Everything that stays the same while actions and resources change.

    ``held`` are the policies that resources of registered services have, and
    ``held_by`` which of them hold for each resource; they do not count beside a
    ``resource_policy`` of the request.
    """

    identity: Sources
    boundary: Sources
    caller: SimulatedCaller
    context: Mapping[str, tuple[str, ...]]
    resources: tuple[str, ...]
    resource_policy: Sources = field(default_factory=Sources)
    resource_owner: str | None = None
    controls: tuple[PolicySet, ...] = ()
    held: Sources = field(default_factory=Sources)
    held_by: Mapping[str, PolicySet] = {}
    explains: bool = False
    """Whether answers say why, which the API's model has no member for."""

    def applicable(self) -> ApplicablePolicies:
        """The policies, compiled."""
        return ApplicablePolicies(
            identity=self.identity.compile(),
            boundary=self.boundary.compile() if self.boundary.listed else None,
            resource=(
                self.resource_policy.compile() if self.resource_policy.listed else None
            ),
            service_controls=self.controls,
        )

    def owner_of(self, resource: str) -> str | None:
        """The account that owns a resource; None for the caller's own.

        Without a resource policy nothing is known of another account, so only
        ``ResourceOwner`` makes the simulation one across accounts.
        """
        if resource == EVERYTHING:
            return None
        named = Arn.parse(resource).account if self.resource_policy.listed else ""
        owner = named or self.resource_owner
        return None if owner == self.caller.principal.account else owner

    def sentence(self, explanation: Explanation) -> str:
        """Why, with the names that answers give the policies."""
        decision, closest = explanation.decision, explanation.closest
        if closest is not None:
            closest = replace(closest, statement=self._named(closest.statement))
        return Explanation(
            explanation.request,
            structs.replace(
                decision, statements=tuple(map(self._named, decision.statements))
            ),
            closest,
        ).sentence()

    def _named(self, ref: StatementRef) -> StatementRef:
        for sources in (self.identity, self.boundary, self.resource_policy, self.held):
            name = sources.find_name(ref.policy)
            if name is not None:
                return replace(ref, policy=name)
        return ref

    def statements(self, simulation: Simulation) -> list[dict[str, Any]]:
        """``MatchedStatements``."""
        return self.places(simulation.matched)

    def places(self, refs: Iterable[StatementRef]) -> list[dict[str, Any]]:
        """Where statements stand in the policies that answers show."""
        generator = (
            self.resource_policy.find_statement(ref)
            or self.held.find_statement(ref)
            or self.identity.find_statement(ref)
            for ref in refs
        )
        return [statement for statement in generator if statement is not None]


class SimulatedDecision(Struct, frozen=True):
    """One resource's simulation; ``stopped`` by a service control policy."""

    resource: str
    simulation: Simulation
    crosses: bool
    stopped: bool
    sentence: str = ""

    @property
    def outcome(self) -> SimulatedOutcome:
        """What is answered: a control policy that does not allow ends everything."""
        if self.stopped:
            return self.simulation.verdicts[PolicyType.SERVICE_CONTROL]
        return self.simulation.outcome


def action_result(
    setting: Setting, action: str, decided: Sequence[SimulatedDecision]
) -> Answer:
    """``EvaluationResult`` of one action on all resources."""
    outcome = max(decision.outcome for decision in decided)
    resources = [
        decision.resource for decision in decided if decision.resource != EVERYTHING
    ]
    matched: dict[StatementRef, None] = {}
    if outcome is not SimulatedOutcome.IMPLICIT_DENY:
        for decision in decided:
            if decision.outcome is outcome and not decision.stopped:
                matched.update(dict.fromkeys(decision.simulation.matched))
    if len(resources) > 1:
        name = find_resource_template(action, resources)
    else:
        name = resources[0] if resources else None
    result: dict[str, Any] = {
        "EvalActionName": action,
        "EvalResourceName": name or EVERYTHING,
        "EvalDecision": _DECISION[outcome],
        "MatchedStatements": setting.places(matched),
        "MissingContextValues": _missing(decided),
        **_boundary_detail(decided),
    }
    if setting.explains and not resources:
        result["Explanation"] = decided[0].sentence
    if setting.controls:
        allowed = not any(decision.stopped for decision in decided)
        result["OrganizationsDecisionDetail"] = {"AllowedByOrganizations": allowed}
    if resources and not any(decision.stopped for decision in decided):
        result["EvalDecisionDetails"] = _details(
            [decision for decision in decided if decision.crosses]
        )
    if resources:
        result["ResourceSpecificResults"] = [
            _resource_result(setting, decision) for decision in decided
        ]
    return result


def _resource_result(setting: Setting, decision: SimulatedDecision) -> Answer:
    result: dict[str, Any] = {
        "EvalResourceName": decision.resource,
        "EvalResourceDecision": _DECISION[decision.outcome],
        "MatchedStatements": []
        if decision.stopped
        else setting.statements(decision.simulation),
        "MissingContextValues": _missing([decision]),
        **_boundary_detail([decision]),
    }
    if setting.explains:
        result["Explanation"] = decision.sentence
    if decision.crosses and not decision.stopped:
        result["EvalDecisionDetails"] = _details([decision])
    return result


def _boundary_detail(decided: Iterable[SimulatedDecision]) -> Answer:
    verdicts = [
        decision.simulation.verdicts[PolicyType.BOUNDARY]
        for decision in decided
        if PolicyType.BOUNDARY in decision.simulation.verdicts
    ]
    if not verdicts:
        return {}
    allowed = max(verdicts) is SimulatedOutcome.ALLOWED
    return {
        "PermissionsBoundaryDecisionDetail": {"AllowedByPermissionsBoundary": allowed}
    }


def _details(decided: Sequence[SimulatedDecision]) -> dict[str, str]:
    """``EvalDecisionDetails``: the most restrictive verdict of each type of policy."""
    results: dict[str, SimulatedOutcome] = {}
    for decision in decided:
        verdicts = {
            PolicyType.RESOURCE: SimulatedOutcome.IMPLICIT_DENY,
            **decision.simulation.verdicts,
        }
        for policy_type, name in _DETAILS.items():
            if policy_type in verdicts:
                results[name] = max(
                    results.get(name, SimulatedOutcome.ALLOWED), verdicts[policy_type]
                )
    return {name: _DECISION[outcome] for name, outcome in results.items()}


def _missing(decided: Iterable[SimulatedDecision]) -> list[str]:
    keys = {
        key.lower(): key for decision in decided for key in decision.simulation.missing
    }
    return list(keys.values())
