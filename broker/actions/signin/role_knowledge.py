"""``ListRoleOverviews`` and ``ListRoleAssumers``: what the pages of roles tell.

The first is ``ListRoles`` with what ``GetRole`` says of last uses, in one call. The
second asks of the account's users and roles who may assume a role, by deciding the
very request; it reads everybody's policies, and needs the permission to.
"""

import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, NotRequired, TypedDict

from broker.actions.action import Action, Call
from broker.actions.iam.last_used import role_last_used
from broker.actions.iam.paging import stored_page
from broker.authz.guard import Guard
from broker.authz.hypothetical import Hypotheses, Hypothesis
from broker.authz.need import Need
from broker.errors import AccessDenied
from broker.identities.roles import require_role
from broker.model.arn import iam_arn
from broker.model.entities import Role
from broker.model.page import PageRequest
from broker.stores.directory.port import DirectoryReader

_ITEMS_MAX = 100
_PAGES_MAX = 20
_PAGE = 100
_LOOKED_MAX = 500
_SECONDS_MAX = 1.0
"""Of deciding about one principal after the other; then the answer is not whole."""


class ListRoleOverviewsRequest(TypedDict):
    """Which roles: those with this text in their names or descriptions."""

    NamePart: str
    Marker: NotRequired[str]
    MaxItems: int


class ListRoleAssumersRequest(TypedDict):
    """The role that is to be assumed."""

    RoleName: str


async def _list(given: ListRoleOverviewsRequest, call: Call) -> Mapping[str, Any]:
    """``Roles`` are pairs of a role and its last use; ``Marker`` is None at the end.

    With a text to find there may be up to twice ``MaxItems`` of them.
    """
    size = min(given["MaxItems"], _ITEMS_MAX)
    wanted = given["NamePart"].lower()
    marker = given.get("Marker")
    found: list[Role] = []
    for _ in range(_PAGES_MAX):
        page = await stored_page(
            call.directory.list_roles(call.account, "/", PageRequest(marker, size))
        )
        found += (
            role
            for role in page.items
            if wanted in role.name.lower() or wanted in (role.description or "").lower()
        )
        marker = page.marker
        if marker is None or len(found) >= size:
            break
    uses = await role_last_used(
        call.directory, call.account, [role.role_id for role in found]
    )
    return {
        "Roles": [(role, uses.get(role.role_id, {})) for role in found],
        "Marker": marker,
    }


async def _may_list(_given: ListRoleOverviewsRequest, call: Call) -> tuple[Need, ...]:
    return (
        Need(
            action="iam:ListRoles",
            resource=iam_arn(call.account, "role/"),
            account=call.account,
        ),
        Need(
            action="iam:GetRole",
            resource=iam_arn(call.account, "role/*"),
            account=call.account,
        ),
    )


LIST_ROLE_OVERVIEWS = Action(
    service="signin",
    name="ListRoleOverviews",
    needs=_may_list,
    handle=_list,
    audited=("NamePart", "Marker"),
)


class RoleAssumers:
    """Who may assume a role."""

    def __init__(self, directory: DirectoryReader, guard: Guard) -> None:
        self._hypotheses = Hypotheses(directory, guard)

    def action(self) -> Action:
        """The declaration."""
        return Action(
            service="signin",
            name="ListRoleAssumers",
            needs=_may_look,
            handle=self._handle,
            audited=("RoleName",),
        )

    async def _handle(
        self, given: ListRoleAssumersRequest, call: Call
    ) -> Mapping[str, Any]:
        """``Assumers`` are ARNs with sentences; ``Looked`` says at how many it looked.

        ``Whole`` is False when there are more principals than that. Conditions are
        decided without a request: whoever needs MFA or a network is not on the list.
        """
        role = await require_role(call.directory, call.account, given["RoleName"])
        found: list[tuple[str, str]] = []
        looked, whole = 0, True
        ends = time.monotonic() + _SECONDS_MAX
        async for arn in _principals(call):
            if looked >= _LOOKED_MAX or time.monotonic() > ends:
                whole = False
                break
            looked += 1
            sentence = await self._find_reason(arn, role, call)
            if sentence is not None:
                found.append((arn, sentence))
        return {"Assumers": found, "Looked": looked, "Whole": whole}

    async def _find_reason(self, arn: str, role: Role, call: Call) -> str | None:
        """Why the principal may; None when it may not."""
        asked = Hypothesis(
            principal=arn, action="sts:AssumeRole", resource=role.arn, context={}
        )
        try:
            judged = await self._hypotheses.judge(
                asked, region=call.region, now=call.now
            )
        except AccessDenied:
            return None
        return judged.explain().sentence() if judged.decision.allowed else None


async def _principals(call: Call) -> AsyncIterator[str]:
    """The ARNs of the account's users, then of its roles."""
    for listing in (call.directory.list_users, call.directory.list_roles):
        marker: str | None = None
        while True:
            page = await listing(call.account, "/", PageRequest(marker, _PAGE))
            for one in page.items:
                yield one.arn
            marker = page.marker
            if marker is None:
                break


async def _may_look(_given: ListRoleAssumersRequest, call: Call) -> tuple[Need, ...]:
    return (
        Need(
            action="iam:GetAccountAuthorizationDetails",
            resource="*",
            account=call.account,
        ),
    )
