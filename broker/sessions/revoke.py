"""Revokes sessions, with everything made from them.

Revocations are durable changes in the directory; the cache merely drops a listing
entry.
"""

from contextlib import suppress
from datetime import datetime

from broker.model.account import AccountId
from broker.model.lineage import Ancestor
from broker.model.revocation import REVOCATION_LIFE, Revocation, session_target
from broker.stores.cache.port import Cache, SessionRecord
from broker.stores.directory.port.revocations import RevocationChange
from broker.stores.errors import StoreUnavailableError


async def revoke_session(
    change: RevocationChange, record: SessionRecord, *, now: datetime, reason: str = ""
) -> None:
    """End a session, which may have expired, and all that was made from it."""
    session = Ancestor(
        mint_id=record.mint_id,
        access_key_id=record.access_key_id,
        principal_id=record.principal_id,
        issued_at_ms=record.issued_at_ms,
    )
    await _revoke(
        change,
        account=record.account,
        target=session_target(session, record.lineage),
        now=now,
        reason=reason,
    )


async def revoke_key_id(
    change: RevocationChange,
    *,
    account: AccountId,
    access_key_id: str,
    now: datetime,
    reason: str = "",
) -> None:
    """End a session known by its key id only, and all that was made from it."""
    await _revoke(change, account=account, target=access_key_id, now=now, reason=reason)


async def revoke_issued_before(
    change: RevocationChange,
    *,
    account: AccountId,
    target: str,
    now: datetime,
    before: datetime | None = None,
    reason: str = "",
) -> None:
    """End every session of a target that was issued up to now, or before a time.

    ``target`` is the unique id of a user or role, the id of a long-term key, a
    provider's ARN, the account's number, or what ``broker.sessions.lineage`` has for a subject or source identity.
    What came from those sessions ends with them.
    """
    # The millisecond of the revocation itself counts as before it.
    now_ms = int(now.timestamp() * 1000) + 1
    before_ms = now_ms if before is None else int(before.timestamp() * 1000)
    await _revoke(
        change,
        account=account,
        target=target,
        not_before_ms=min(before_ms, now_ms),
        now=now,
        reason=reason,
    )


async def forget_session(cache: Cache, access_key_id: str) -> None:
    """Remove a revoked session from the listing, which grants nothing."""
    with suppress(StoreUnavailableError):
        await cache.drop_session(access_key_id)


async def _revoke(
    change: RevocationChange,
    *,
    account: AccountId,
    target: str,
    now: datetime,
    not_before_ms: int | None = None,
    reason: str,
) -> None:
    await change.revoke(
        Revocation(
            account=account,
            target=target,
            not_before_ms=not_before_ms,
            expires_at=now + REVOCATION_LIFE,
            reason=reason,
        )
    )
