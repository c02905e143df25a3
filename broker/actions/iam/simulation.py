"""The policy simulator: what policies would allow, without doing anything.

``SimulateCustomPolicy``, ``SimulatePrincipalPolicy``, ``GetContextKeysForCustomPolicy``
and ``GetContextKeysForPrincipalPolicy``. One result an action; the decisions about
single resources are inside of it.

Source: IAM service model (pinned), API reference.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from broker.actions.action import Call, Given
from broker.actions.iam import targets as on
from broker.actions.iam.declare import On, read
from broker.actions.iam.paging import cut, page_request, truncation
from broker.actions.iam.policy_exclusions import Exclusions
from broker.actions.iam.simulated_policies import (
    BOUNDARY_POLICY,
    IAM_POLICY,
    RESOURCE_POLICY,
    Source,
    Sources,
    boundary_policies,
    check_size,
    check_work,
    owned_policies,
    read_levels,
    read_policies,
    read_policy,
    service_controls,
)
from broker.actions.iam.simulated_request import (
    EVERYTHING,
    SimulatedCaller,
    nobody,
    parse_entity_arn,
    read_actions,
    read_context,
    read_owner,
    read_resources,
    require_owner,
    simulated_caller,
)
from broker.catalogue import find_resource_template
from broker.errors import InvalidInput
from broker.model.arn import Arn
from broker.model.page import Page, PageRequest
from broker.policy import (
    AccessRequest,
    Applicable,
    PolicyKind,
    PolicySet,
    PolicyType,
    context_keys,
)
from broker.policy.simulate import Outcome, Simulation, simulate

Answer = Mapping[str, Any]

_PAGE_DECISIONS = 1000
"""A page is no longer than so many decisions; IAM may answer less than asked, too."""

_TURN_SECONDS = 0.005
"""The time after which others have their turn."""

_DECISION = {
    Outcome.ALLOWED: "allowed",
    Outcome.IMPLICIT_DENY: "implicitDeny",
    Outcome.EXPLICIT_DENY: "explicitDeny",
}
_DETAILS = {
    PolicyType.IDENTITY: IAM_POLICY,
    PolicyType.RESOURCE: RESOURCE_POLICY,
    PolicyType.BOUNDARY: BOUNDARY_POLICY,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Setting:
    """Everything that stays the same while actions and resources change."""

    identity: Sources
    boundary: Sources
    caller: SimulatedCaller
    context: Mapping[str, tuple[str, ...]]
    resources: tuple[str, ...]
    resource_policy: Sources = field(default_factory=Sources)
    resource_owner: str | None = None
    controls: tuple[PolicySet, ...] = ()

    def applicable(self) -> Applicable:
        """The policies, compiled."""
        return Applicable(
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

    def statements(self, simulation: Simulation) -> list[dict[str, Any]]:
        """``MatchedStatements``."""
        found = (
            self.resource_policy.find_statement(ref)
            or self.identity.find_statement(ref)
            for ref in simulation.matched
        )
        return [statement for statement in found if statement is not None]


async def _simulate_custom(given: Given, call: Call) -> Answer:
    arn: str | None = given.get("CallerArn")
    if arn is None and "ResourcePolicy" in given:
        raise InvalidInput("CallerArn is required if you include a ResourcePolicy.")
    caller = nobody(call.account) if arn is None else await simulated_caller(call, arn)
    setting = await _setting(
        given,
        caller,
        identity=Sources(await _input_policies(given)),
        boundary=Sources(),
        controls=await read_levels(given.get("OrderedOrganizationPolicyInputList", ())),
    )
    return await _answer(given, setting)


async def _simulate_principal(given: Given, call: Call) -> Answer:
    source = parse_entity_arn(given["PolicySourceArn"], call.account)
    exclusions = Exclusions.read(given.get("PolicyExclusionList", ()))
    owner = await require_owner(call, source)
    setting = await _setting(
        given,
        await simulated_caller(call, given.get("CallerArn", source.text)),
        identity=Sources(
            [
                *await owned_policies(call, owner, exclusions),
                *await _input_policies(given),
            ]
        ),
        boundary=Sources(await boundary_policies(call, owner, exclusions)),
        controls=await service_controls(call, exclusions),
    )
    return await _answer(given, setting)


async def _custom_context_keys(given: Given, _call: Call) -> Answer:
    sources = await _input_policies(given)
    return {"ContextKeyNames": list(context_keys(s.document for s in sources))}


async def _principal_context_keys(given: Given, call: Call) -> Answer:
    source = parse_entity_arn(given["PolicySourceArn"], call.account)
    owner = await require_owner(call, source)
    sources = [
        *await owned_policies(call, owner, Exclusions()),
        *await _input_policies(given),
    ]
    return {"ContextKeyNames": list(context_keys(s.document for s in sources))}


async def _input_policies(given: Given) -> list[Source]:
    check_size(given)
    return await read_policies(
        given.get("PolicyInputList", ()), PolicyKind.IDENTITY, "PolicyInputList"
    )


async def _setting(
    given: Given,
    caller: SimulatedCaller,
    *,
    identity: Sources,
    boundary: Sources,
    controls: tuple[PolicySet, ...],
) -> _Setting:
    """Raises ``InvalidInput`` for what does not go together."""
    name = "PermissionsBoundaryPolicyInputList"
    boundaries = given.get(name, ())
    if len(boundaries) > 1:
        raise InvalidInput(f"{name} can have one member only.")
    if boundaries:
        boundary = Sources(
            await read_policies(boundaries, PolicyKind.BOUNDARY, name, BOUNDARY_POLICY)
        )
    resource_policy = Sources()
    text: str | None = given.get("ResourcePolicy")
    if text is not None:
        if caller.is_role or not caller.principal.username:
            raise InvalidInput(
                "Simulation of resource-based policies is supported for IAM users only;"
                " name one with CallerArn."
            )
        resource_policy.listed.append(
            read_policy(text, PolicyKind.RESOURCE, "ResourcePolicy", RESOURCE_POLICY)
        )
    setting = _Setting(
        identity=identity,
        boundary=boundary,
        caller=caller,
        context={**caller.context, **read_context(given.get("ContextEntries", ()))},
        resources=read_resources(given),
        resource_policy=resource_policy,
        resource_owner=read_owner(given),
        controls=controls,
    )
    listed = (*identity.listed, *boundary.listed, *resource_policy.listed)
    check_work(sum(len(one.text) for one in listed), len(setting.resources))
    return setting


async def _answer(given: Given, setting: _Setting) -> Answer:
    wanted = page_request(given)
    limit = max(1, min(wanted.limit, _PAGE_DECISIONS // len(setting.resources)))
    numbered = [f"{n:06d}{name}" for n, name in enumerate(read_actions(given))]
    page: Page[str] = cut(numbered, str, PageRequest(wanted.marker, limit))
    applicable = setting.applicable()
    turns = _Turns()
    await _compile_statements(applicable, turns)
    results = []
    for item in page.items:
        action = item[6:]
        decided = []
        for resource in setting.resources:
            await turns.give()
            decided.append(_decide(setting, applicable, action, resource))
        results.append(_result(setting, action, decided))
    return {"EvaluationResults": results, **truncation(page)}


class _Turns:
    """Lets others have their turn when a request takes long."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ends = 0.0

    async def give(self) -> None:
        """Pause, if this request's turn is over."""
        if self._loop.time() > self._ends:
            await asyncio.sleep(0)
            self._ends = self._loop.time() + _TURN_SECONDS


