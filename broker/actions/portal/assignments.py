"""``ListAccounts`` and ``ListAccountRoles``: the roles that a person may take.

Of those that the sign-in named (an assertion's pairs, a token's claim, ``GroupRoles``),
or that an IAM user's policies may let in, the ones whose trust policy lets this person
in now. Each is decided as the request for its credentials will be.

Source: botocore's sso model.
"""

import re
from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

from broker.actions.action import Action, Call, needs_nothing
from broker.actions.portal.account_names import AccountNames
from broker.actions.portal.role_choices import RoleChoices
from broker.errors import ValidationError
from broker.model.account import AccountId
from broker.sessions.portal import OpenPortal

_PAGE = 100
_PLACE = re.compile(r"[0-9]{1,6}", re.ASCII)
_CALLS = 10
"""What a list counts towards the rate limit: it decides about every role."""


class AssignmentsRequest(TypedDict):
    """A page of the accounts, or of one account's roles."""

    accountId: NotRequired[str]
    maxResults: NotRequired[int]
    nextToken: NotRequired[str]
    SignIn: OpenPortal


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
                audited=("accountId",),
                calls=_CALLS,
            )
            for name, handle in (
                ("ListAccounts", self._accounts),
                ("ListAccountRoles", self._roles),
            )
        )

    async def _accounts(
        self, given: AssignmentsRequest, call: Call
    ) -> Mapping[str, Any]:
        portal = given["SignIn"]
        accounts = [
            {"accountId": number, "accountName": await self._names.get(portal, number)}
            for number in await self._choices.list_accounts(portal, call)
        ]
        return _page("accountList", accounts, given)

    async def _roles(self, given: AssignmentsRequest, call: Call) -> Mapping[str, Any]:
        account = AccountId(given.get("accountId", ""))
        roles = await self._choices.list_allowed(given["SignIn"], call, account)
        listed = [{"roleName": role.name, "accountId": account} for role in roles]
        return _page("roleList", listed, given)


def _page(
    member: str, whole: list[dict[str, str]], given: AssignmentsRequest
) -> Mapping[str, Any]:
    token = given.get("nextToken", "") or "0"
    if not _PLACE.fullmatch(token) or int(token) > len(whole):
        raise ValidationError("There is no such place in this list.")
    start = int(token)
    end = start + given.get("maxResults", _PAGE)
    more = str(end) if end < len(whole) else None
    return {member: whole[start:end], "nextToken": more}
