"""A role with an upstream: its console is the upstream's.

The broker fetches the link, with which the browser signs in there; no session of the
broker's own console is opened. Credentials are sent only to the upstream that issued
them, which the session's record names: the role may have another one by now.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from broker import errors
from broker.actions.signin.signin_tokens import require_duration
from broker.actions.sts.upstream_mint import UpstreamRole
from broker.console.context import ConsoleContext
from broker.console.deps import ConsoleDeps
from broker.model.entities import Role
from broker.model.principal import Principal
from broker.model.secret import Secret
from broker.model.session import Caller
from broker.proofs.upstream_client import KeyPair
from broker.sessions.lineage import find_end, trace
from broker.stores.cache.port import SessionRecord
from broker.stores.directory.kinds import ROLE
from broker.stores.errors import StoreUnavailableError


class UpstreamSession(Struct, frozen=True):
    """A session that an upstream minted for a role; it is not proved."""

    role: Role
    engine: UpstreamRole
    record: SessionRecord

    def caller(self) -> Caller:
        """Its caller, once the upstream has proved the credentials."""
        return Caller(
            principal=Principal.role_session(
                self.role.account,
                role_id=self.role.role_id,
                path=self.role.path,
                role_name=self.role.name,
                session_name=self.record.principal_arn.rpartition("/")[2],
            ),
            access_key_id=self.record.access_key_id,
        )

    def console_seconds(self, requested: int, now: datetime) -> int:
        """How long its console session may last at the upstream: as long as one here.

        Raises:
            ValidationError: that cannot be requested.
        """
        made_from = self.record.lineage.ancestors
        chained = any(
            ancestor.principal_id.startswith("AROA") for ancestor in made_from
        )
        require_duration(requested, chained=chained)
        seconds = min(requested, self.role.max_session_duration_seconds)
        ends_by = self.record.upstream.ends_by if self.record.upstream else None
        return (
            seconds if ends_by is None else min(seconds, ends_by - int(now.timestamp()))
        )


async def endpoint_of(deps: ConsoleDeps, access_key_id: str) -> str:
    """Where a session calls STS: the public URL; empty if an upstream gave it."""
    there = await find_upstream_session(deps, access_key_id)
    return deps.public_origin if there is None else ""


async def find_upstream_session(
    deps: ConsoleDeps, access_key_id: str
) -> UpstreamSession | None:
    """The session of a key id.

    None if no upstream gave it, it was revoked, or the role no longer has that upstream.

    Raises:
        ServiceUnavailable: the cache or the database is away.
    """
    try:
        record = await deps.cache.find_session(access_key_id)
    except StoreUnavailableError as error:
        raise errors.ServiceUnavailable(detail=f"the cache is away: {error}") from error
    if record is None or record.upstream is None:
        return None
    role = await deps.fresh.find(ROLE, record.account, record.principal_id)
    engine = None if role is None else await deps.upstreams.find(role)
    if role is None or engine is None:
        return None
    if engine.definition.endpoint != record.upstream.endpoint:
        return None
    if await find_end(trace(record), deps.fresh):
        return None
    return UpstreamSession(role, engine, record)


async def is_brokers_own(deps: ConsoleDeps, access_key_id: str, token: str) -> bool:
    """Whether the broker minted these: they must not be sent anywhere."""
    try:
        await deps.resolver.resolve(access_key_id, token, deps.clock.now())
    except errors.ExpiredToken:
        return True
    except errors.InvalidClientTokenId:
        return False
    return True


async def find_upstream_console(
    context: ConsoleContext, request: Request, credentials: Mapping[str, Any]
) -> Response | None:
    """A page that redirects to the upstream's console; None if the broker mints itself.

    ``credentials`` are those of a mint for a role.

    Raises:
        AccessDenied: the role no longer has the upstream, or the session was revoked.
        UpstreamRefused, UpstreamUnavailable: the upstream gave no link.
        ServiceUnavailable: the cache or the database is away.
    """
    deps, key_id = context.deps, credentials["AccessKeyId"]
    if await is_brokers_own(deps, key_id, credentials["SessionToken"]):
        return None
    session = await find_upstream_session(deps, key_id)
    if session is None:
        raise errors.AccessDenied(
            "The role's upstream was changed, or the session revoked, just now. Sign in"
            " again."
        )
    keys = KeyPair(
        access_key_id=key_id,
        secret_access_key=Secret(credentials["SecretAccessKey"]),
        session_token=credentials["SessionToken"],
    )
    token = await deps.upstreams.signin_token(session.engine, keys)
    role = session.role
    url = deps.upstreams.login_url(
        session.engine.definition, token, f"{deps.public_origin}/signin/{role.account}"
    )
    # A redirect would be one that a form leads to, which pages do not allow.
    return context.pages.show(
        request, "upstream_console.html", url=url, role=role.name, account=role.account
    )
