"""The policy simulator: what policies would allow, without doing anything.

``SimulateCustomPolicy``, ``SimulatePrincipalPolicy``, ``GetContextKeysForCustomPolicy``
and ``GetContextKeysForPrincipalPolicy``. Each action has one result, which contains the
decisions about its resources.

Source: IAM service model (pinned), API reference.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from msgspec import Struct, field, structs
from msgspec.structs import replace

from broker.actions.action import Call
from broker.actions.iam import targets as on
from broker.actions.iam.declare import ActionTarget, Target, read
from broker.actions.iam.paging import cut, page_request, truncation
from broker.actions.iam.simulated_policies import (
    BOUNDARY_POLICY,
    RESOURCE_POLICY,
    Exclusions,
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
    Answer,
    Setting,
    SimulatedDecision,
    action_result,
)
from broker.errors import InvalidInput
from broker.model.page import Page, PageRequest
from broker.model.request import Door, Params
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
    compiling,
    search_work,
    simulate,
    simulation_work,
)
from broker.runtime.offload import Steps, offload_steps

_PAGE_DECISIONS = 1000
"""A page is no longer than so many decisions; IAM may answer less than asked, too."""

WORK_MAX = 2_000_000
"""Units of work (`broker.policy.work`) of one request: about half a second."""

_SOURCES: Mapping[str, tuple[Target, str]] = {
    "group": (on.group, "GroupName"),
    "user": (on.user, "UserName"),
    "role": (on.role, "RoleName"),
}


async def _simulate_custom(params: Params, call: Call) -> Answer:
    arn: str | None = params.get("CallerArn")
    if arn is None and "ResourcePolicy" in params:
        raise InvalidInput("CallerArn is required if you include a ResourcePolicy.")
    caller = (
        unknown_caller(call.account)
        if arn is None
        else await simulated_caller(call, arn)
    )
    return await _simulate(
        call, params, lambda: _setting(params, caller, call.request.door)
    )


async def _simulate_principal(params: Params, call: Call) -> Answer:
    source = parse_entity_arn(params["PolicySourceArn"], call.account)
    exclusions = Exclusions.read(params.get("PolicyExclusionList", ()))
    owner = await require_owner(call, source)
    caller = await simulated_caller(call, params.get("CallerArn", source.text))
    stored = _StoredPolicies(
        identity=await owned_policies(call, owner, exclusions),
        boundary=await boundary_policies(call, owner, exclusions),
        controls=await service_controls(call, exclusions),
        held=(
            await held_policies(call, read_resources(params))
            if "ResourcePolicy" not in params
            else HeldPolicies()
        ),
    )
    return await _simulate(
        call, params, lambda: _setting(params, caller, call.request.door, stored)
    )


async def _simulate(
    call: Call, params: Params, make_setting: Callable[[], Steps[Setting]]
) -> Answer:
    """The answer, for an account that can afford to have made a plan."""
    plan = await offload_steps(_plan(params, make_setting()))
    await call.afford()
    return await offload_steps(plan.answer())


async def _custom_context_keys(params: Params, _call: Call) -> Answer:
    return await offload_steps(_context_keys([], params))


async def _principal_context_keys(params: Params, call: Call) -> Answer:
    source = parse_entity_arn(params["PolicySourceArn"], call.account)
    owner = await require_owner(call, source)
    owned = await owned_policies(call, owner, Exclusions())
    return await offload_steps(_context_keys(owned, params))


def _context_keys(owned: list[Source], params: Params) -> Steps[Answer]:
    sources = [*owned, *(yield from _input_policies(params))]
    return {"ContextKeyNames": list(context_keys(s.document for s in sources))}


def _input_policies(params: Params) -> Steps[list[Source]]:
    check_size(params)
    return read_policies(
        params.get("PolicyInputList", ()), PolicyKind.IDENTITY, "PolicyInputList"
    )


class _StoredPolicies(Struct, frozen=True):
    """The policies that are there, besides those of the request."""

    identity: list[Source] = []
    boundary: list[Source] = []
    controls: tuple[PolicySet, ...] = ()
    held: HeldPolicies = field(default_factory=HeldPolicies)


def _setting(
    params: Params,
    caller: SimulatedCaller,
    door: Door,
    stored: _StoredPolicies | None = None,
) -> Steps[Setting]:
    """Raises ``InvalidInput`` for contradictory parameters."""
    stored = stored or _StoredPolicies()
    identity = Sources([*stored.identity, *(yield from _input_policies(params))])
    name = "PermissionsBoundaryPolicyInputList"
    boundary = Sources(stored.boundary)
    boundaries = params.get(name, ())
    if len(boundaries) > 1:
        raise InvalidInput(f"{name} can have one member only.")
    if boundaries:
        boundary = Sources(
            (
                yield from read_policies(
                    boundaries, PolicyKind.BOUNDARY, name, BOUNDARY_POLICY
                )
            )
        )
    resource_policy = Sources()
    text: str | None = params.get("ResourcePolicy")
    if text is not None:
        if caller.is_role or not caller.principal.username:
            raise InvalidInput(
                "Simulation of resource-based policies is supported for IAM users only;"
                " name one with CallerArn."
            )
        resource_policy.listed.append(
            read_policy(text, PolicyKind.RESOURCE, "ResourcePolicy", RESOURCE_POLICY)
        )
    levels = yield from read_levels(
        params.get("OrderedOrganizationPolicyInputList", ())
    )
    return Setting(
        identity=identity,
        boundary=boundary,
        caller=caller,
        context={**caller.context, **read_context(params.get("ContextEntries", ()))},
        resources=read_resources(params),
        resource_policy=resource_policy,
        resource_owner=read_owner(params),
        controls=(*stored.controls, *levels),
        held=stored.held.sources,
        held_by=stored.held.by_resource(),
        explains=door is Door.CONSOLE,
    )


def _plan(params: Params, making: Steps[Setting]) -> Steps["_Plan"]:
    """What there is to simulate.

    Raises:
        InvalidInput: it takes too much work.
    """
    setting = yield from making
    wanted = page_request(params)
    limit = max(1, min(wanted.limit, _PAGE_DECISIONS // len(setting.resources)))
    numbered = [f"{n:06d}{name}" for n, name in enumerate(read_actions(params))]
    page: Page[str] = cut(numbered, str, PageRequest(wanted.marker, limit))
    applicable = setting.applicable()
    plan = _Plan(setting, page, _Budget())
    for item in page.items:
        action = item[6:]
        yield from compiling(action, applicable)
        plan.budget.spend(search_work(action, applicable))
        asked = []
        for resource in setting.resources:
            asked.append(_question(setting, applicable, action, resource, plan.budget))
            yield
        plan.questions.append((action, asked))
    return plan


class _Plan(Struct):
    """The questions of one page by action, and what they leave of the budget."""

    setting: Setting
    page: Page[str]
    budget: "_Budget"
    questions: list[tuple[str, list["_Question"]]] = []

    def answer(self) -> Steps[Answer]:
        """The decisions, one a step.

        Raises:
            InvalidInput: reporting them takes too much work.
        """
        results = []
        for action, asked in self.questions:
            decided = []
            for entry in asked:
                decided.append(_decide(self.setting, entry, self.budget))
                yield
            results.append(action_result(self.setting, action, decided))
            yield
        return {"EvaluationResults": results, **truncation(self.page)}


class _Budget:
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


async def _policy_source(params: Params, call: Call) -> ActionTarget:
    arn = params["PolicySourceArn"]
    try:
        entity = parse_entity_arn(arn, call.account)
    except InvalidInput:
        return ActionTarget(arn)
    if entity.account != call.account:
        return ActionTarget(arn)
    find, parameter = _SOURCES[entity.kind]
    target = await find({parameter: entity.name}, call)
    return replace(target, shown=arn)


SIMULATION = (
    read("SimulateCustomPolicy", _simulate_custom, on.account),
    read("SimulatePrincipalPolicy", _simulate_principal, _policy_source),
    read("GetContextKeysForCustomPolicy", _custom_context_keys, on.account),
    read(
        "GetContextKeysForPrincipalPolicy",
        _principal_context_keys,
        _policy_source,
    ),
)
