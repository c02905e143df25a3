"""The policy simulator: what policies would allow, without doing anything.

``SimulateCustomPolicy``, ``SimulatePrincipalPolicy``, ``GetContextKeysForCustomPolicy``
and ``GetContextKeysForPrincipalPolicy``. Each action has one result, which contains the
decisions about its resources.

Source: IAM service model (pinned), API reference.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from msgspec import structs

from broker.actions.action import Call
from broker.actions.iam import targets as on
from broker.actions.iam.declare import ActionTarget, Target, read
from broker.actions.iam.paging import cut, page_request, truncation
from broker.actions.iam.policy_exclusions import Exclusions
from broker.actions.iam.simulated_policies import (
    BOUNDARY_POLICY,
    RESOURCE_POLICY,
    HeldPolicies,
    Source,
    Sources,
    boundary_policies,
    check_size,
    held_policies,
    owned_policies,
    read_levels,
    read_policies,
    read_policy,
    service_controls,
)
from broker.actions.iam.simulated_request import (
    SimulatedCaller,
    parse_entity_arn,
    read_actions,
    read_context,
    read_owner,
    read_resources,
    require_owner,
    simulated_caller,
    unknown_caller,
)
from broker.actions.iam.simulated_results import (
    Setting,
    SimulatedDecision,
    action_result,
)
from broker.errors import InvalidInput
from broker.model.page import Page, PageRequest
from broker.model.request import Door, Given
from broker.policy import (
    AccessRequest,
    ApplicablePolicies,
    PolicyKind,
    PolicySet,
    PolicyType,
    TooMuchWork,
    authorize,
    authorize_trust,
    context_keys,
    explain,
)
from broker.policy.simulate import (
    SimulatedOutcome,
    answer_work,
    search_work,
    simulate,
    simulation_work,
)
from broker.runtime.offload import offload

Answer = Mapping[str, Any]

_PAGE_DECISIONS = 1000
"""A page is no longer than so many decisions; IAM may answer less than asked, too."""

_CALLS = 10
"""What a simulation counts for in the rate limit: it can take half a second."""

WORK_MAX = 2_000_000
"""Units of work (`broker.policy.work`) of one request: about half a second."""


async def _simulate_custom(given: Given, call: Call) -> Answer:
    arn: str | None = given.get("CallerArn")
    if arn is None and "ResourcePolicy" in given:
        raise InvalidInput("CallerArn is required if you include a ResourcePolicy.")
    caller = (
        unknown_caller(call.account)
        if arn is None
        else await simulated_caller(call, arn)
    )
    return await _simulate(
        call, given, lambda: _setting(given, caller, call.request.door)
    )


async def _simulate_principal(given: Given, call: Call) -> Answer:
    source = parse_entity_arn(given["PolicySourceArn"], call.account)
    exclusions = Exclusions.read(given.get("PolicyExclusionList", ()))
    owner = await require_owner(call, source)
    caller = await simulated_caller(call, given.get("CallerArn", source.text))
    stored = _StoredPolicies(
        identity=await owned_policies(call, owner, exclusions),
        boundary=await boundary_policies(call, owner, exclusions),
        controls=await service_controls(call, exclusions),
        held=(
            await held_policies(call, read_resources(given))
            if "ResourcePolicy" not in given
            else HeldPolicies()
        ),
    )
    return await _simulate(
        call, given, lambda: _setting(given, caller, call.request.door, stored)
    )


async def _simulate(
    call: Call, given: Given, make_setting: Callable[[], Setting]
) -> Answer:
    """The answer, once its work is counted."""
    plan = await offload(lambda: _plan(given, make_setting()))
    await call.charge(WORK_MAX - plan.budget.left)
    return await offload(plan.answer)


async def _custom_context_keys(given: Given, _call: Call) -> Answer:
    return await offload(lambda: _context_keys(_input_policies(given)))


async def _principal_context_keys(given: Given, call: Call) -> Answer:
    source = parse_entity_arn(given["PolicySourceArn"], call.account)
    owner = await require_owner(call, source)
    owned = await owned_policies(call, owner, Exclusions())
    return await offload(lambda: _context_keys([*owned, *_input_policies(given)]))


def _context_keys(sources: Iterable[Source]) -> Answer:
    return {"ContextKeyNames": list(context_keys(s.document for s in sources))}


def _input_policies(given: Given) -> list[Source]:
    check_size(given)
    return read_policies(
        given.get("PolicyInputList", ()), PolicyKind.IDENTITY, "PolicyInputList"
    )


@dataclass(frozen=True, slots=True)
class _StoredPolicies:
    """The policies that are there, besides those of the request."""

    identity: list[Source] = field(default_factory=list)
    boundary: list[Source] = field(default_factory=list)
    controls: tuple[PolicySet, ...] = ()
    held: HeldPolicies = field(default_factory=HeldPolicies)


def _setting(
    given: Given,
    caller: SimulatedCaller,
    door: Door,
    stored: _StoredPolicies | None = None,
) -> Setting:
    """Raises ``InvalidInput`` for contradictory parameters."""
    stored = stored or _StoredPolicies()
    identity = Sources([*stored.identity, *_input_policies(given)])
    name = "PermissionsBoundaryPolicyInputList"
    boundary = Sources(stored.boundary)
    boundaries = given.get(name, ())
    if len(boundaries) > 1:
        raise InvalidInput(f"{name} can have one member only.")
    if boundaries:
        boundary = Sources(
            read_policies(boundaries, PolicyKind.BOUNDARY, name, BOUNDARY_POLICY)
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
    levels = read_levels(given.get("OrderedOrganizationPolicyInputList", ()))
    return Setting(
        identity=identity,
        boundary=boundary,
        caller=caller,
        context={**caller.context, **read_context(given.get("ContextEntries", ()))},
        resources=read_resources(given),
        resource_policy=resource_policy,
        resource_owner=read_owner(given),
        controls=(*stored.controls, *levels),
        held=stored.held.sources,
        held_by=stored.held.by_resource(),
        explains=door is Door.CONSOLE,
    )


def _plan(given: Given, setting: Setting) -> "_Plan":
    """What there is to simulate.

    Raises:
        InvalidInput: it takes too much work.
    """
    wanted = page_request(given)
    limit = max(1, min(wanted.limit, _PAGE_DECISIONS // len(setting.resources)))
    numbered = [f"{n:06d}{name}" for n, name in enumerate(read_actions(given))]
    page: Page[str] = cut(numbered, str, PageRequest(wanted.marker, limit))
    applicable = setting.applicable()
    plan = _Plan(setting, page, _Budget())
    for item in page.items:
        action = item[6:]
        plan.budget.spend(search_work(action, applicable))
        asked = [
            _question(setting, applicable, action, resource, plan.budget)
            for resource in setting.resources
        ]
        plan.questions.append((action, asked))
    return plan


@dataclass(slots=True)
class _Plan:
    """The questions of one page by action, and what they leave of the budget."""

    setting: Setting
    page: Page[str]
    budget: "_Budget"
    questions: list[tuple[str, list["_Question"]]] = field(default_factory=list)

    def answer(self) -> Answer:
        """The decisions.

        Raises:
            InvalidInput: reporting them takes too much work.
        """
        results = [
            action_result(
                self.setting,
                action,
                [_decide(self.setting, one, self.budget) for one in asked],
            )
            for action, asked in self.questions
        ]
        return {"EvaluationResults": results, **truncation(self.page)}


class _Budget:
    """The remaining work budget of one request."""

    def __init__(self) -> None:
        self.left = WORK_MAX

    def spend(self, units: int) -> None:
        """Raises ``InvalidInput`` when it is too much."""
        self.left -= units
        if self.left < 0:
            raise InvalidInput(
                f"The simulation takes more than {WORK_MAX} units of work; send fewer"
                " or smaller policies, actions, resources or context entries in one"
                " request."
            )


class _Question(NamedTuple):
    """One action on one resource; ``trust`` is for a role's trust policy."""

    request: AccessRequest
    applicable: ApplicablePolicies
    trust: bool