async def _compile_statements(applicable: Applicable, turns: _Turns) -> None:
    """Bit by bit what the first decision would otherwise do at once."""
    single = (applicable.identity, applicable.boundary, applicable.resource)
    for policies in (*single, *applicable.service_controls):
        if policies is not None:
            for _ in policies.statements():
                await turns.give()


@dataclass(frozen=True, slots=True)
class _Decided:
    """One resource's simulation; ``stopped`` by a service control policy."""

    resource: str
    simulation: Simulation
    crosses: bool
    stopped: bool

    @property
    def outcome(self) -> Outcome:
        """What is answered: a control policy that does not allow ends everything."""
        if self.stopped:
            return self.simulation.verdicts[PolicyType.SERVICE_CONTROL]
        return self.simulation.outcome


def _decide(
    setting: _Setting, applicable: Applicable, action: str, resource: str
) -> _Decided:
    owner = setting.owner_of(resource)
    simulation = simulate(
        AccessRequest(
            action=action,
            resource=resource,
            principal=setting.caller.principal,
            context=setting.context,
        ),
        replace(applicable, resource_account=owner),
        trust=(
            action.lower().startswith("sts:assumerole")
            and applicable.resource is not None
        ),
    )
    controls = simulation.verdicts.get(PolicyType.SERVICE_CONTROL, Outcome.ALLOWED)
    return _Decided(
        resource, simulation, owner is not None, controls is not Outcome.ALLOWED
    )


