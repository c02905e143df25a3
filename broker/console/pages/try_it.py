"""*Try it*: may the session do something, and what would a request mean to a service.

A told request is mapped by the service's routes; what it means is decided for the session
itself, or for a principal whose access the session may simulate.
"""

import re
from collections.abc import Mapping
from typing import Any

from msgspec import Struct
from starlette.responses import Response

from broker.console.pages.service_views import ServiceView, read_service_views
from broker.console.visit import BOTH, PageRoute, Visit, address
from broker.errors import ValidationError
from broker.policy.catalogue import find_action
from broker.protocols.enforcement import (
    ActionOnResource,
    RequestAmbiguous,
    resource_path,
)

TRY = "/console/try"
SIMULATOR = "/console/simulator"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_TYPED_MAX = 2048
_PRINCIPAL = re.compile(r"arn:aws:iam::[0-9]{12}:(?:user|role)/[!-~]+")

_FIELDS = ("service", "method", "path", "principal")


class TriedRequest(Struct, frozen=True):
    """A request to a service: what it means, and the decision.

    ``target`` is None, and ``refusal`` says why, for one that means nothing. ``keys``
    are the condition keys that the service may bring, which are not known here.
    ``why`` is empty for another principal: it quotes policies. ``simulator`` is where
    those see it who may read them.
    """

    target: ActionOnResource | None
    refusal: str = ""
    allowed: bool = False
    explicit_deny: bool = False
    why: str = ""
    keys: tuple[str, ...] = ()
    simulator: str = ""


async def _page(visit: Visit) -> Response:
    action, resource = visit.text("action"), visit.text("resource")
    views = await read_service_views(visit)
    answer: Mapping[str, Any] | None = None
    tried: TriedRequest | None = None
    is_request = bool(visit.text("service")) and visit.posted
    if visit.posted:
        with visit.attempt():
            if is_request:
                tried = await _try_request(visit, views)
            else:
                answer = await _ask(visit, action, resource or "*")
    return await visit.show(
        "try.html",
        action=action[:_TYPED_MAX],
        resource=resource[:_TYPED_MAX],
        answer=answer,
        known=find_action(action) is not None
        or any(v.compiled and v.compiled.owns_action(action) for v in views),
        services=[view.name for view in views],
        methods=METHODS,
        asked={name: visit.text(name)[:_TYPED_MAX] for name in _FIELDS},
        tried=tried,
        is_request=is_request,
    )


async def _ask(visit: Visit, action: str, resource: str) -> Mapping[str, Any]:
    return await visit.perform(
        "signin", "SimulateOwnAccess", ActionName=action, ResourceArn=resource
    )


async def _try_request(visit: Visit, views: list[ServiceView]) -> TriedRequest:
    """What a request means, and whether it is allowed.

    Raises:
        ValidationError: The form says no service, method or path.
        BrokerError: The decision is refused.
    """
    service, principal = visit.text("service"), visit.text("principal")
    view = next((view for view in views if view.name == service), None)
    if view is None or view.compiled is None:
        raise ValidationError(f"There is no service {service[:80]} to ask about.")
    if visit.text("method") not in METHODS:
        raise ValidationError("Choose the request's method.")
    try:
        path = resource_path(visit.text("path").partition("?")[0].encode())
    except RequestAmbiguous as error:
        return TriedRequest(None, str(error))
    target = view.compiled.find_target(visit.text("method"), path)
    if target is None:
        return TriedRequest(None, "No route of the service matches the request.")
    return await _decide(visit, view, target, principal)


async def _decide(
    visit: Visit, view: ServiceView, target: ActionOnResource, principal: str
) -> TriedRequest:
    keys = tuple(view.definition.condition_keys)
    if not principal:
        answer = await _ask(visit, target.action, target.resource)
        return TriedRequest(
            target,
            allowed=answer["Allowed"],
            explicit_deny=answer["ExplicitDeny"],
            why=answer["Explanation"],
            keys=keys,
        )
    if not _PRINCIPAL.fullmatch(principal):
        raise ValidationError("Enter the principal as the ARN of a user or role.")
    result = await visit.iam(
        "SimulatePrincipalPolicy",
        PolicySourceArn=principal,
        ActionNames=[target.action],
        ResourceArns=[target.resource],
    )
    (match,) = result["EvaluationResults"]
    (entry,) = match.get("ResourceSpecificResults") or [match]
    decision = entry.get("EvalResourceDecision") or match["EvalDecision"]
    return TriedRequest(
        target,
        allowed=decision == "allowed",
        explicit_deny=decision == "explicitDeny",
        keys=keys,
        simulator=address(
            SIMULATOR,
            principal=principal,
            action=target.action,
            resource=target.resource,
        ),
    )


PAGES = (PageRoute(TRY, "try", _page, BOTH),)
