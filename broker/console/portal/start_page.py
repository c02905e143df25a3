"""``/portal/{account}``: the start URL in a browser.

It lists the accounts and roles of the person who is signed in. Favourites and recent roles come
first; they are kept in the cache by person, as those of the console are.

Source: AWS IAM Identity Center User Guide, "Using the AWS access portal".
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from msgspec import Struct
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response

from broker.actions.portal.assignments import ROLES_MAX
from broker.actions.portal.start_urls import aws_start_url
from broker.console.client_settings import CredentialsView
from broker.console.console_session import ConsoleSession, EndedSession, SessionOrigin
from broker.console.context import HOME, SIGN_IN, ConsoleContext
from broker.console.csrf import require_same_origin
from broker.console.forms import read_form
from broker.console.pending_login import LoginMethod
from broker.console.portal.places import PORTAL
from broker.console.portal.sign_ins import PortalSignIns
from broker.console.portal.visits import PortalVisit, PortalVisits, RoleName, read_role
from broker.console.recent_roles import FavouriteRoles, RecentRoles, name_of_person
from broker.console.rendering import see_other
from broker.console.request_info import require_place, unnoted
from broker.console.sign_out import end_session
from broker.console.upstream_console import endpoint_of, find_upstream_console
from broker.console.visit import address
from broker.errors import NoSuchEntity, ServiceUnavailable
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

ROLE = f"{PORTAL}/{{account}}/role"
CREDENTIALS = f"{PORTAL}/{{account}}/credentials"
CONSOLE = f"{PORTAL}/{{account}}/console"
_MILLISECONDS = 1000


class AccountRoles(Struct, frozen=True):
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
        results = await self._list(visit, search, start, first=(*favourites, *recent))
        roles: list[Role] = results["Roles"]
        return await self._visits.show(
            visit,
            "portal_start.html",
            search=search,
            start=start,
            favourites=frozenset(favourites),
            blocks=_blocks(results, favourites, recent),
            names=results["Names"],
            is_searchable=bool(search or start) or len(roles) > _FEW,
            more=address(visit.start, q=search, **{"from": results["Next"]})
            if results["Next"]
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
        require_same_origin(request, self._context.deps.public_origin)
        portal = await self._sign_ins.find(request)
        if portal is not None:
            self._context.require_csrf(request, form, portal.handle)
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
            PortalScheme(visit.portal),
            lambda: {"First": first, "Text": search, "Start": start},
        )

    async def show_role(self, visit: PortalVisit) -> Response:
        """``GET /portal/{account}/role``: a profile, and a way to credentials."""
        return await self._show_role(visit, read_role(visit.form), None)

    async def show_credentials(self, visit: PortalVisit) -> Response:
        """``POST /portal/{account}/credentials``: the same page with new credentials."""
        role = read_role(visit.form)
        return await self._show_role(visit, role, await self._take(visit, role))

    async def open_console(self, visit: PortalVisit) -> Response:
        """``POST /portal/{account}/console``: the console, as the role.

        An IAM user's console session stays behind it, since the sign-in here ends with
        that; any other is replaced.
        """
        role = read_role(visit.form)
        taken = await self._take(visit, role)
        elsewhere = await find_upstream_console(
            self._context,
            visit.request,
            {
                "AccessKeyId": taken.access_key_id,
                "SecretAccessKey": taken.secret_access_key,
                "SessionToken": taken.session_token,
            },
        )
        if elsewhere is not None:
            return elsewhere
        sessions = self._context.sessions
        replaced = await self._context.find_session(visit.request)
        origin = SessionOrigin(door=LoginMethod.PORTAL, issuer=visit.start)
        original = await self._find_parent(visit, replaced)
        if original is not None:
            hidden = await sessions.renew(original)
            origin = replace(original.origin, door=LoginMethod.SWITCH_ROLE, back=hidden)
        cookie = await sessions.open(
            taken.access_key_id, taken.session_token, taken.expiration, origin
        )
        if original is None and isinstance(replaced, ConsoleSession):
            # The new session stands either way.
            with suppress(ServiceUnavailable), unnoted(visit.request):
                await end_session(self._context, visit.request, replaced)
        elif isinstance(replaced, ConsoleSession) and replaced is not original:
            await sessions.close(replaced.cookie)
        response = see_other(HOME)
        self._context.cookie.set(response, cookie)
        return response

    async def _find_parent(
        self, visit: PortalVisit, who: ConsoleSession | EndedSession | None
    ) -> ConsoleSession | None:
        """The console session that an IAM user's sign-in came from, if it is here."""
        parent = visit.portal.session.parent_key_id
        if not parent or not isinstance(who, ConsoleSession):
            return None
        if who.session.access_key_id == parent:
            return who
        original = await self._context.sessions.find_original(
            who, self._context.deps.clock.now()
        )
        if (
            isinstance(original, ConsoleSession)
            and original.session.access_key_id == parent
        ):
            return original
        return None

    async def _take(self, visit: PortalVisit, role: RoleName) -> CredentialsView:
        answer: Mapping[str, Any] = await self._context.perform(
            visit.request,
            Door.PORTAL,
            ("sso", "GetRoleCredentials"),
            PortalScheme(visit.portal),
            lambda: {"roleName": role.name, "accountId": role.account},
        )
        person = name_of_person(visit.portal.session)
        await self._recent.remember(person, role.arn)
        credentials = answer["roleCredentials"]
        return CredentialsView(
            access_key_id=credentials["accessKeyId"],
            secret_access_key=credentials["secretAccessKey"],
            session_token=credentials["sessionToken"],
            expiration=datetime.fromtimestamp(
                credentials["expiration"] / _MILLISECONDS, UTC
            ),
        )

    async def _show_role(
        self, visit: PortalVisit, role: RoleName, credentials: CredentialsView | None
    ) -> Response:
        endpoint = ""
        if credentials is not None:
            key_id = credentials.access_key_id
            endpoint = await endpoint_of(self._context.deps, key_id)
        return await self._visits.show(
            visit,
            "portal_role.html",
            role=role,
            account_name=await self._visits.name_of(visit.portal, role.account),
            credentials=credentials,
            endpoint=endpoint,
        )


def _blocks(
    results: Mapping[str, Any], favourites: Iterable[str], recent: Iterable[str]
) -> list[AccountRoles]:
    first: Mapping[str, Role] = {role.arn: role for role in results["First"]}
    roles: list[Role] = results["Roles"]
    names: Mapping[AccountId, str] = results["Names"]
    marked = dict.fromkeys(arn for arn in favourites if arn in first)
    blocks = []
    if marked:
        blocks.append(AccountRoles("Favorites", None, _all(first, marked)))
    used = [arn for arn in recent if arn in first and arn not in marked]
    if used and (results["Next"] or len(roles) > _FEW):
        blocks.append(AccountRoles("Recently used", None, _all(first, used)))
    roles.sort(key=lambda role: _order(role, names))
    blocks += [
        AccountRoles(names[account], account, tuple(group))
        for account, group in groupby(roles, key=lambda role: role.account)
    ]
    return blocks


def _all(results: Mapping[str, Role], arns: Iterable[str]) -> tuple[Role, ...]:
    return tuple(results[arn] for arn in arns)


def _order(
    role: Role, names: Mapping[AccountId, str]
) -> tuple[str, AccountId, str, str]:
    name = names[role.account]
    return name.lower(), role.account, role.name.lower(), role.name
