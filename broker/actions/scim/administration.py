"""What administrators see and do of a provider's directory: its tokens and people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

from broker.actions.action import Action, Call
from broker.actions.decisions.declare import (
    TokenOperations,
    change,
    named_provider,
    read,
)
from broker.actions.signin.identity_providers import provider_needs, require_provider
from broker.errors import InvalidInput, ValidationError
from broker.kinds.bearer_tokens import SCIM_TOKENS, Owner, owning_provider
from broker.model.provisioned import ProvisionedUser
from broker.model.request import Params
from broker.permit.need import Need
from broker.proofs.option_types import SUBJECTS
from broker.proofs.provider_options import Provider, ProviderOptions, ScimOptions
from broker.stores.directory.provisioning import (
    ProvisionedQuery,
    list_provisioned_groups,
    list_provisioned_memberships,
    list_provisioned_users,
    provisioning_counts,
)

if TYPE_CHECKING:
    from broker.model.types import broker as types

PEOPLE_MAX = 50
GROUPS_MAX = 200
_NAMES_CHARACTERS = 256
_MARKER_DIGITS = 9
_MEMBERSHIPS_MAX = 1000


async def _list_users(
    params: types.ListScimUsersRequest, call: Call
) -> types.ListScimUsersResponse:
    provider = await require_provider(params["ProviderArn"], call)
    start = _read_marker(params.get("Marker", "0"))
    limit = min(params.get("MaxItems", PEOPLE_MAX), PEOPLE_MAX)
    users, total = await list_provisioned_users(
        call.directory,
        ProvisionedQuery(
            account=call.account,
            provider_id=provider.unique_id,
            name=params.get("UserName"),
            active=params.get("Active"),
            offset=start,
            limit=limit,
        ),
    )
    members = await _groups_of(users, call)
    answer: types.ListScimUsersResponse = {
        "ScimUsers": [
            {
                "UserId": user.user_id,
                "UserName": user.user_name,
                "ExternalId": user.external_id,
                "Active": user.active,
                "Groups": members.get(user.user_id, []),
                "CreateDate": user.created_at,
                "UpdateDate": user.updated_at,
            }
            for user in users
        ],
        "IsTruncated": start + len(users) < total,
    }
    if answer["IsTruncated"]:
        answer["Marker"] = str(start + len(users))
    return answer


def _read_marker(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _MARKER_DIGITS):
        raise ValidationError("Invalid Marker.")
    return int(text)


async def _groups_of(
    users: Sequence[ProvisionedUser], call: Call
) -> Mapping[str, list[str]]:
    results: dict[str, list[str]] = {}
    for membership in await list_provisioned_memberships(
        call.directory,
        call.account,
        user_ids=[user.user_id for user in users],
        limit=_MEMBERSHIPS_MAX,
    ):
        results.setdefault(membership.user_id, []).append(membership.group_name)
    return results


class ProvisioningRequest(TypedDict):
    """Part of a directory: people from ``Start`` on, by user name if it is given."""

    ProviderArn: str
    Start: int
    UserName: str
    InactiveOnly: bool


async def _get_provisioning(
    params: ProvisioningRequest, call: Call
) -> Mapping[str, Any]:
    """``Options`` (None where SCIM is off), ``Counts``, ``Users`` and ``Groups``.

    ``Total`` is how many people there are of those that are asked for, and ``Members``
    the names of the groups of each.
    """
    provider = await require_provider(params["ProviderArn"], call)
    provider_id, directory = provider.unique_id, call.directory
    users, total = await list_provisioned_users(
        directory,
        ProvisionedQuery(
            account=call.account,
            provider_id=provider_id,
            name=params["UserName"][:_NAMES_CHARACTERS] or None,
            active=False if params["InactiveOnly"] else None,
            offset=params["Start"],
            limit=PEOPLE_MAX,
        ),
    )
    groups, _ = await list_provisioned_groups(
        directory,
        ProvisionedQuery(
            account=call.account, provider_id=provider_id, limit=GROUPS_MAX
        ),
    )
    return {
        "Provider": provider,
        "Options": _find_options(provider),
        "Counts": await provisioning_counts(directory, call.account, provider_id),
        "Users": users,
        "Total": total,
        "Members": await _groups_of(users, call),
        "Groups": groups,
    }


def require_switched_on(provider: Provider) -> ScimOptions:
    """The provider's SCIM options.

    Raises:
        InvalidInput: SCIM is switched off for it.
    """
    options = _find_options(provider)
    if options is None:
        raise InvalidInput(
            f"SCIM is switched off for {provider.arn}: set its option ScimSubject to"
            f" one of {', '.join(SUBJECTS)} first."
        )
    return options


def _find_options(provider: Provider) -> ScimOptions | None:
    try:
        return ProviderOptions.parse(provider.options).scim
    except ValueError as error:
        raise InvalidInput(f"The options of {provider.arn}: {error}") from error


async def _may_list(params: ProvisioningRequest, call: Call) -> tuple[Need, ...]:
    return await provider_needs("broker:ListScimUsers", params["ProviderArn"], call)


async def _owner(params: Params, call: Call) -> Owner:
    return owning_provider(await require_provider(params["ProviderArn"], call))


async def _switched_on(params: Params, call: Call) -> Owner:
    provider = await require_provider(params["ProviderArn"], call)
    require_switched_on(provider)
    return owning_provider(provider)


_TOKENS = TokenOperations(SCIM_TOKENS, _owner, making=_switched_on)
SCIM_ADMINISTRATION: tuple[Action, ...] = (
    change("CreateScimToken", _TOKENS.create, named_provider),
    read("ListScimTokens", _TOKENS.list, named_provider),
    change("DeleteScimToken", _TOKENS.delete, named_provider),
    read("ListScimUsers", _list_users, named_provider),
    Action(
        service="signin",
        name="GetProvisioning",
        needs=_may_list,
        handle=_get_provisioning,
        audited=("ProviderArn",),
    ),
)
"""What an account's administrators call; all but the last through the Query API, too."""
