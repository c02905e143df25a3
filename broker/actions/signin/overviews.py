"""Pages of users with all that they have, and of services with their tokens.

``ListUserOverviews`` is one call in place of the five for each user that the API would
take, ``ListServiceOverviews`` in place of one for each service. They need the permission
to list each of these things.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NotRequired, TypedDict

from broker.actions.action import Action, Call
from broker.actions.iam.paging import stored_page
from broker.model.arn import iam_arn
from broker.model.page import PageRequest
from broker.model.registered import RegisteredService, service_arn
from broker.model.request import Given
from broker.permit.need import Need
from broker.stores.directory.kinds import SERVICE, SERVICE_TOKEN
from broker.stores.directory.overviews import list_user_overviews

NEEDED = (
    "iam:ListUsers",
    "iam:ListGroupsForUser",
    "iam:ListAccessKeys",
    "iam:ListMFADevices",
    "iam:GetLoginProfile",
)
_ITEMS_MAX = 5_000


class ListUserOverviewsRequest(TypedDict):
    """The path that the users are below, and the text that their names contain."""

    PathPrefix: str
    NamePart: str
    Marker: NotRequired[str]
    MaxItems: int


async def _list(given: ListUserOverviewsRequest, call: Call) -> Mapping[str, Any]:
    """``Users`` are `UserOverview`; ``Marker`` is None at the end."""
    request = PageRequest(given.get("Marker"), min(given["MaxItems"], _ITEMS_MAX))
    page = await stored_page(
        list_user_overviews(
            call.directory,
            call.account,
            given["PathPrefix"],
            given["NamePart"],
            request,
        )
    )
    return {"Users": page.items, "Marker": page.marker}


async def _needs(given: ListUserOverviewsRequest, call: Call) -> tuple[Need, ...]:
    prefix = given["PathPrefix"]
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


LIST_USER_OVERVIEWS = Action(
    service="signin",
    name="ListUserOverviews",
    needs=_needs,
    handle=_list,
    audited=("PathPrefix", "NamePart", "Marker"),
)


@dataclass(frozen=True, slots=True)
class ServiceOverview:
    """A service, its tokens that have not expired, and when the first of them does."""

    service: RegisteredService
    tokens: int
    first_end: datetime | None


async def _list_services(_given: Given, call: Call) -> Mapping[str, Any]:
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
            for service in sorted(services, key=lambda one: one.name)
        )
    }


async def _needs_of_services(_given: Given, call: Call) -> tuple[Need, ...]:
    return (
        Need(action="broker:ListServices", resource="*", account=call.account),
        Need(
            action="broker:ListServiceTokens",
            resource=service_arn(call.account, "*"),
            account=call.account,
        ),
    )


LIST_SERVICE_OVERVIEWS = Action(
    service="signin",
    name="ListServiceOverviews",
    needs=_needs_of_services,
    handle=_list_services,
)
