"""The console's home page: the session, the portal, and credentials for a terminal."""

import re
from collections.abc import Mapping
from datetime import datetime

from starlette.responses import Response

from broker.actions.signin.signin_tokens import LINK_SECONDS, may_be_linked
from broker.console.client_settings import CredentialsView
from broker.console.console_session import ConsoleSession
from broker.console.context import HOME
from broker.console.page_frame import role_name
from broker.console.pages.first_steps import find_steps, put_away
from broker.console.pages.portal import RoleFinder, mark_favourite
from broker.console.pages.switch_role import (
    SwitchableRoles,
    assume,
    require_original,
    role_arn_of,
)
from broker.console.pending_login import LoginMethod
from broker.console.request_info import raw_request
from broker.console.upstream_console import endpoint_of
from broker.console.visit import POST, PageRoute, Visit, address
from broker.model.arn import Arn
from broker.model.principal import PrincipalType

_NUMBER = re.compile(r"[0-9]{1,3}", re.ASCII)


async def _credentials(visit: Visit) -> Response:
    result = await visit.perform("signin", "GetConsoleCredentials")
    who = visit.who
    name = role_name(who) or who.principal.username
    if name is None:
        is_root = who.principal.type is PrincipalType.ACCOUNT
        name = "root" if is_root else "federated"
    return await _show_credentials(
        visit, result["Credentials"], name, who.session.account
    )


async def _role_credentials(visit: Visit) -> Response:
    original = await require_original(visit)
    arn = role_arn_of(original, visit.form.require("role"))
    credentials = await assume(visit, original, arn)
    name, account = arn.rpartition("/")[2], Arn.parse(arn).account
    return await _show_credentials(visit, credentials, name, account)


async def _show_credentials(
    visit: Visit, credentials: Mapping[str, object], name: str, account: str
) -> Response:
    view = _view(credentials)
    return await visit.show(
        "credentials.html",
        credentials=view,
        name=name,
        account=account,
        endpoint=await endpoint_of(visit.deps, view.access_key_id),
        region=visit.deps.endpoints.find_region(raw_request(visit.request)),
    )


async def _link(visit: Visit) -> Response:
    minutes = visit.form.require("minutes")
    seconds = int(minutes) * 60 if _NUMBER.fullmatch(minutes) else 0
    result = await visit.perform("signin", "CreateConsoleLink", SessionDuration=seconds)
    url = address(
        f"{visit.deps.public_origin}/federation",
        Action="login",
        Destination=HOME,
        SigninToken=result["SigninToken"],
    )
    return await _show(visit, link={"url": url, "ends_at": result["Expiration"]})


async def _show(visit: Visit, link: Mapping[str, object] | None = None) -> Response:
    who = visit.who
    original = await SwitchableRoles(visit.frame).find_original(who)
    return await visit.show(
        "home.html",
        original=original if original is not who else None,
        portal_path=_portal_path(visit, original or who),
        tags=sorted(who.session.tags.items()),
        portal=await RoleFinder(visit).view(),
        steps=await find_steps(visit),
        link=link,
        link_minutes=_link_minutes(visit),
    )


def _portal_path(visit: Visit, who: ConsoleSession) -> str:
    """Where all accounts and roles are: of the portal that the session is from."""
    if who.origin.door is LoginMethod.PORTAL:
        return visit.frame.issuer_link(who.origin) or ""
    path = f"/portal/{who.session.account}"
    if who.session.provider_id:
        return address(path, **{"with": who.session.provider_id})
    return path if who.principal.type is PrincipalType.USER else ""


def _link_minutes(visit: Visit) -> tuple[int, ...]:
    """The lifetimes to offer for a link; none when the session allows no link."""
    session = visit.who.session
    if not may_be_linked(session):
        return ()
    left = session.expires_at - visit.now.timestamp()
    shortest = LINK_SECONDS[0]
    return tuple(
        seconds // 60
        for seconds in LINK_SECONDS
        if seconds <= left or seconds == shortest
    )


def _view(credentials: Mapping[str, object]) -> CredentialsView:
    expiration = credentials["Expiration"]
    if not isinstance(expiration, datetime):
        raise TypeError("Expiration is not a datetime")
    return CredentialsView(
        access_key_id=str(credentials["AccessKeyId"]),
        secret_access_key=str(credentials["SecretAccessKey"]),
        session_token=str(credentials["SessionToken"]),
        expiration=expiration,
    )


PAGES = (
    PageRoute(HOME, "home", _show),
    PageRoute("/console/credentials", "home", _credentials, POST),
    PageRoute("/console/portal/credentials", "home", _role_credentials, POST),
    PageRoute("/console/favourites", "home", mark_favourite, POST),
    PageRoute("/console/link", "home", _link, POST),
    PageRoute("/console/first-steps", "home", put_away, POST),
)
