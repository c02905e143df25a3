"""Custom federation brokers with credentials that an upstream minted for a role here.

They are recognised by the session's record; the upstream proves them, and the sign-in
token that the broker gives leads to the upstream's console.
"""

from datetime import datetime
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from broker.actions.signin.signin_tokens import SigninGrant, use_of
from broker.console.context import ConsoleContext
from broker.console.signin.login_completion import USED_UP
from broker.console.upstream_console import UpstreamSession, find_upstream_session
from broker.errors import ValidationError
from broker.model.caller import Caller
from broker.model.proof_used import ProofUsed
from broker.model.request import Door

_FOUND = 302


class UpstreamLogins:
    """Sends the sign-ins of such sessions to the upstream."""

    def __init__(self, context: ConsoleContext) -> None:
        self._context = context

    async def login(
        self,
        request: Request,
        token: str,
        grant: SigninGrant,
        destination: str,
        issuer: str,
    ) -> Response:
        """Go on to the upstream's console, using the token up.

        Raises:
            ValidationError: the session was revoked or has no upstream any more, the
                destination is not in the upstream's console, or the token was used.
            ServiceUnavailable: the cache or the database is away.
        """
        deps = self._context.deps
        session = await find_upstream_session(deps, grant.access_key_id)
        if session is None or session.engine.definition.sign_in is None:
            raise ValidationError(
                USED_UP, detail=f"the upstream's session {grant.access_key_id} is over"
            )
        definition = session.engine.definition
        console = definition.console or ""
        if _origin(destination) != _origin(console):
            own = self._context.destinations.find_safe(destination) or ""
            if _origin(destination) != deps.public_origin and not own.startswith("/"):
                raise ValidationError(
                    "The Destination is not an address that this broker may send you to.",
                    detail=f"not in the upstream's console, {_origin(console)}",
                )
            destination = console
        await self._redeem(request, token, session)
        await deps.tokens.forget(token)
        url = deps.upstreams.login_url(
            definition, grant.session_token, issuer, destination
        )
        return RedirectResponse(url, _FOUND, headers={"cache-control": "no-store"})

    async def _redeem(
        self, request: Request, token: str, session: UpstreamSession
    ) -> None:
        async def prove(_now: datetime) -> Caller:
            return session.caller()

        try:
            await self._context.perform(
                request,
                Door.FEDERATION,
                ("signin", "ConsoleLogin"),
                prove,
                lambda: {"Upstream": session.engine.upstream.name},
                one_time_use=lambda: use_of(token, self._context.deps.clock.now()),
            )
        except ProofUsed as error:
            raise ValidationError(USED_UP, detail=error.detail) from error


def _origin(url: str) -> str:
    """The origin; empty for what is no URL."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc}"
