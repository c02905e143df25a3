"""Custom federation brokers with credentials that an upstream minted for a role here.

They are recognised by the session's record; the upstream proves them, and the sign-in
token that the broker gives leads to the upstream's console.
"""

from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.responses import RedirectResponse, Response

from broker.actions.signin.signin_tokens import SigninGrant
from broker.actions.sts.upstream_mint import Engine
from broker.console.context import ConsoleContext
from broker.errors import ServiceUnavailable, UpstreamRefused, ValidationError
from broker.model.account import parse_account_id
from broker.model.arn import Arn
from broker.model.caller import Caller
from broker.model.entities import Role
from broker.model.principal import Principal
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
        self, token: str, grant: SigninGrant, destination: str, issuer: str
    ) -> Response:
        """Go on to the upstream's console.

        Raises:
            UpstreamRefused: the role has no upstream any more.
            ValidationError: the destination is not in the upstream's console.
        """
        deps = self._context.deps
        account = parse_account_id(Arn.parse(grant.role_arn).account)
        role = await deps.fresh.find_role(account, grant.role_arn.rpartition("/")[2])
        engine = None if role is None else await deps.upstreams.find(role)
        if engine is None:
            raise UpstreamRefused("The role no longer has an upstream.")
        console = engine.definition.console or ""
        if _origin(destination) == deps.public_origin:
            destination = console
        elif _origin(destination) != _origin(console):
            raise ValidationError(
                "The Destination is not an address that this broker may send you to.",
                detail=f"not in the upstream's console, {_origin(console)}",
            )
        await deps.tokens.forget(token)
        url = deps.upstreams.login_url(
            engine.definition, grant.session_token, issuer, destination
        )
        return RedirectResponse(url, _FOUND, headers={"cache-control": "no-store"})


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
