"""``/portal/{account}``: the start URL in a browser.

It lists the accounts and roles of the person who is signed in. Favourites and recent roles come
first; they are kept in the cache by person, as those of the console are.

Source: AWS IAM Identity Center User Guide, "Using the AWS access portal".
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from broker.actions.portal.assignment_search import ROLES_MAX
from broker.actions.portal.clients import aws_start_url
from broker.console.context import SIGN_IN, ConsoleContext
from broker.console.csrf import FIELD, require_csrf, require_same_origin
from broker.console.forms import read_form
from broker.console.portal.places import PORTAL
from broker.console.portal.sign_ins import PortalSignIns
from broker.console.portal.visits import PortalVisit, PortalVisits, read_role
from broker.console.recent_roles import FavouriteRoles, RecentRoles, name_of_person
from broker.console.rendering import see_other
from broker.console.request_info import require_place
from broker.console.visit import address
from broker.errors import NoSuchEntity
from broker.model.account import AccountId
from broker.model.entities import Role
from broker.model.request import Door
from broker.proofs.portal import PortalScheme

START = f"{PORTAL}/{{account}}"
SIGN_OUT = f"{PORTAL}/{{account}}/sign-out"
FAVOURITES = f"{PORTAL}/{{account}}/favourites"
_FOUND = 302
_TEXT_MAX = 128
_PLACE_MAX = 200
_FEW = 8
"""Roles that are all seen at once: recent ones need no list of their own."""


@dataclass(frozen=True, slots=True)
class AccountRoles:
    """An account and its roles, or roles of several under a ``title`` of their own."""

    title: str
    account: AccountId | None
    roles: tuple[Role, ...]


class StartPage:
    """The accounts and roles of the person who is signed in."""

    def __init__(
        self, context: ConsoleContext, sign_ins: PortalSignIns, visits: PortalVisits
    ) -> None:
        self._context = context
        self._sign_ins = sign_ins
        self._visits = visits
        self._favourites = FavouriteRoles(context.deps)
        self._recent = RecentRoles(context.deps)

    async def begin(self, request: Request) -> Response:
        """``GET /portal``: to the portal that this browser knows, or the sign-in page."""
        portal = await self._sign_ins.find(request)
        if portal is not None:
            place = portal.organisation or portal.session.account
            return see_other(START.format(account=place))
        known = self._context.known.find(request)
        return see_other(START.format(account=known.place) if known else SIGN_IN)

    async def nowhere(self, _request: Request) -> Response:
        """Every other path below a start URL.

        Raises:
            NoSuchEntity: Always.
        """
        raise NoSuchEntity("There is no such page.")

    async def resolve(self, request: Request) -> Response:
        """``HEAD /portal/{account}``: the AWS CLI asks which of AWS's portals it is."""
        return see_other(aws_start_url(require_place(request)), _FOUND)

    async def show(self, visit: PortalVisit) -> Response:
        """``GET /portal/{account}``, with ``q``, a search, and ``from``, a place."""
        search = (visit.form.find("q") or "")[:_TEXT_MAX]
        start = (visit.form.find("from") or "")[:_PLACE_MAX]
        person = name_of_person(visit.portal.session)
        favourites = await self._favourites.find(person)
        recent = await self._recent.find([person])
        found = await self._list(visit, search, start, first=(*favourites, *recent))
        roles: list[Role] = found["Roles"]
        return await self._visits.show(
            visit,
            "portal_start.html",
            search=search,
            start=start,
            favourites=frozenset(favourites),
            blocks=_blocks(found, favourites, recent),
            names=found["Names"],
            is_searchable=bool(search or start) or len(roles) > _FEW,
            more=address(visit.start, q=search, **{"from": found["Next"]})
            if found["Next"]
            else "",
            first=address(visit.start, q=search) if start else "",
            most=ROLES_MAX,
        )

    async def mark_favourite(self, visit: PortalVisit) -> Response:
        """``POST /portal/{account}/favourites``: add or remove one.

        Raises:
            ValidationError: It is not a role, or there are too many favourites.
        """
        role = read_role(visit.form)
        person = name_of_person(visit.portal.session)
        do = visit.form.find("do") or ""
        done = await self._favourites.mark(person, role.arn, do)
        search = (visit.form.find("q") or "")[:_TEXT_MAX]
        start = (visit.form.find("from") or "")[:_PLACE_MAX]
        response = see_other(address(visit.start, q=search, **{"from": start}))
        self._context.flash.put(response, done, visit.portal.handle)
        return response

    async def sign_out(self, request: Request) -> Response:
        """``POST /portal/{account}/sign-out``."""
        place = require_place(request)
        form = await read_form(request)
        origin = self._context.deps.public_origin
        require_same_origin(request, origin)
        portal = await self._sign_ins.find(request)
        if portal is not None:
            require_csrf(request, form.find(FIELD), portal.handle, origin)
        page = self._context.pages.show(
            request, "portal_signed_out.html", start=START.format(account=place)
        )
        await self._sign_ins.end(request, page, portal)
        return page

    async def _list(
        self, visit: PortalVisit, search: str, start: str, first: tuple[str, ...]
    ) -> Mapping[str, Any]:
        return await self._context.perform(
            visit.request,
            Door.PORTAL,
            ("sso", "ListAssignments"),
            PortalScheme(visit.find),
            lambda: {"First": first, "Text": search, "Start": start},
        )


def _blocks(
    found: Mapping[str, Any], favourites: Iterable[str], recent: Iterable[str]
) -> list[AccountRoles]:
    """What comes first, then every account with its roles, by name."""
    first: Mapping[str, Role] = {role.arn: role for role in found["First"]}
    roles: list[Role] = found["Roles"]
    names: Mapping[AccountId, str] = found["Names"]
    marked = dict.fromkeys(arn for arn in favourites if arn in first)
    blocks = []
    if marked:
        blocks.append(AccountRoles("Favourites", None, _all(first, marked)))
    used = [arn for arn in recent if arn in first and arn not in marked]
    if used and (found["Next"] or len(roles) > _FEW):
        blocks.append(AccountRoles("Recently used", None, _all(first, used)))
    roles.sort(key=lambda role: _order(role, names))
    blocks += [
        AccountRoles(names[account], account, tuple(group))
        for account, group in groupby(roles, key=lambda role: role.account)
    ]
    return blocks


def _all(found: Mapping[str, Role], arns: Iterable[str]) -> tuple[Role, ...]:
    return tuple(found[arn] for arn in arns)


def _order(
    role: Role, names: Mapping[AccountId, str]
) -> tuple[str, AccountId, str, str]:
    name = names[role.account]
    return name.lower(), role.account, role.name.lower(), role.name
