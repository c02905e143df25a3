"""*Switch role*: ``AssumeRole`` from the original session, and switching back.

Switching again starts from the original session, so that roles do not chain. The
original session stays under a handle that only the switched session's record has;
each switch sets a new cookie.

The roles that the page offers, recently used ones and those policies name, are a
suggestion only: the role's trust policy decides when the user switches. Recent roles are
stored by user, so that they are there in another browser and after another sign-in.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response

from broker.console.console_session import ConsoleSession
from broker.console.context import HOME
from broker.console.page_frame import PageFrame
from broker.console.pending_login import LoginMethod
from broker.console.recent_roles import RecentRoles, name_of_session
from broker.console.upstream_console import find_upstream_console
from broker.console.visit import BOTH, POST, PageRoute, Visit, go
from broker.errors import AccessDenied, ValidationError
from broker.model.arn import iam_arn
from broker.permit.named_roles import named_roles
from broker.policy import PolicyType
from broker.proofs.session_name import session_name

SWITCH = "/console/switch"
BACK = "/console/switch/back"
_TYPED_MAX = 2048
_ROLE_ARN = re.compile(
    r"arn:aws:iam::[0-9]{12}:role/(?:[!-~]{1,510}/)?[\w+=,.@-]{1,64}"
)
_ROLE_NAME = re.compile(r"[\w+=,.@-]{1,64}", re.ASCII)

_NAMED_MAX = 200


async def _page(visit: Visit) -> Response:
    role = visit.text("role")
    if visit.posted:
        with visit.attempt():
            return await _switch(visit, role)
    roles = await SwitchableRoles(visit.frame).offer(visit.request, visit.who)
    return await visit.show(
        "switch_role.html",
        role=role[:_TYPED_MAX],
        offered=[
            *((arn, "You used it recently") for arn in roles.recent),
            *((arn, "Your policies name it") for arn in roles.named),
        ],
        cut=roles.cut,
        switched=bool(visit.who.origin.back),
    )


async def _back(visit: Visit) -> Response:
    sessions = visit.frame.context.sessions
    original = await require_original(visit)
    if original is visit.who:
        return go(HOME)
    cookie = await sessions.renew(original)
    await sessions.close(visit.who.cookie)
    return _home(visit, cookie)


async def _switch(visit: Visit, role: str) -> Response:
    original = await require_original(visit)
    arn = role_arn_of(original, role)
    credentials = await assume(visit, original, arn)
    elsewhere = await find_upstream_console(
        visit.frame.context, visit.request, credentials
    )
    if elsewhere is not None:
        return elsewhere
    sessions = visit.frame.context.sessions
    hidden = await sessions.renew(original)
    cookie = await sessions.open(
        credentials["AccessKeyId"],
        credentials["SessionToken"],
        credentials["Expiration"],
        replace(original.origin, door=LoginMethod.SWITCH_ROLE, back=hidden),
    )
    if visit.who is not original:
        await sessions.close(visit.who.cookie)
    return _home(visit, cookie)


async def assume(visit: Visit, original: ConsoleSession, arn: str) -> Mapping[str, Any]:
    """The credentials of a role's session; the role is one of the recent ones then.

    Raises:
        BrokerError: The role cannot be assumed; the attempt is audited.
    """
    result = await visit.frame.perform(
        visit.request,
        original,
        ("sts", "AssumeRole"),
        {"RoleArn": arn, "RoleSessionName": session_name_of(original)},
    )
    await SwitchableRoles(visit.frame).remember(original, arn)
    credentials: Mapping[str, Any] = result["Credentials"]
    return credentials


async def require_original(visit: Visit) -> ConsoleSession:
    """The original session.

    Raises:
        AccessDenied: It has ended.
    """
    original = await SwitchableRoles(visit.frame).find_original(visit.who)
    if original is None:
        raise AccessDenied("The session that you signed in with has ended.")
    return original


def _home(visit: Visit, cookie: str) -> Response:
    response = go(HOME)
    visit.frame.context.cookie.set(response, cookie)
    return response


def session_name_of(who: ConsoleSession) -> str:
    """The role session name; a user name can be too short for one (2 characters)."""
    session = who.session
    return session_name(
        session.name, issuer=session.account, subject=session.principal_id
    )


def role_arn_of(who: ConsoleSession, role: str) -> str:
    """The ARN of a role that is named by ARN, or by name in the session's account.

    Raises:
        ValidationError: It is neither.
    """
    if _ROLE_NAME.fullmatch(role):
        return iam_arn(who.session.account, f"role/{role}")
    if _ROLE_ARN.fullmatch(role):
        return role
    raise ValidationError("Enter the name of a role in this account, or a role's ARN.")


PAGES = (
    PageRoute(SWITCH, "switch", _page, BOTH),
    PageRoute(BACK, "switch", _back, POST),
)


class OfferedRoles(Struct, frozen=True):
    """Role ARNs: ``recent`` newest first, and the others ``named`` by policies, sorted.

    ``cut`` says that the policies name more than are listed.
    """

    recent: tuple[str, ...] = ()
    named: tuple[str, ...] = ()
    cut: bool = False


class SwitchableRoles:
    """Finds the roles that the original session can switch to."""

    def __init__(self, frame: PageFrame) -> None:
        self._frame = frame
        self._recent = RecentRoles(frame.context.deps, "switched-roles")

    async def find_original(self, who: ConsoleSession) -> ConsoleSession | None:
        """Find the original session; None when it has ended."""
        if not who.origin.back:
            return who
        context = self._frame.context
        session = await context.sessions.find(who.origin.back, context.deps.clock.now())
        return session if isinstance(session, ConsoleSession) else None

    async def offer(self, request: Request, who: ConsoleSession) -> OfferedRoles:
        """Find the roles to offer, except the current one.

        Raises:
            BrokerError: The user's own policies cannot be read; this is audited.
        """
        original = await self.find_original(who)
        if original is None:
            return OfferedRoles()
        here = who.principal.principal_arn
        answer = await self._frame.perform(
            request, original, ("signin", "GetOwnPermissions"), {}
        )
        recent = dict.fromkeys(await self.find_recent(original))
        named = sorted(set(_named_roles(answer["Layers"])) - {here} - recent.keys())
        return OfferedRoles(
            tuple(arn for arn in recent if arn != here),
            tuple(named[:_NAMED_MAX]),
            len(named) > _NAMED_MAX,
        )

    async def find_recent(self, original: ConsoleSession) -> tuple[str, ...]:
        """The ARNs of the roles that the original session's user used, newest first."""
        return await self._recent.find([name_of_session(original.session)])

    async def remember(self, original: ConsoleSession, role_arn: str) -> None:
        """Record that the original session switched to this role."""
        await self._recent.remember(name_of_session(original.session), role_arn)


def _named_roles(layers: Iterable[tuple[PolicyType, Any]]) -> Iterable[str]:
    """Roles that the session's own policies allow it to assume, listed by ARN."""
    identity = dict(layers).get(PolicyType.IDENTITY)
    return () if identity is None else named_roles(identity)
