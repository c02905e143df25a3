"""Ends that hold even if a cache forgets them: marks in the directory.

A console session lives in the cache, and dropping it there ends it. A cache restored
from an older copy would bring it back, so its end is marked in the directory, too. The
same goes for a terminal's login and one at an identity provider, which the database
holds: dropping them may fail. Marks are stored and read like revocations: from memory,
at most a second old. Only the named thing ends: sessions that were made from it go on,
as they do after a sign-out.
"""

import hashlib
from collections.abc import Iterable
from datetime import datetime, timedelta

from broker.errors import ServiceUnavailable
from broker.model.account import AccountId
from broker.model.revocation import Revocation
from broker.stores.directory.port import DirectoryChange, Finder
from broker.stores.errors import StoreUnavailableError

_MARGIN = timedelta(hours=1)
"""Marks outlive what they end by this much, so that clock skew cannot matter."""

_HEX_DIGITS = 32


def end_mark(kind: str, name: str) -> str:
    """The mark of one thing's end; it does not reveal ``name``, a bearer handle."""
    digest = hashlib.sha256(f"broker/1/end/{kind}/{name}".encode()).hexdigest()
    return f"{kind}-end/{digest[:_HEX_DIGITS]}"


async def end_for_good(
    change: DirectoryChange,
    account: AccountId,
    marks: Iterable[str],
    *,
    until: datetime,
    reason: str,
) -> None:
    """Mark ends. What ended would have expired by ``until`` anyway."""
    for mark in marks:
        await change.revoke(
            Revocation(
                account=account,
                target=mark,
                not_before_ms=None,
                expires_at=until + _MARGIN,
                reason=reason,
            )
        )


async def refuse_earlier(
    change: DirectoryChange,
    account: AccountId,
    mark: str,
    *,
    upto: float,
    until: datetime,
) -> None:
    """Refuse what was issued up to ``upto`` (seconds since 1970)."""
    await change.revoke(
        Revocation(
            account=account,
            target=mark,
            not_before_ms=int(upto * 1000) + 1,
            expires_at=until + _MARGIN,
        )
    )


async def has_ended(directory: Finder, account: AccountId, *marks: str) -> bool:
    """Whether one of the marks is set in the account.

    Raises:
        ServiceUnavailable: the directory is away.
    """
    try:
        revocations = await directory.revocations(account)
    except StoreUnavailableError as error:
        raise ServiceUnavailable(detail=f"the database is away: {error}") from error
    return not revocations.access_key_ids.isdisjoint(marks)
