"""``ListAccounts``, ``ListAccountRoles``, ``ListAssignments``: the roles that a person may take.

Of those that the sign-in named (an assertion's pairs, a token's claim, ``GroupRoles``),
or that an IAM user's policies may let in, the ones whose trust policy lets this person
in now. Each is decided as the request for its credentials will be.

``ListAssignments`` is the portal's page. Only the roles of one page are decided about, so
that the work is bounded however many there are: a search, and the place to go on from,
say which.

Source: botocore's sso model.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NotRequired, TypedDict

from msgspec import Struct

from broker.actions.action import Action, Call, needs_nothing
from broker.actions.portal.role_choices import (
    AccountNames,
    Choosing,
    RoleChoices,
    begin_choosing,
)
from broker.errors import ValidationError
from broker.model.account import AccountId
from broker.model.entities import Role
from broker.model.page import PageRequest
from broker.sessions.portal import OpenPortal

_PAGE = 100
_PLACE = re.compile(r"[0-9]{1,6}", re.ASCII)
_CALLS = 10
"""What a list counts towards the rate limit: it decides about every role."""

ROLES_MAX = 50
"""In one answer, or a few more of an IAM user's own account."""

_LOOKED_MAX = 200
_SECONDS_MAX = 1.0
_SEARCH_CALLS = 2
_OWN = "own:"
_SEARCH_PLACE = re.compile(rf"[0-9]{{1,6}}|{_OWN}[!-~]{{0,128}}", re.ASCII)


class AssignmentsRequest(TypedDict):
    """A page of the accounts, or of one account's roles."""

    accountId: NotRequired[str]
    maxResults: NotRequired[int]
    nextToken: NotRequired[str]
    SignIn: OpenPortal


class ListAssignmentsRequest(TypedDict):
    """``First`` are ARNs to look at first, if there is a role among them to take.

    ``Text`` is a part of a role's ARN or of its account's name; ``Start`` is the
    ``Next`` of the answer before.
    """

    First: tuple[str, ...]
    Text: str
    Start: str
    SignIn: OpenPortal


class _Found(Struct):
    """A search under way; ``taken`` are roles that are known to be open."""

    choosing: Choosing
    text: str
    taken: Collection[str]
    roles: list[Role] = []

    @property
    def is_full(self) -> bool:
        """Whether the page has what it can hold, or enough was looked at."""
        return len(self.roles) >= ROLES_MAX or self.choosing.is_over


class Assignments:
    """The handlers, with what they need."""

    def __init__(self, choices: RoleChoices, names: AccountNames) -> None:
        self._choices = choices
        self._names = names

    def actions(self) -> tuple[Action, ...]:
        """The declarations."""
        return tuple(
            Action(
                service="sso",
                name=name,
                needs=needs_nothing,
                handle=handle,
                audited=audited,
                calls=calls,
            )
            for name, handle, audited, calls in (
                ("ListAccounts", self._accounts, ("accountId",), _CALLS),
                ("ListAccountRoles", self._roles, ("accountId",), _CALLS),
                ("ListAssignments", self._search, ("Text",), _SEARCH_CALLS),
            )
        )

    async def _accounts(
        self, params: AssignmentsRequest, call: Call
    ) -> Mapping[str, Any]:
        portal = params["SignIn"]
        accounts = [
            {"accountId": number, "accountName": await self._names.get(portal, number)}
            for number in await self._choices.list_accounts(portal, call)
        ]
        return _page("accountList", accounts, params)

    async def _roles(self, params: AssignmentsRequest, call: Call) -> Mapping[str, Any]:
        account = AccountId(params.get("accountId", ""))
        roles = await self._choices.list_allowed(params["SignIn"], call, account)
        listed = [{"roleName": role.name, "accountId": account} for role in roles]
        return _page("roleList", listed, params)

    async def _search(
        self, params: ListAssignmentsRequest, call: Call
    ) -> Mapping[str, Any]:
        """``First`` and ``Roles``, and ``Next``: where to go on, or empty.

        ``Names`` has the names of their accounts.
        """
        portal, text = params["SignIn"], params["Text"].lower()
        start = params["Start"] if _SEARCH_PLACE.fullmatch(params["Start"]) else "0"
        choosing = begin_choosing(portal, call, _LOOKED_MAX, _SECONDS_MAX)
        first = []
        for arn in dict.fromkeys(params["First"] if start == "0" else ()):
            role = await self._choices.find_named(arn) if text in arn.lower() else None
            if role is not None and await self._choices.lets_in(role, choosing):
                first.append(role)
        search = _Found(choosing, text, {role.arn for role in first})
        arns = await self._list_arns(portal, call)
        following = ""
        if not start.startswith(_OWN):
            following = await self._add_named(search, arns, int(start))
            start = _OWN
        if not portal.roles and not following:
            named = {arn for arn, _ in arns}
            following = await self._add_own(search, call, named, start)
        roles = search.roles
        accounts = {role.account for role in (*first, *roles)}
        return {
            "First": first,
            "Roles": roles,
            "Next": following,
            "Names": {
                account_id: await self._names.get(portal, account_id)
                for account_id in accounts
            },
        }

    async def _add_named(
        self, match: _Found, arns: Sequence[tuple[str, str]], start: int
    ) -> str:
        """Add named roles from a place on; returns where to go on, or nothing."""
        for place in range(start, len(arns)):
            arn, name = arns[place]
            if match.text not in arn.lower() and match.text not in name.lower():
                continue
            if match.is_full:
                return str(place)
            await self._add(match, await self._choices.find_named(arn))
        return ""

    async def _add_own(
        self, match: _Found, call: Call, named: Collection[str], start: str
    ) -> str:
        """The same with the other roles of an IAM user's account, in whole pages."""
        own_name = await self._names.get(match.choosing.portal, call.account)
        is_whole = match.text in call.account or match.text in own_name.lower()
        marker: str | None = start.removeprefix(_OWN) or None
        while not match.is_full:
            page = await self._choices.read_own(
                call, "" if is_whole else match.text, PageRequest(marker, ROLES_MAX)
            )
            for role in page.items:
                if role.arn not in named:
                    await self._add(match, role)
            marker = page.marker
            if marker is None:
                return ""
        return f"{_OWN}{marker or ''}"

    async def _add(self, match: _Found, role: Role | None) -> None:
        if role is not None and (
            role.arn in match.taken or await self._choices.lets_in(role, match.choosing)
        ):
            match.roles.append(role)

    async def _list_arns(self, portal: OpenPortal, call: Call) -> list[tuple[str, str]]:
        """The roles that are named, each with its account's name, in that order."""
        if not portal.roles:
            arns = await self._choices.list_own_arns(call)
            return [
                (arn, await self._names.get(portal, AccountId(arn.split(":")[4])))
                for arn in arns
            ]
        accounts = [
            (await self._names.get(portal, account), account)
            for account in portal.roles.accounts
        ]
        accounts.sort(key=lambda named: (named[0].lower(), named[1]))
        return [
            (arn, name)
            for name, account in accounts
            for arn, _ in portal.roles.list_of(account)
        ]


def _page(
    member: str, whole: list[dict[str, str]], params: AssignmentsRequest
) -> Mapping[str, Any]:
    token = params.get("nextToken", "") or "0"
    if not _PLACE.fullmatch(token) or int(token) > len(whole):
        raise ValidationError("There is no such place in this list.")
    start = int(token)
    end = start + params.get("maxResults", _PAGE)
    more = str(end) if end < len(whole) else None
    return {member: whole[start:end], "nextToken": more}
