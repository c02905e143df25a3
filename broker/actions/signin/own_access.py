"""``GetOwnPermissions`` and ``SimulateOwnAccess``: what the caller may do, and why.

Neither needs a permission, since callers could find out the same by trying. So answers
reveal no more than an attempt would: nothing about trust policies, the operator's
control policies or a resource's tags.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, TypedDict

from broker.actions.action import Action, Call, console_action, needs_nothing
from broker.errors import ValidationError
from broker.model.request import Params
from broker.permit.gather import PolicyLibrary
from broker.permit.guard import Guard, Judgement
from broker.permit.hypothetical import Hypotheses, Hypothesis
from broker.policy import Check, PolicyType
from broker.runtime.offload import offload_if_long
from broker.stores.directory.port import Finder

_ACTION_LENGTH_MAX = 128
_RESOURCE_LENGTH_MAX = 2048
_UNTOLD = frozenset(
    {
        PolicyType.TRUST,
        PolicyType.RESOURCE,
        PolicyType.SERVICE_CONTROL,
        PolicyType.RESOURCE_CONTROL,
    }
)
"""Policies that are not the caller's own."""


class SimulateOwnAccessRequest(TypedDict):
    """One action on one resource."""

    ActionName: str
    ResourceArn: str


class OwnAccess:
    """The handlers, with what they need."""

    def __init__(self, library: PolicyLibrary, guard: Guard, directory: Finder) -> None:
        self._library = library
        self._hypotheses = Hypotheses(directory, guard)

    def actions(self) -> tuple[Action, ...]:
        """The declarations."""
        return (
            console_action("GetOwnPermissions", needs_nothing, self._permissions),
            console_action(
                "SimulateOwnAccess",
                needs_nothing,
                self._simulate,
                "ActionName",
                "ResourceArn",
            ),
        )

    async def _permissions(self, _given: Params, call: Call) -> Mapping[str, Any]:
        """``Layers`` that must all allow, each with its kind and policies."""
        caller = call.caller
        layers = [
            (PolicyType.IDENTITY, await self._library.identity(caller)),
            (PolicyType.BOUNDARY, await self._library.boundary(caller)),
            *((PolicyType.SESSION, s) for s in await self._library.session(caller)),
        ]
        return {
            "Layers": [
                (kind, policy_set)
                for kind, policy_set in layers
                if policy_set is not None
            ],
            "Controlled": bool(await self._library.service_controls(caller)),
        }

    async def _simulate(
        self, params: SimulateOwnAccessRequest, call: Call
    ) -> Mapping[str, Any]:
        action, resource = params["ActionName"], params["ResourceArn"]
        _check(action, resource)
        judged = await self._hypotheses.judge_caller(
            Hypothesis(
                principal=call.caller.principal.arn,
                action=action,
                resource=resource,
                context={},
            ),
            call.caller,
            call.request.raw,
            region=call.region,
            now=call.now,
        )
        return {
            "Allowed": judged.decision.allowed,
            "ExplicitDeny": judged.decision.explicit_deny,
            "PolicyType": judged.decision.policy_type,
            "Explanation": await offload_if_long(partial(_explanation, judged)),
        }


def _check(action: str, resource: str) -> None:
    service, colon, name = action.partition(":")
    plain = (service + name).replace("-", "").replace("_", "")
    if (
        len(action) > _ACTION_LENGTH_MAX
        or not (colon and service and name)
        or not (plain.isascii() and plain.isalnum())
    ):
        raise ValidationError(
            "Write the action as service:Name without wildcards, such as s3:GetObject."
        )
    if resource != "*" and not resource.startswith("arn:"):
        raise ValidationError("Write the resource as an ARN, or * for all.")
    if len(resource) > _RESOURCE_LENGTH_MAX:
        raise ValidationError("The resource is too long.")


def _explanation(judged: Judgement, check: Check) -> str:
    """The explanation, as far as it is about the caller's own policies."""
    decision = judged.decision
    if decision.policy_type in _UNTOLD:
        verb = "allows" if decision.allowed else "does not allow"
        return f"The {decision.policy_type.value} {verb} it."
    explanation = judged.explain(check)
    closest = explanation.closest
    if closest is not None and any(
        "resourcetag/" in condition.key.lower() for condition in closest.conditions
    ):
        return (
            f"No {decision.policy_type.value} allows it. The closest is"
            f" {closest.statement}, but it asks for other tags on the resource."
        )
    return explanation.sentence()
