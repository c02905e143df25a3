"""The console's home: who I am, how long, and my credentials for a terminal."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response

from broker.actions.action import Door
from broker.console.console_session import Arrived, Ended, SignedIn
from broker.console.csrf import csrf_token
from broker.console.desk import SIGN_IN, Desk
from broker.console.forms import read_form
from broker.console.pages import see_other
from broker.model.caller import Caller

_FORBIDDEN = 403


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownCredentials:
    """Credentials on their way into a page."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(repr=False)
    expiration: datetime


class Home:
    """The pages inside."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def page(self, request: Request) -> Response:
        """``GET /console/``."""
        who = await self._desk.find_session(request)
        if not isinstance(who, SignedIn):
            return self._send_away(request, who)
        return await self._show(request, who, None)

    async def credentials(self, request: Request) -> Response:
        """``POST /console/credentials``: the same page with credentials on it."""
        form = await read_form(request)
        who = await self._desk.find_session(request)
        if not isinstance(who, SignedIn):
            return self._send_away(request, who)
        self._desk.require_csrf(request, form, who)

        async def prove(_now: datetime) -> Caller:
            return who.caller

        result = await self._desk.perform(
            request, Door.CONSOLE, ("signin", "GetConsoleCredentials"), prove, dict
        )
        return await self._show(request, who, _shown(result["Credentials"]))

    async def _show(
        self, request: Request, who: SignedIn, credentials: ShownCredentials | None
    ) -> Response:
        deps = self._desk.deps
        session = who.session
        account = await deps.fresh.find_account(session.account)
        now = deps.clock.now()
        return self._desk.pages.show(
            request,
            "home.html",
            principal=who.principal,
            session=session,
            role_name=_role_name(who),
            alias=account.alias if account else None,
            arrived=who.arrived,
            issuer_link=self._issuer_link(who.arrived),
            tags=sorted(session.tags.items()),
            expires=datetime.fromtimestamp(session.expires_at, UTC),
            seconds_left=max(0, int(session.expires_at - now.timestamp())),
            csrf=csrf_token(who.cookie),
            credentials=credentials,
            endpoint=deps.public_origin,
        )

    def _send_away(self, request: Request, who: Ended | None) -> Response:
        if who is None:
            return see_other(SIGN_IN)
        return self._desk.pages.show(
            request,
            "timed_out.html",
            _FORBIDDEN,
            arrived=who.arrived,
            issuer_link=self._issuer_link(who.arrived),
        )

    def _issuer_link(self, arrived: Arrived) -> str | None:
        """Issuer is any text; it is a link only where it may lead."""
        return self._desk.destinations.find_safe(arrived.issuer, (SIGN_IN,))


def _role_name(who: SignedIn) -> str | None:
    if not who.session.kind.is_role:
        return None
    return who.principal.principal_arn.rpartition("/")[2]


def _shown(credentials: Mapping[str, object]) -> ShownCredentials:
    expiration = credentials["Expiration"]
    if not isinstance(expiration, datetime):
        raise TypeError("Expiration is a time")
    return ShownCredentials(
        access_key_id=str(credentials["AccessKeyId"]),
        secret_access_key=str(credentials["SecretAccessKey"]),
        session_token=str(credentials["SessionToken"]),
        expiration=expiration,
    )
