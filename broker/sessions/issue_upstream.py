"""Sessions that an upstream mints: the proof is reserved before the call.

A definite failure gives the proof back. If it cannot be told whether the upstream minted,
the proof stays spent: at most one set of credentials comes from it.
"""

from collections.abc import Awaitable, Callable

from msgspec import Struct
from msgspec.structs import replace

from broker.errors import AccessDenied, BrokerError, ProofUsed, UpstreamOutcomeUnknown
from broker.model.account import find_account_of_key_id
from broker.model.audit import AuditFilter
from broker.model.page import PageRequest
from broker.model.session import Session, TemporaryCredentials
from broker.model.upstream import UpstreamOrigin
from broker.sessions.issue import CallRecord, MintResult
from broker.sessions.lineage import find_end, trace
from broker.sessions.record import (
    SessionIndex,
    audit_session,
    describe_session,
    read_audited,
)
from broker.stores.audit_rows import ReplayMark
from broker.stores.cache.port import SessionRecord
from broker.stores.directory.identities import find_access_key
from broker.stores.directory.kinds import ACCOUNT, ROLE
from broker.stores.directory.readings import FreshDirectory
from broker.stores.errors import ReplayedError, StoreUnavailableError, refusal_of
from broker.stores.ledger.port import Ledger


class NothingMintedError(Exception):
    """The upstream definitely minted nothing; ``error`` is what the client gets."""

    def __init__(self, error: BrokerError) -> None:
        super().__init__(str(error))
        self.error = error


class UpstreamMint(Struct, frozen=True, kw_only=True):
    """What an upstream minted.

    ``principal_arn`` is the session here that it stands for, and ``upstream`` the name
    and ``endpoint`` the address of what minted it; ``arn`` and ``user_id`` are the
    upstream's own, and its clock is ``seconds_ahead`` of the broker's; ``is_named``
    unless its answer named no session.
    """

    credentials: TemporaryCredentials
    packed_policy_size: int
    principal_arn: str
    upstream: str
    endpoint: str
    arn: str = ""
    user_id: str = ""
    seconds_ahead: float = 0
    is_named: bool = True


class UpstreamIssuer:
    """Issues sessions that an upstream mints."""

    def __init__(
        self, fresh: FreshDirectory, ledger: Ledger, index: SessionIndex
    ) -> None:
        self._fresh = fresh
        self._ledger = ledger
        self._index = index

    async def issue(
        self,
        session: Session,
        ask: Callable[[], Awaitable[UpstreamMint]],
        record: CallRecord,
        mark: ReplayMark | None = None,
        *,
        second_use: ReplayMark | None = None,
    ) -> tuple[MintResult, UpstreamMint]:
        """Reserve, ask, and record; ``session`` gets its key id and end from the upstream.

        Raises:
            ProofUsed: the proof behind ``mark`` was spent before.
            AccessDenied: the session was revoked while the upstream was asked.
            ServiceUnavailable: the database is away; nothing is spent.
            UpstreamOutcomeUnknown: the upstream was asked, and the proof is spent: it
                left unclear whether it minted, the database went away meanwhile, or
                the key id is in use. What it minted is on the call's record.
            BrokerError: what the upstream refused; the proof is good again.
        """
        reserved = await self._reserve(mark, second_use)
        try:
            minted = await ask()
        except NothingMintedError as refused:
            if reserved is not None:
                await self._release(reserved, refused.error)
            raise refused.error from refused.__cause__
        credentials = minted.credentials
        made = replace(
            session,
            access_key_id=credentials.access_key_id,
            expires_at=int(credentials.expiration.timestamp()),
        )
        origin = UpstreamOrigin(
            name=minted.upstream, endpoint=minted.endpoint, ends_by=session.ends_by
        )
        entry = describe_session(made, minted.principal_arn, origin)
        try:
            await self._require_unused(entry, minted.arn)
            record.session = audit_session(entry, made)
            await self._require_live(made)
            await self._ledger.mint(record.complete(), None)
        except StoreUnavailableError as error:
            record.session = audit_session(entry, made)
            raise UpstreamOutcomeUnknown(
                f"The upstream {minted.upstream} issued credentials, and the session"
                " could not be recorded.",
                detail=f"{error}; no one got {made.access_key_id}",
            ) from error
        record.committed = True
        await self._index.put(entry)
        result = MintResult(
            credentials=credentials,
            packed_policy_size=minted.packed_policy_size,
            session=made,
        )
        return result, minted

    async def _require_unused(self, entry: SessionRecord, arn: str) -> None:
        """Let no upstream's answer pass for a key or a session of somebody else.

        Ids with the number of an account here belong to it; AWS's have the number of
        the account that their ``arn`` names.
        """
        key_id = entry.access_key_id
        is_used = False
        owner = find_account_of_key_id(key_id)
        if owner is not None and await self._fresh.find(ACCOUNT, owner) is not None:
            is_expected = owner == entry.account or f":{owner}:" in arn
            is_used = not is_expected or bool(
                await find_access_key(self._fresh, key_id)
            )
        page = await self._ledger.search(
            AuditFilter(minted_key_id=key_id), PageRequest()
        )
        if is_used or any(
            _whose(read_audited(record.session)) != _whose(entry)
            for record in page.items
            if record.session is not None
        ):
            raise UpstreamOutcomeUnknown(
                "The upstream returned an access key ID that is in use.",
                detail=f"{key_id} is another principal's",
            )

    async def _require_live(self, made: Session) -> None:
        """Hand out nothing that was revoked meanwhile: the broker cannot end it later."""
        role = await self._fresh.find(ROLE, made.account, made.principal_id)
        why = await find_end(trace(made), self._fresh)
        if role is None or why:
            raise AccessDenied(
                "The session was revoked while the upstream issued its credentials.",
                detail=f"{why or 'the role no longer exists'}; no one got {made.access_key_id}",
            )

    async def _reserve(
        self, mark: ReplayMark | None, second_use: ReplayMark | None
    ) -> ReplayMark | None:
        for replay_mark in (mark, second_use):
            if replay_mark is None:
                continue
            try:
                await self._ledger.reserve(replay_mark)
            except ReplayedError as error:
                if replay_mark is second_use or second_use is None:
                    raise ProofUsed from error
            except StoreUnavailableError as error:
                raise refusal_of(error) from error
            else:
                return replay_mark
        return None

    async def _release(self, mark: ReplayMark, refused: BrokerError) -> None:
        try:
            await self._ledger.release(mark)
        except StoreUnavailableError as error:
            raise UpstreamOutcomeUnknown(
                "The upstream issued no credentials, and the proof could not be given"
                " back.",
                detail=f"{refused}; {error}",
            ) from error


def _whose(record: SessionRecord) -> tuple[str, ...]:
    """The session's own identity, and its person's: many people have one role."""
    endpoint = record.upstream.endpoint if record.upstream else ""
    return (
        *(record.account, record.principal_id, record.principal_arn, endpoint),
        *(record.source_identity, record.lineage.origin.subject),
    )
