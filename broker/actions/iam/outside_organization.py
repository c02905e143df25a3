"""Operations about organisations, delegation requests and role templates.

An account here is like one outside an organisation: it has no delegation requests and
no service templates. Each operation therefore answers with the error that it documents
for a missing one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from broker.actions.action import Action, Call, Handle
from broker.actions.iam import targets as on
from broker.actions.iam.declare import ActionTarget, Context, change, read
from broker.actions.iam.targets import named
from broker.errors import (
    AccessDenied,
    BrokerError,
    InvalidInput,
    NoSuchEntity,
    OrganizationNotFound,
)
from broker.kinds.providers import OIDC_PROVIDERS, require_oidc_provider
from broker.model.arn import iam_arn
from broker.model.request import Params

if TYPE_CHECKING:
    from broker.model.types import iam as types

_FEATURES = (
    "EnableOrganizationsRootCredentialsManagement",
    "EnableOrganizationsRootSessions",
    "DisableOrganizationsRootCredentialsManagement",
    "DisableOrganizationsRootSessions",
)
_ABOUT_A_REQUEST = (
    "AcceptDelegationRequest",
    "AssociateDelegationRequest",
    "RejectDelegationRequest",
    "SendDelegationToken",
    "UpdateDelegationRequest",
)


def _fails(error: type[BrokerError], text: str) -> Handle:
    """An operation that always fails; ``text`` may use the input and ``account``."""

    async def fail(params: Params, call: Call) -> NoReturn:
        raise error(text.format(account=call.account, **params))

    return fail


_no_organization = _fails(
    OrganizationNotFound, "The account {account} is not a member of an organization."
)
_no_report = _fails(
    AccessDenied,
    "The account {account} is not the management account of an organization.",
)
_no_job = _fails(NoSuchEntity, "Job {JobId} was not found.")
_no_request = _fails(
    NoSuchEntity, "The delegation request {DelegationRequestId} cannot be found."
)
_no_requester = _fails(
    InvalidInput, "The account {account} is not registered to ask for delegation."
)
_no_summary = _fails(NoSuchEntity, "The entity {EntityArn} cannot be found.")
_no_template = _fails(NoSuchEntity, "The role template {TemplateArn} cannot be found.")


async def _list_requests(
    _given: Params, _call: Call
) -> types.ListDelegationRequestsResponse:
    return {"DelegationRequests": [], "isTruncated": False}


async def _update_oidc_provider(params: Params, call: Call) -> None:
    await require_oidc_provider(
        call.change, call.account, params["OpenIDConnectProviderArn"]
    )


async def _request(params: Params, call: Call) -> ActionTarget:
    return ActionTarget(
        iam_arn(
            call.account, f"delegation-request/{params.get('DelegationRequestId', '*')}"
        )
    )


async def _summarized(params: Params, _call: Call) -> ActionTarget:
    return ActionTarget(params["EntityArn"])


async def _organization_entity(params: Params, call: Call) -> ActionTarget:
    return ActionTarget(iam_arn(call.account, f"access-report/{params['EntityPath']}"))


async def _template(params: Params, _call: Call) -> ActionTarget:
    return ActionTarget(params["TemplateArn"])


def organizations_policy(params: Params, _on: ActionTarget) -> Context:
    """``iam:OrganizationsPolicyId``."""
    policy_id = params.get("OrganizationsPolicyId")
    return {} if policy_id is None else {"iam:organizationspolicyid": (policy_id,)}


def delegation_asked(params: Params, _on: ActionTarget) -> Context:
    """``iam:DelegationDuration``, ``iam:NotificationChannel``, ``iam:TemplateArn``."""
    context = {
        "iam:delegationduration": (str(params["SessionDuration"]),),
        "iam:notificationchannel": (params["NotificationChannel"],),
    }
    template = params["Permissions"].get("PolicyTemplateArn")
    if template is not None:
        context["iam:templatearn"] = (template,)
    return context


def delegation_owner(params: Params, _on: ActionTarget) -> Context:
    """``iam:DelegationRequestOwner``."""
    owner = params.get("OwnerId")
    return {} if owner is None else {"iam:delegationrequestowner": (owner,)}


OUTSIDE_ORGANIZATION: tuple[Action, ...] = (
    read("ListOrganizationsFeatures", _no_organization, on.account),
    *(change(name, _no_organization, on.account) for name in _FEATURES),
    read(
        "GenerateOrganizationsAccessReport",
        _no_report,
        _organization_entity,
        organizations_policy,
    ),
    read("GetOrganizationsAccessReport", _no_job, on.account),
    change("CreateDelegationRequest", _no_requester, _request, delegation_asked),
    *(change(name, _no_request, _request) for name in _ABOUT_A_REQUEST),
    read("GetDelegationRequest", _no_request, _request),
    read("ListDelegationRequests", _list_requests, on.account, delegation_owner),
    read("GetHumanReadableSummary", _no_summary, _summarized),
    read("GetRoleTemplateVersion", _no_template, _template),
    change("AcquireRole", _no_template, _template),
    change(
        "UpdateOpenIDConnectProvider",
        _update_oidc_provider,
        named(OIDC_PROVIDERS),
        unsupported=(
            "ContextProvider",
            "IdentityCenterInstanceArn",
            "RemoveContextProvider",
            "RemoveIdentityCenterInstance",
        ),
    ),
)
"""All of them, and the OIDC provider's links to services that are not here."""
