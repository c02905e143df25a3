"""The mint: an allowed request becomes temporary credentials.

The replay mark and the audit record, which holds the session's metadata, are one
durable write; no one gets credentials before it.
"""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from broker.errors import ProofUsed, ServiceUnavailable
from broker.model.account import (
    KEY_ID_RANDOM_BITS,
    TEMPORARY_KEY_PREFIX,
    AccountId,
    format_access_key_id,
)
from broker.model.audit import AuditRecord
from broker.model.session import Session, TemporaryCredentials
from broker.runtime.batches import NEXT_TURN
from broker.runtime.entropy import random_bits
from broker.sessions.record import SessionIndex, audit_session, describe_session
from broker.sessions.seal import SessionSealer, token_utilization
from broker.stores.audit_rows import ReplayMark
from broker.stores.cache.port import SessionClient
from broker.stores.errors import (
    OutcomeUnknownError,
    ReplayedError,
    StoreUnavailableError,
    refusal_of,
)
from broker.stores.ledger.port import Ledger

KeepCredentials = Callable[[TemporaryCredentials], Awaitable[None]]
"""Keeps what was made where its bearer's handle finds it."""


class CallRecord(Protocol):
    """The audit record of the call that mints."""

    committed: bool
    """Set once it is durable, together with the mint."""

    session: Mapping[str, object] | None
    """What was minted; for a call that failed, by an upstream."""

    def complete(self) -> AuditRecord:
        """The finished record."""
        ...


class MintOrder(Struct, frozen=True, kw_only=True):
    """A session to be made; everything in it has been authorized.

    ``account_salt`` is its account's ``session_salt``, and ``principal_arn`` its own
    ARN (``arn:aws:sts::…:assumed-role/…``). ``least_token_characters`` is
    ``MinimumSessionTokenSize``.
    """

    __repr__ = object.__repr__

    session: Session
    account_salt: bytes
    principal_arn: str
    now: datetime
    least_token_characters: int = 0


class MintResult(Struct, frozen=True, kw_only=True):
    """The result of a mint."""

    credentials: TemporaryCredentials
    packed_policy_size: int
    session: Session


class SealedSession(Struct, frozen=True, kw_only=True):
    """A session and its credentials, which become valid with a mint.

    ``client`` is the program that it is for.
    """

    __repr__ = object.__repr__

    credentials: TemporaryCredentials
    session: Session
    client: SessionClient | None = None


class SessionIssuer:
    """Mints temporary credentials."""

    def __init__(
        self, sealer: SessionSealer, ledger: Ledger, index: SessionIndex
    ) -> None:
        self._sealer = sealer
        self._ledger = ledger
        self._index = index

    def seal(self, order: MintOrder) -> SealedSession:
        """Seal a session, which is not minted yet.

        Raises:
            PackedPolicyTooLarge: the token is too long.
            ServiceUnavailable: there is no key to seal with.
        """
        session = order.session
        token, secret = self._sealer.seal(
            session,
            account_salt=order.account_salt,
            now=order.now,
            least_characters=order.least_token_characters,
        )
        credentials = TemporaryCredentials(
            access_key_id=session.access_key_id,
            secret_access_key=secret,
            session_token=token,
            expiration=datetime.fromtimestamp(session.expires_at, UTC),
        )
        return SealedSession(credentials=credentials, session=session)

    async def issue(
        self,
        order: MintOrder,
        record: CallRecord,
        mark: ReplayMark | None = None,
        *,
        second_use: ReplayMark | None = None,
        keep: KeepCredentials | None = None,
        through: SealedSession | None = None,
    ) -> MintResult:
        """Mint, with the call's record completed by the session and made durable.

        ``second_use`` is the mark to set if ``mark`` is already set. ``keep`` is called
        before anything is spent, and stops the mint by raising: nobody knows yet what
        it keeps. ``through`` is the session that this one is made from, if it becomes one
        at the same time; it is listed as well.

        Raises:
            PackedPolicyTooLarge: the token is too long; nothing is spent.
            ProofUsed: the proof behind ``mark`` was spent before.
            ServiceUnavailable: the database is away; nothing is spent. If the outcome
            is unknown, a spent proof becomes usable again when the database returns.
        """
        if NEXT_TURN.calls > 1:
            await NEXT_TURN
        sealed = self.seal(order)
        if NEXT_TURN.calls > 1:
            await NEXT_TURN
        session, credentials = sealed.session, sealed.credentials
        if keep is not None:
            await keep(credentials)
        entry = describe_session(session, order.principal_arn)
        record.session = audit_session(entry, session)
        try:
            await commit_once(self._ledger, record.complete(), mark, second_use)
        except BaseException:
            record.session = None  # nothing was minted
            raise
        record.committed = True
        await self._index.put(entry)
        if through is not None:
            between = describe_session(through.session, order.principal_arn)
            await self._index.put(replace(between, client=through.client))
        return MintResult(
            credentials=credentials,
            packed_policy_size=token_utilization(credentials.session_token.reveal()),
            session=session,
        )


async def commit_once(
    ledger: Ledger,
    record: AuditRecord,
    mark: ReplayMark | None,
    second_use: ReplayMark | None = None,
) -> None:
    """Make a record durable together with the use of a one-time thing.

    ``second_use`` is the mark to set if ``mark`` is already set.

    Raises:
        ProofUsed: it was used before.
        ServiceUnavailable: the database is away; nothing is used. If the outcome is
            unknown, it becomes usable again when the database returns.
    """
    try:
        await ledger.mint(record, mark)
    except ReplayedError as error:
        if second_use is not None:
            await commit_once(ledger, record, second_use)
            return
        raise ProofUsed(used_by=error.mint_id) from error
    except OutcomeUnknownError as error:
        raise refusal_of(error) from error
    except StoreUnavailableError as error:
        raise ServiceUnavailable(
            detail=f"the ledger is away, nothing was minted: {error}"
        ) from error


def replay_key(parts: tuple[str, ...]) -> bytes:
    """The key of a replay mark: SHA-256 over what identifies the use of a proof.

    For an assertion: provider's unique id, issuer, assertion id, role's unique id.
    """
    digest = hashlib.sha256(b"broker/1/replay")
    for part in parts:
        text = part.encode("utf-8", "surrogatepass")
        # Length prefixes make it unambiguous: ("ab", "c") is not ("a", "bc").
        digest.update(len(text).to_bytes(8, "big") + text)
    return digest.digest()


def new_access_key_id(account: AccountId) -> str:
    """An access key id for temporary credentials of the account."""
    bits = random_bits(KEY_ID_RANDOM_BITS)
    return format_access_key_id(TEMPORARY_KEY_PREFIX, account, bits)