def _result(setting: _Setting, action: str, decided: Sequence[_Decided]) -> Answer:
    outcome = max(one.outcome for one in decided)
    resources = [one.resource for one in decided if one.resource != EVERYTHING]
    matched: list[dict[str, Any]] = []
    if outcome is not Outcome.IMPLICIT_DENY:
        for one in decided:
            if one.outcome is outcome and not one.stopped:
                matched += setting.statements(one.simulation)
    template = find_resource_template(action, resources) if resources else None
    result: dict[str, Any] = {
        "EvalActionName": action,
        "EvalResourceName": template or EVERYTHING,
        "EvalDecision": _DECISION[outcome],
        "MatchedStatements": _once(matched),
        "MissingContextValues": _missing(decided),
        **_boundary_detail(decided),
    }
    if setting.controls:
        allowed = not any(one.stopped for one in decided)
        result["OrganizationsDecisionDetail"] = {"AllowedByOrganizations": allowed}
    if resources and not any(one.stopped for one in decided):
        result["EvalDecisionDetails"] = _details(
            [one for one in decided if one.crosses]
        )
    if resources:
        result["ResourceSpecificResults"] = [
            _resource_result(setting, one) for one in decided
        ]
    return result


def _resource_result(setting: _Setting, one: _Decided) -> Answer:
    result: dict[str, Any] = {
        "EvalResourceName": one.resource,
        "EvalResourceDecision": _DECISION[one.outcome],
        "MatchedStatements": [] if one.stopped else setting.statements(one.simulation),
        "MissingContextValues": _missing([one]),
        **_boundary_detail([one]),
    }
    if one.crosses and not one.stopped:
        result["EvalDecisionDetails"] = _details([one])
    return result


def _boundary_detail(decided: Iterable[_Decided]) -> Answer:
    verdicts = [
        one.simulation.verdicts[PolicyType.BOUNDARY]
        for one in decided
        if PolicyType.BOUNDARY in one.simulation.verdicts
    ]
    if not verdicts:
        return {}
    allowed = max(verdicts) is Outcome.ALLOWED
    return {
        "PermissionsBoundaryDecisionDetail": {"AllowedByPermissionsBoundary": allowed}
    }


def _details(decided: Sequence[_Decided]) -> dict[str, str]:
    """``EvalDecisionDetails``: the most restrictive verdict of each type of policy."""
    found: dict[str, Outcome] = {}
    for one in decided:
        verdicts = {
            PolicyType.RESOURCE: Outcome.IMPLICIT_DENY,
            **one.simulation.verdicts,
        }
        for policy_type, name in _DETAILS.items():
            if policy_type in verdicts:
                found[name] = max(
                    found.get(name, Outcome.ALLOWED), verdicts[policy_type]
                )
    return {name: _DECISION[outcome] for name, outcome in found.items()}


def _missing(decided: Iterable[_Decided]) -> list[str]:
    keys = {key.lower(): key for one in decided for key in one.simulation.missing}
    return list(keys.values())


def _once(statements: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for statement in statements:
        if statement not in found:
            found.append(statement)
    return found


async def _policy_source(given: Given, call: Call) -> On:
    """The user, role or group ``PolicySourceArn``."""
    arn = given["PolicySourceArn"]
    try:
        entity = parse_entity_arn(arn, call.account)
    except InvalidInput:
        return On(arn)
    if entity.account != call.account:
        return On(arn)
    if entity.kind == "group":
        return await on.group({"GroupName": entity.name}, call)
    if entity.kind == "user":
        return await on.user({"UserName": entity.name}, call)
    return await on.role({"RoleName": entity.name}, call)


SIMULATION = (
    read("SimulateCustomPolicy", _simulate_custom, on.account),
    read("SimulatePrincipalPolicy", _simulate_principal, _policy_source),
    read("GetContextKeysForCustomPolicy", _custom_context_keys, on.account),
    read("GetContextKeysForPrincipalPolicy", _principal_context_keys, _policy_source),
)
