"""Custom federation brokers with credentials that an upstream minted for a role here.

They are recognised by the session's record; the upstream proves them, and the sign-in
token that the broker gives leads to the upstream's console.
"""

from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from broker.actions.signin.signin_tokens import SigninGrant, use_of
from broker.actions.sts.upstream_mint import Engine
from broker.console.context import ConsoleContext
from broker.console.signin.login_completion import USED_UP
from broker.errors import ServiceUnavailable, ValidationError
from broker.model.caller import Caller
from broker.model.entities import Role
from broker.model.principal import Principal
from broker.model.proof_used import ProofUsed
from broker.model.request import Door
from broker.sessions.lineage import find_end, trace
from broker.stores.errors import StoreUnavailableError

_FOUND = 302


@dataclass(frozen=True, slots=True)
class UpstreamSession:
    """A session that an upstream minted for a role; it is not proved."""

    role: Role
    engine: Engine
    name: str

    def caller(self, access_key_id: str) -> Caller:
        """Its caller, once the upstream has proved the credentials."""
        return Caller(
            principal=Principal.role_session(
                self.role.account,
                role_id=self.role.role_id,
                path=self.role.path,
                role_name=self.role.name,
                session_name=self.name,
            ),
            access_key_id=access_key_id,
        )


class UpstreamSessions:
    """Finds such sessions, and sends their sign-ins to the upstream."""

    def __init__(self, context: ConsoleContext) -> None:
        self._context = context

    async def find(self, access_key_id: str) -> UpstreamSession | None:
        """The session of a key id; None if the broker knows none, or it was revoked.

        The broker itself may have minted it, before the role had an upstream.

        Raises:
            ServiceUnavailable: the cache or the database is away.
        """
        deps = self._context.deps
        try:
            record = await deps.cache.find_session(access_key_id)
        except StoreUnavailableError as error:
            raise ServiceUnavailable(detail=f"the cache is away: {error}") from error
        if record is None:
            return None
        role = await deps.fresh.find_role_by_id(record.account, record.principal_id)
        engine = None if role is None else await deps.upstreams.find(role)
        if role is None or engine is None:
            return None
        if await find_end(trace(record), deps.fresh):
            return None
        return UpstreamSession(role, engine, record.principal_arn.rpartition("/")[2])

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
        session = await self.find(grant.access_key_id)
        if session is None:
            raise ValidationError(
                USED_UP, detail=f"the upstream's session {grant.access_key_id} is over"
            )
        definition = session.engine.definition
        console = definition.console or ""
        if _origin(destination) == deps.public_origin:
            destination = console
        elif _origin(destination) != _origin(console):
            raise ValidationError(
                "The Destination is not an address that this broker may send you to.",
                detail=f"not in the upstream's console, {_origin(console)}",
            )
        await self._redeem(request, token, session, grant.access_key_id)
        await deps.tokens.forget(token)
        url = deps.upstreams.login_url(
            definition, grant.session_token, issuer, destination
        )
        return RedirectResponse(url, _FOUND, headers={"cache-control": "no-store"})

    async def _redeem(
        self, request: Request, token: str, session: UpstreamSession, key_id: str
    ) -> None:
        async def prove(_now: datetime) -> Caller:
            return session.caller(key_id)

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
