"""``ListUserOverviews``: a page of users with their groups, keys, passwords and MFA.

One call in place of the five for each user that the API would take. It needs the
permission to list each of these things for the users below the path.
"""

from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

from broker.actions.action import Action, Call
from broker.actions.iam.paging import stored_page
from broker.model.arn import iam_arn
from broker.model.page import PageRequest
from broker.permit.need import Need
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
