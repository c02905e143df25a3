"""The portal on the home page: roles to open, by account, with their credentials.

Only roles are listed that the session that one signed in with could assume now; opening
one is *Switch role* (`switch_role`), and its credentials come from the same
``AssumeRole``.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from itertools import groupby

from msgspec import Struct
from starlette.responses import Response

from broker.actions.signin.own_roles import NAMED_MAX
from broker.actions.sts.roles import find_role
from broker.console.console_session import ConsoleSession
from broker.console.context import HOME
from broker.console.pages.switch_role import (
    SwitchableRoles,
    require_original,
    role_arn_of,
    session_name_of,
)
from broker.console.recent_roles import FavouriteRoles, name_of_session
from broker.console.visit import Visit, address
from broker.model.account import AccountId
from broker.model.entities import Role
from broker.stores.directory.kinds import ACCOUNT

_TEXT_MAX = 128
_NUMBER = re.compile(r"[0-9]{1,4}", re.ASCII)


class PortalAccount(Struct, frozen=True):
    """An account and roles in it; the favourites have no account of their own."""

    account: AccountId | None
    alias: str | None
    roles: tuple[Role, ...]


class PortalView(Struct, frozen=True):
    """What the portal shows; ``more`` leads to the roles after these.

    ``aliases`` are those of the accounts, by number; ``cut`` says that there are roles
    that only a search would find. ``offered`` are roles that the identity provider gave
    at sign-in, which one signs in to there.
    """

    search: str = ""
    favourites: frozenset[str] = frozenset()
    accounts: tuple[PortalAccount, ...] = ()
    aliases: Mapping[str, str | None] | None = None
    more: str = ""
    first: str = ""
    cut: bool = False
    offered: tuple[Role, ...] = ()


class RoleFinder:
    """Finds the roles for a visit."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        self._switchable = SwitchableRoles(visit.frame)
        self._favourites = FavouriteRoles(visit.deps)

    async def view(self) -> PortalView:
        """The roles to show for the query: ``q``, a text, and ``from``, a place."""
        visit, who = self._visit, self._visit.who
        original = await self._switchable.find_original(who)
        if original is None:
            return PortalView()
        search = visit.text("q")[:_TEXT_MAX]
        place = visit.text("from")
        start = min(int(place), NAMED_MAX) if _NUMBER.fullmatch(place) else 0
        favourites = await self._favourites.find(name_of_session(original.session))
        recent = await self._switchable.find_recent(original)
        answer = await visit.frame.perform(
            visit.request,
            original,
            ("signin", "ListOwnRoles"),
            {
                "First": (*favourites, *recent),
                "Text": search,
                "Start": start,
                "SessionName": session_name_of(original),
            },
        )
        here = who.principal.principal_arn
        roles = [role for role in answer["Roles"] if role.arn != here]
        after = answer["Next"]
        aliases = await self._aliases(roles)
        return PortalView(
            search=search,
            favourites=frozenset(favourites),
            accounts=_by_account(roles, favourites, aliases),
            aliases=aliases,
            more=address(HOME, q=search, **{"from": str(after)}) if after else "",
            first=address(HOME, q=search) if start else "",
            cut=not answer["Whole"] and after is None,
            offered=await self._offered(
                original, search, {here, *(r.arn for r in roles)}
            ),
        )

    async def _offered(
        self, original: ConsoleSession, search: str, listed: Collection[str]
    ) -> tuple[Role, ...]:
        fresh = self._visit.deps.fresh
        roles = []
        for arn in original.origin.offered:
            if arn not in listed and search.lower() in arn.lower():
                role = await find_role(fresh, arn)
                if role is not None:
                    roles.append(role)
        return tuple(roles)

    async def _aliases(self, roles: Iterable[Role]) -> Mapping[str, str | None]:
        fresh = self._visit.deps.fresh
        aliases: dict[str, str | None] = {}
        for number in {role.account for role in roles}:
            account = await fresh.find(ACCOUNT, number)
            aliases[number] = account.alias if account else None
        return aliases


async def mark_favourite(visit: Visit) -> Response:
    """``POST /console/favourites``: add or remove one.

    Raises:
        ValidationError: It is not a role, or there are too many favourites.
    """
    original = await require_original(visit)
    role = role_arn_of(original, visit.text("role"))
    name = name_of_session(original.session)
    done = await FavouriteRoles(visit.deps).mark(name, role, visit.text("do"))
    return visit.done(done, HOME)


def _by_account(
    roles: Iterable[Role], favourites: Iterable[str], aliases: Mapping[str, str | None]
) -> tuple[PortalAccount, ...]:
    marked = set(favourites)
    listed = list(roles)
    first = tuple(role for role in listed if role.arn in marked)
    rest = sorted(
        (role for role in listed if role.arn not in marked),
        key=lambda role: (role.account, role.name.lower()),
    )
    groups = [PortalAccount(None, None, first)] if first else []
    groups += [
        PortalAccount(account, aliases.get(account), tuple(group))
        for account, group in groupby(rest, key=lambda role: role.account)
    ]
    return tuple(groups)
