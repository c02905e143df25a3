"""The policy simulator: what policies would allow, without doing anything.

``SimulateCustomPolicy``, ``SimulatePrincipalPolicy``, ``GetContextKeysForCustomPolicy``
and ``GetContextKeysForPrincipalPolicy``. One result an action; the decisions about
single resources are inside of it.

Source: IAM service model (pinned), API reference.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from broker.actions.action import Call, Door, Given
from broker.actions.iam import targets as on
from broker.actions.iam.declare import On, Target, read
from broker.actions.iam.paging import cut, page_request, truncation
from broker.actions.iam.policy_exclusions import Exclusions
from broker.actions.iam.simulated_policies import (
    BOUNDARY_POLICY,
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
from broker.actions.iam.simulated_results import Decided, Setting, action_result
from broker.errors import InvalidInput
from broker.model.page import Page, PageRequest
from broker.policy import (
    AccessRequest,
    Applicable,
    PolicyKind,
    PolicySet,
    PolicyType,
    authorize,
    authorize_trust,
    context_keys,
    explain,
)
from broker.policy.simulate import Outcome, simulate

Answer = Mapping[str, Any]

_PAGE_DECISIONS = 1000
"""A page is no longer than so many decisions; IAM may answer less than asked, too."""

_TURN_SECONDS = 0.005
"""The time after which others have their turn."""


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
        door=call.door,
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
        door=call.door,
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
    door: Door,
) -> Setting:
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
    setting = Setting(
        identity=identity,
        boundary=boundary,
        caller=caller,
        context={**caller.context, **read_context(given.get("ContextEntries", ()))},
        resources=read_resources(given),
        resource_policy=resource_policy,
        resource_owner=read_owner(given),
        controls=controls,
        explains=door is Door.CONSOLE,
    )
    listed = (*identity.listed, *boundary.listed, *resource_policy.listed)
    check_work(sum(len(one.text) for one in listed), len(setting.resources))
    return setting


async def _answer(given: Given, setting: Setting) -> Answer:
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
        results.append(action_result(setting, action, decided))
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


def _decide(
    setting: Setting, applicable: Applicable, action: str, resource: str
) -> Decided:
    owner = setting.owner_of(resource)
    applicable = replace(applicable, resource_account=owner)
    trust = (
        action.lower().startswith("sts:assumerole") and applicable.resource is not None
    )
    request = AccessRequest(
        action=action,
        resource=resource,
        principal=setting.caller.principal,
        context=setting.context,
    )
    simulation = simulate(request, applicable, trust=trust)
    controls = simulation.verdicts.get(PolicyType.SERVICE_CONTROL, Outcome.ALLOWED)
    stopped = controls is not Outcome.ALLOWED
    sentence = ""
    if setting.explains and stopped:
        # They are the operator's: that they stop it is all that is told.
        sentence = f"The service control policies do not allow {action}."
    elif setting.explains:
        decision = (authorize_trust if trust else authorize)(request, applicable)
        sentence = setting.sentence(explain(request, applicable, decision))
    return Decided(
        resource,
        simulation,
        crosses=owner is not None,
        stopped=stopped,
        sentence=sentence,
    )


_SOURCES: Mapping[str, tuple[Target, str]] = {
    "group": (on.group, "GroupName"),
    "user": (on.user, "UserName"),
    "role": (on.role, "RoleName"),
}


async def _policy_source(given: Given, call: Call) -> On:
    """The user, role or group ``PolicySourceArn``."""
    arn = given["PolicySourceArn"]
    try:
        entity = parse_entity_arn(arn, call.account)
    except InvalidInput:
        return On(arn)
    if entity.account != call.account:
        return On(arn)
    find, parameter = _SOURCES[entity.kind]
    found = await find({parameter: entity.name}, call)
    return replace(found, shown=arn)


SIMULATION = (
    read("SimulateCustomPolicy", _simulate_custom, on.account),
    read("SimulatePrincipalPolicy", _simulate_principal, _policy_source),
    read("GetContextKeysForCustomPolicy", _custom_context_keys, on.account),
    read("GetContextKeysForPrincipalPolicy", _principal_context_keys, _policy_source),
)
