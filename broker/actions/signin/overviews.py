"""What the console's pages of users, roles and services show, each by one call.

``ListUserOverviews`` takes the place of the five calls for each user that the API would
take, ``ListServiceOverviews`` that of one for each service, ``ListRoleOverviews`` that of
``GetRole`` for each role's last use. They need the permission to list each of these
things. ``ListRoleAssumers`` finds the account's users and roles that may assume a role,
by evaluating that request for each; it reads their policies, so it needs the permission
to do so.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NotRequired, TypedDict

from msgspec import Struct

from broker.actions.action import Call, console_action, needing
from broker.actions.iam.views import role_last_used
from broker.model.arn import iam_arn
from broker.model.page import PageRequest
from broker.model.registered import RegisteredService, service_arn
from broker.model.request import Params
from broker.permit.need import Need
from broker.stores.directory.identities import list_roles_with
from broker.stores.directory.kinds import (
    SERVICE,
    SERVICE_TOKEN,
)
from broker.stores.directory.overviews import (
    list_user_overviews,
)

NEEDED = (
    "iam:ListUsers",
    "iam:ListGroupsForUser",
    "iam:ListAccessKeys",
    "iam:ListMFADevices",
    "iam:GetLoginProfile",
)
_ITEMS_MAX = 5_000

_PAGE = 100
_LOOKED_MAX = 500

_SECONDS_MAX = 1.0
"""The time for evaluating principals; after it the answer is incomplete."""

_may_list_with_uses = needing(("iam:ListRoles", "role/"), ("iam:GetRole", "role/*"))
"""The permissions to list roles with their last uses."""


class ListUserOverviewsRequest(TypedDict):
    """The path that the users are below, and the text that their names contain."""

    PathPrefix: str
    NamePart: str
    Marker: NotRequired[str]
    MaxItems: int


async def _list(params: ListUserOverviewsRequest, call: Call) -> Mapping[str, Any]:
    """``Users`` are `UserOverview`; ``Marker`` is None at the end."""
    request = PageRequest(params.get("Marker"), min(params["MaxItems"], _ITEMS_MAX))
    page = await list_user_overviews(
        call.directory,
        call.account,
        params["PathPrefix"],
        params["NamePart"],
        request,
    )
    return {"Users": page.items, "Marker": page.marker}


async def _needs(params: ListUserOverviewsRequest, call: Call) -> tuple[Need, ...]:
    prefix = params["PathPrefix"]
    listed = iam_arn(call.account, f"user{prefix}")
    every = iam_arn(call.account, f"user{prefix}*")
    return tuple(
        Need(
            action=action,
            resource=listed if action == NEEDED[0] else every,
            account=call.account,
        )
        for action in NEEDED
    )


LIST_USER_OVERVIEWS = console_action(
    "ListUserOverviews", _needs, _list, "PathPrefix", "NamePart", "Marker"
)


class ServiceOverview(Struct, frozen=True):
    """A service, its tokens that have not expired, and when the first of them does."""

    service: RegisteredService
    tokens: int
    first_end: datetime | None


async def _list_services(_given: Params, call: Call) -> Mapping[str, Any]:
    """``Services`` are `ServiceOverview`, by name."""
    ends: dict[str, list[datetime]] = {}
    for token in await call.directory.all_of(SERVICE_TOKEN, call.account):
        if token.expires_at > call.now:
            ends.setdefault(token.owner_id, []).append(token.expires_at)
    services = await call.directory.all_of(SERVICE, call.account)
    return {
        "Services": tuple(
            ServiceOverview(
                service,
                len(ends.get(service.service_id, ())),
                min(ends.get(service.service_id, ()), default=None),
            )
            for service in sorted(services, key=lambda service: service.name)
        )
    }


async def _needs_of_services(_given: Params, call: Call) -> tuple[Need, ...]:
    return (
        Need(action="broker:ListServices", resource="*", account=call.account),
        Need(
            action="broker:ListServiceTokens",
            resource=service_arn(call.account, "*"),
            account=call.account,
        ),
    )


LIST_SERVICE_OVERVIEWS = console_action(
    "ListServiceOverviews", _needs_of_services, _list_services
)


class ListRoleOverviewsRequest(TypedDict):
    """The text that the roles' names or descriptions contain."""

    NamePart: str
    Marker: NotRequired[str]
    MaxItems: int


class ListRoleAssumersRequest(TypedDict):
    """The role to assume."""

    RoleName: str


async def _list_roles(
    params: ListRoleOverviewsRequest, call: Call
) -> Mapping[str, Any]:
    """``Roles`` are pairs of a role and its last use; ``Marker`` is None at the end."""
    size = min(params["MaxItems"], _ITEMS_MAX)
    page = await list_roles_with(
        call.directory,
        call.account,
        params["NamePart"],
        PageRequest(params.get("Marker"), size),
    )
    uses = await role_last_used(
        call.directory, call.account, [role.role_id for role in page.items]
    )
    return {
        "Roles": [(role, uses.get(role.role_id, {})) for role in page.items],
        "Marker": page.marker,
    }


LIST_ROLE_OVERVIEWS = console_action(
    "ListRoleOverviews", _may_list_with_uses, _list_roles, "NamePart", "Marker"
)
