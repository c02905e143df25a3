"""Ends sessions before their time.

Revocations are durable changes of the directory; the cache only forgets a line.
"""

from contextlib import suppress
from datetime import UTC, datetime, timedelta

from broker.model.account import AccountId
from broker.model.revocation import Revocation
from broker.sessions.keys import LONGEST_SESSION
from broker.stores.cache.port import Cache
from broker.stores.directory.port import DirectoryChange
from broker.stores.errors import StoreUnavailableError

_MARGIN = timedelta(hours=1)
"""A revocation outlives the session it ends, whatever the clocks say."""


async def revoke_session(
    change: DirectoryChange,
    *,
    account: AccountId,
    access_key_id: str,
    now: datetime,
    expires_at: int | None = None,
    reason: str = "",
) -> None:
    """End one session. ``expires_at`` is its expiry, if known."""
    if expires_at is None:
        ends = now + LONGEST_SESSION
    else:
        ends = datetime.fromtimestamp(expires_at, UTC)
    await change.revoke(
        Revocation(
            account=account,
            target=access_key_id,
            not_before_ms=None,
            expires_at=ends + _MARGIN,
            reason=reason,
        )
    )


async def revoke_issued_before(
    change: DirectoryChange,
    *,
    account: AccountId,
    target: str,
    now: datetime,
    before: datetime | None = None,
    reason: str = "",
) -> None:
    """End every session of a target that was issued up to now, or before a time.

    ``target`` is the unique id of a user, role or provider, or the account's number.
    """
    # The millisecond of the revocation itself counts as before it.
    now_ms = int(now.timestamp() * 1000) + 1
    before_ms = now_ms if before is None else int(before.timestamp() * 1000)
    await change.revoke(
        Revocation(
            account=account,
            target=target,
            not_before_ms=min(before_ms, now_ms),
            expires_at=now + LONGEST_SESSION + _MARGIN,
            reason=reason,
        )
    )


async def forget_session(cache: Cache, access_key_id: str) -> None:
    """Take a revoked session off the list; the revocation does not depend on it."""
    with suppress(StoreUnavailableError):
        await cache.drop_session(access_key_id)
