"""Mints a session from another one of the same principal, with no more permissions."""

from datetime import datetime
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from broker.actions.action import Call
from broker.errors import AccessDenied, ExpiredToken, ValidationError
from broker.model.session import Session, SessionKind, SessionPolicies
from broker.sessions.issue import (
    MintOrder,
    MintResult,
    SealedSession,
    SessionIssuer,
    new_access_key_id,
)
from broker.sessions.lineage import descend, ending_with, new_mint_id
from broker.stores.cache.port import SessionClient
from broker.stores.directory.kinds import ACCOUNT
from broker.stores.directory.readings import FreshDirectory

_TIED_TO_A_KEY = frozenset(
    {SessionKind.FEDERATION_TOKEN, SessionKind.SESSION_TOKEN, SessionKind.ROOT_TASK}
)


class Directories(Protocol):
    """Asks the directory behind a session again."""

    async def require_current(self, session: Session, now: datetime) -> None:
        """Refuse the session of someone who is no longer in the directory."""
        ...


class Narrowing(Struct, frozen=True, kw_only=True):
    """How the new session is narrower than the caller's own."""

    policies: tuple[SessionPolicies, ...]
    scope_count: int
    least_token_characters: int = 0


class DerivedMinter:
    """Mints sessions that continue the caller's own.

    Policies, tags, source identity and proof are kept, and so is the time of the first
    issue, so that revocations by time apply.
    """

    def __init__(
        self, fresh: FreshDirectory, issuer: SessionIssuer, directories: Directories
    ) -> None:
        self._fresh = fresh
        self._issuer = issuer
        self._directories = directories

    async def mint(
        self,
        call: Call,
        *,
        ends_at: int,
        counts_as_chained: bool = False,
        narrowing: Narrowing | None = None,
        end_marks: tuple[str, ...] = (),
        through: SealedSession | None = None,
    ) -> MintResult:
        """The new session, which ends at ``ends_at`` (seconds since 1970).

        It ends with any of the ``end_marks``, too, of `broker.sessions.ends`. One that
        goes ``through`` a session that `derive` gave is made from that.

        Raises:
            ExpiredToken: that is past, or the person left the directory.
            AccessDenied: the account is gone.
            ProofUsed: the one-time proof was already used.
            ServiceUnavailable: the database is unavailable, or the person's directory;
                nothing was minted.
        """
        session = require_session(call)
        if ends_at <= int(call.now.timestamp()):
            raise ExpiredToken(detail=f"the session ended at {ends_at}")
        await self._directories.require_current(session, call.now)
        order = await self._order(
            call,
            through.session if through else session,
            ends_at=ends_at,
            counts_as_chained=counts_as_chained,
            narrowing=narrowing,
            end_marks=end_marks,
        )
        return await self._issuer.issue(
            order, call.record, call.mark, keep=call.keep, through=through
        )

    async def derive(
        self,
        call: Call,
        client: SessionClient,
        *,
        ends_at: int,
        end_marks: tuple[str, ...],
    ) -> SealedSession:
        """A client's session between the caller's and the one that `mint` makes through it.

        That mint creates it; until then it must not be handed out.

        Raises:
            AccessDenied, ServiceUnavailable: as `mint` does.
        """
        order = await self._order(
            call, require_session(call), ends_at=ends_at, end_marks=end_marks
        )
        return replace(self._issuer.seal(order), client=client)

    async def _order(
        self,
        call: Call,
        session: Session,
        *,
        ends_at: int,
        end_marks: tuple[str, ...],
        counts_as_chained: bool = False,
        narrowing: Narrowing | None = None,
    ) -> MintOrder:
        account = await self._fresh.find(ACCOUNT, session.account)
        if account is None:
            raise AccessDenied(detail=f"account {session.account} no longer exists")
        return MintOrder(
            session=Session(
                access_key_id=new_access_key_id(session.account),
                mint_id=new_mint_id(),
                issued_at_ms=session.issued_at_ms,
                expires_at=ends_at,
                account=session.account,
                kind=session.kind,
                principal_id=session.principal_id,
                name=session.name,
                # A user's own session stays tied to the long-term key that made it.
                parent_key_id=(
                    session.parent_key_id
                    if session.kind in _TIED_TO_A_KEY
                    else session.access_key_id
                ),
                policies=narrowing.policies if narrowing else session.policies,
                tags=session.tags,
                transitive_keys=session.transitive_keys,
                source_identity=session.source_identity,
                provider_arn=session.provider_arn,
                provider_id=session.provider_id,
                identity_context=session.identity_context,
                mfa_at=session.mfa_at,
                chain_depth=session.chain_depth + int(counts_as_chained),
                ends_by=session.ends_by,
                scope_count=narrowing.scope_count if narrowing else session.scope_count,
                lineage=ending_with(descend(session), end_marks),
            ),
            account_salt=account.session_salt,
            principal_arn=call.caller.principal.arn,
            now=call.now,
            least_token_characters=narrowing.least_token_characters if narrowing else 0,
        )


def require_session(call: Call) -> Session:
    """The session that the call was proved with.

    Raises:
        ValidationError: it was proved with a long-term key.
    """
    session = call.caller.session
    if session is None:
        raise ValidationError(
            "Invalid credentials parameter", detail="long-term keys have no session"
        )
    return session
