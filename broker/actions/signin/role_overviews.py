"""``ListRoleOverviews`` and ``ListRoleAssumers``: the data of the role pages.

The first is ``ListRoles`` with the last uses of ``GetRole``, in one call. The second
finds the account's users and roles that may assume a role, by evaluating that request
for each; it reads their policies, so it needs the permission to do so.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Any, NotRequired, TypedDict

from broker.actions.action import Action, Call
from broker.actions.iam.last_used import role_last_used
from broker.actions.iam.paging import stored_page
from broker.errors import AccessDenied
from broker.kinds.documents import shown_trust_policies
from broker.kinds.names import find_named_resource
from broker.kinds.roles import require_role
from broker.model.arn import iam_arn
from broker.model.caller import Caller
from broker.model.entities import Role
from broker.model.page import PageRequest, read_pages
from broker.model.request import Given
from broker.permit.context import tag_context
from broker.permit.guard import Guard
from broker.permit.hypothetical import Hypotheses, role_caller, user_caller
from broker.permit.need import Need, Trust
from broker.policy import Effect, PolicyKind, PolicyRejected, parse_policy
from broker.policy.principal import find_account
from broker.stores.directory.kinds import ROLE, USER
from broker.stores.directory.port import Finder
from broker.stores.directory.roles import list_roles_with

_ITEMS_MAX = 5_000
_PAGE = 100
_LOOKED_MAX = 500
_SECONDS_MAX = 1.0
"""The time for evaluating principals; after it the answer is incomplete."""


class ListRoleOverviewsRequest(TypedDict):
    """The text that the roles' names or descriptions contain."""

    NamePart: str
    Marker: NotRequired[str]
    MaxItems: int


class ListRoleAssumersRequest(TypedDict):
    """The role to assume."""

    RoleName: str


async def _list(given: ListRoleOverviewsRequest, call: Call) -> Mapping[str, Any]:
    """``Roles`` are pairs of a role and its last use; ``Marker`` is None at the end."""
    size = min(given["MaxItems"], _ITEMS_MAX)
    page = await stored_page(
        list_roles_with(
            call.directory,
            call.account,
            given["NamePart"],
            PageRequest(given.get("Marker"), size),
        )
    )
    uses = await role_last_used(
        call.directory, call.account, [role.role_id for role in page.items]
    )
    return {
        "Roles": [(role, uses.get(role.role_id, {})) for role in page.items],
        "Marker": page.marker,
    }


async def may_list_with_uses(_given: Given, call: Call) -> tuple[Need, ...]:
    """The permissions to list roles with their last uses."""
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
    needs=may_list_with_uses,
    handle=_list,
    audited=("NamePart", "Marker"),
)


class RoleAssumers:
    """Who may assume a role."""

    def __init__(self, directory: Finder, guard: Guard) -> None:
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
        """``Assumers`` are ARNs with reasons; ``Looked`` counts those examined.

        ``Whole`` is False when there are more principals than that. Principals that the
        trust policy cannot match are skipped. Conditions are decided without a request,
        so principals that need MFA or a certain network are not listed.
        """
        role = await require_role(call.directory, call.account, given["RoleName"])
        named = await _named_principals(role, call)
        need = Need(
            action="sts:AssumeRole",
            resource=role.arn,
            account=role.account,
            context={
                **tag_context("aws:resourcetag", role.tags),
                **tag_context("iam:resourcetag", role.tags),
            },
            trust=Trust(role=role),
        )
        found: list[tuple[str, str]] = []
        looked, whole = 0, True
        ends = time.monotonic() + _SECONDS_MAX
        listed = _principals(call) if named is None else _principals_by_arn(named, call)
        async for arn, caller in listed:
            if looked >= _LOOKED_MAX or time.monotonic() > ends:
                whole = False
                break
            looked += 1
            await asyncio.sleep(0)  # cached decisions are made without a pause
            sentence = await self._find_reason(caller, need, call)
            if sentence is not None:
                found.append((arn, sentence))
        return {"Assumers": found, "Looked": looked, "Whole": whole}

    async def _find_reason(self, caller: Caller, need: Need, call: Call) -> str | None:
        """Why the principal may assume the role; None when it may not."""
        try:
            judged = await self._hypotheses.judge_as(
                caller, need, region=call.region, now=call.now, charge=call.charge
            )
        except AccessDenied:
            return None
        await call.charge(judged.work)
        return judged.explain().sentence() if judged.decision.allowed else None


async def _named_principals(role: Role, call: Call) -> tuple[str, ...] | None:
    """The principals of the account that the trust policy names; None for any."""
    (text,) = await shown_trust_policies(call.directory, [role.trust_policy])
    try:
        document = parse_policy(text, PolicyKind.TRUST)
    except PolicyRejected:
        return ()
    named: list[str] = []
    for statement in document.statements:
        principals = statement.principals
        if principals is None or statement.effect is Effect.DENY:
            continue
        if principals.anyone:
            return None
        for value in principals.aws:
            if value == "*" or find_account(value) == call.account:
                return None
            named.append(value)
    return tuple(dict.fromkeys(named))


async def _principals_by_arn(
    named: tuple[str, ...], call: Call
) -> AsyncIterator[tuple[str, Caller]]:
    """The users and roles of the account among these ARNs."""
    for text in named:
        user = find_named_resource(text, "user")
        if user is not None and user.account == call.account:
            found = await call.directory.named(USER, call.account, user.name)
            if found is not None and found.arn == text:
                yield text, user_caller(found)
        role = find_named_resource(text, "role")
        if role is not None and role.account == call.account:
            holder = await call.directory.named(ROLE, call.account, role.name)
            if holder is not None and holder.arn == text:
                yield text, role_caller(holder)


async def _principals(call: Call) -> AsyncIterator[tuple[str, Caller]]:
    """The account's users, then its roles."""
    list_users = partial(call.directory.page_of, USER, call.account)
    async for users in read_pages(list_users, _PAGE):
        for user in users:
            yield user.arn, user_caller(user)
    list_roles = partial(call.directory.page_of, ROLE, call.account)
    async for roles in read_pages(list_roles, _PAGE):
        for role in roles:
            yield role.arn, role_caller(role)


async def _may_look(_given: ListRoleAssumersRequest, call: Call) -> tuple[Need, ...]:
    return (
        Need(
            action="iam:GetAccountAuthorizationDetails",
            resource="*",
            account=call.account,
        ),
    )
