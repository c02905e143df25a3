"""The console's home: who I am, how long, and my credentials for a terminal."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response

from broker.console.console_session import SignedIn
from broker.console.desk import HOME
from broker.console.inside import Inside, Route


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownCredentials:
    """Credentials on their way into a page."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(repr=False)
    expiration: datetime

    def process_output(self) -> str:
        """What a ``credential_process`` prints. Source: AWS CLI User Guide."""
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


class Home:
    """The first page inside."""

    def __init__(self, inside: Inside) -> None:
        self._inside = inside

    def routes(self) -> Iterable[Route]:
        """Where the pages are."""
        return (
            (HOME, ["GET"], self.page),
            ("/console/credentials", ["POST"], self.credentials),
        )

    async def page(self, request: Request) -> Response:
        """``GET /console/``."""
        entered = await self._inside.enter(request)
        if isinstance(entered, Response):
            return entered
        return await self._show(request, entered[1], None)

    async def credentials(self, request: Request) -> Response:
        """``POST /console/credentials``: the same page with credentials on it."""
        entered = await self._inside.enter(request)
        if isinstance(entered, Response):
            return entered
        _, who = entered
        result = await self._inside.perform(
            request, who, ("signin", "GetConsoleCredentials"), {}
        )
        return await self._show(request, who, _shown(result["Credentials"]))

    async def _show(
        self, request: Request, who: SignedIn, credentials: ShownCredentials | None
    ) -> Response:
        return await self._inside.show(
            request,
            who,
            "home.html",
            "home",
            tags=sorted(who.session.tags.items()),
            credentials=credentials,
            endpoint=self._inside.desk.deps.public_origin,
        )


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