def _question(
    setting: Setting,
    applicable: ApplicablePolicies,
    action: str,
    resource: str,
    budget: _Budget,
) -> _Question:
    applicable = structs.replace(
        applicable, resource_account=setting.owner_of(resource)
    )
    if resource in setting.held_by:
        applicable = structs.replace(applicable, resource=setting.held_by[resource])
    trust = (
        action.lower().startswith("sts:assumerole") and applicable.resource is not None
    )
    request = AccessRequest(
        action=action,
        resource=resource,
        principal=setting.caller.principal,
        context=setting.context,
    )
    budget.spend(simulation_work(request, applicable))
    return _Question(request, applicable, trust)


def _decide(setting: Setting, asked: _Question, budget: _Budget) -> SimulatedDecision:
    request, applicable, trust = asked
    action, resource = request.action, request.resource
    try:
        simulation = simulate(request, applicable, trust=trust)
    except TooMuchWork as error:
        raise InvalidInput(f"{action} on {resource}: {error}.") from error
    budget.spend(answer_work(simulation))
    controls = simulation.verdicts.get(
        PolicyType.SERVICE_CONTROL, SimulatedOutcome.ALLOWED
    )
    stopped = controls is not SimulatedOutcome.ALLOWED
    sentence = ""
    if setting.explains and stopped:
        # They are the operator's: the answer says only that they deny the call.
        sentence = f"The service control policies do not allow {action}."
    elif setting.explains:
        decision = (authorize_trust if trust else authorize)(request, applicable)
        sentence = setting.sentence(explain(request, applicable, decision))
    return SimulatedDecision(
        resource,
        simulation,
        crosses=setting.owner_of(resource) is not None,
        stopped=stopped,
        sentence=sentence,
    )


_SOURCES: Mapping[str, tuple[Target, str]] = {
    "group": (on.group, "GroupName"),
    "user": (on.user, "UserName"),
    "role": (on.role, "RoleName"),
}


async def _policy_source(given: Given, call: Call) -> ActionTarget:
    """The user, role or group ``PolicySourceArn``."""
    arn = given["PolicySourceArn"]
    try:
        entity = parse_entity_arn(arn, call.account)
    except InvalidInput:
        return ActionTarget(arn)
    if entity.account != call.account:
        return ActionTarget(arn)
    find, parameter = _SOURCES[entity.kind]
    found = await find({parameter: entity.name}, call)
    return replace(found, shown=arn)


SIMULATION = (
    read("SimulateCustomPolicy", _simulate_custom, on.account, calls=_CALLS),
    read("SimulatePrincipalPolicy", _simulate_principal, _policy_source, calls=_CALLS),
    read("GetContextKeysForCustomPolicy", _custom_context_keys, on.account, calls=10),
    read(
        "GetContextKeysForPrincipalPolicy",
        _principal_context_keys,
        _policy_source,
        calls=10,
    ),
)
