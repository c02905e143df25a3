"""The console's home page: the session, and credentials for a terminal."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from broker.actions.signin.create_console_link import LINK_SECONDS, may_be_lent
from broker.console.console_session import SignedIn
from broker.console.context import HOME
from broker.console.page_frame import PageFrame, Route
from broker.console.pages.switchable_roles import SwitchableRoles
from broker.console.request_info import raw_request
from broker.model.session import Session

_NUMBER = re.compile(r"[0-9]{1,3}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialsView:
    """Temporary credentials to show on a page."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(repr=False)
    expiration: datetime

    def process_output(self) -> str:
        """The output of a ``credential_process``.

        Source: AWS SDKs and Tools Reference Guide, "Process credential provider".
        """
        return json.dumps(
            {
                "Version": 1,
                "AccessKeyId": self.access_key_id,
                "SecretAccessKey": self.secret_access_key,
                "SessionToken": self.session_token,
                "Expiration": self.expiration.astimezone(UTC).strftime(
                    "%Y-%m-%dT%H:%M:%SZ"
                ),
            },
            indent=2,
        )


@dataclass(frozen=True, slots=True)
class LinkView:
    """A link that opens the console elsewhere, and when that session ends."""

    url: str = field(repr=False)
    ends_at: datetime


class Home:
    """The home page."""

    def __init__(self, frame: PageFrame) -> None:
        self._frame = frame
        self._switchable = SwitchableRoles(frame)

    def routes(self) -> Iterable[Route]:
        """Their routes."""
        return (
            (HOME, ["GET"], self.page),
            ("/console/credentials", ["POST"], self.credentials),
            ("/console/link", ["POST"], self.link),
        )

    async def page(self, request: Request) -> Response:
        """``GET /console/``."""
        entered = await self._frame.enter(request)
        if isinstance(entered, Response):
            return entered
        return await self._show(request, entered[1])

    async def credentials(self, request: Request) -> Response:
        """``POST /console/credentials``: the home page with new credentials."""
        entered = await self._frame.enter(request)
        if isinstance(entered, Response):
            return entered
        _, who = entered
        result = await self._frame.perform(
            request, who, ("signin", "GetConsoleCredentials"), {}
        )
        return await self._show(request, who, credentials=_view(result["Credentials"]))

    async def link(self, request: Request) -> Response:
        """``POST /console/link``: the home page with a new link to share."""
        entered = await self._frame.enter(request)
        if isinstance(entered, Response):
            return entered
        form, who = entered
        minutes = form.require("minutes")
        seconds = int(minutes) * 60 if _NUMBER.fullmatch(minutes) else 0
        result = await self._frame.perform(
            request, who, ("signin", "CreateConsoleLink"), {"SessionDuration": seconds}
        )
        query = {
            "Action": "login",
            "Destination": HOME,
            "SigninToken": result["SigninToken"],
        }
        origin = self._frame.context.deps.public_origin
        link = LinkView(f"{origin}/federation?{urlencode(query)}", result["Expiration"])
        return await self._show(request, who, link=link)

    async def _show(
        self,
        request: Request,
        who: SignedIn,
        credentials: CredentialsView | None = None,
        link: LinkView | None = None,
    ) -> Response:
        deps = self._frame.context.deps
        original = await self._switchable.find_original(who)
        return await self._frame.show(
            request,
            who,
            "home.html",
            "home",
            original=original if original is not who else None,
            tags=sorted(who.session.tags.items()),
            credentials=credentials,
            link=link,
            link_minutes=self._minutes(who.session),
            endpoint=deps.public_origin,
            region=deps.endpoints.find_region(raw_request(request)),
        )

    def _minutes(self, session: Session) -> tuple[int, ...]:
        """The lifetimes to offer for a link; none when the session allows no link."""
        if not may_be_lent(session):
            return ()
        left = session.expires_at - self._frame.context.deps.clock.now().timestamp()
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
