"""Ends that hold whatever a cache remembers: marks in the directory.

A console session, a login of a terminal or a sign-in at an identity provider stands in
the cache, and being dropped there ends it. A cache that comes back older would bring it
back, so its end is marked in the directory too. Marks are kept and read as revocations
are: from memory, at most a second old. Only the named thing ends: sessions that were
made from it go on, as they do after a sign-out.
"""

import hashlib
from collections.abc import Iterable
from datetime import datetime, timedelta

from broker.errors import ServiceUnavailable
from broker.model.account import AccountId
from broker.model.revocation import Revocation
from broker.stores.directory.port.revocations import RevocationChange, RevocationReader
from broker.stores.errors import StoreUnavailableError

_MARGIN = timedelta(hours=1)
"""A mark outlives what it ends, whatever the clocks say."""

_HEX_DIGITS = 32


def end_mark(kind: str, name: str) -> str:
    """The mark of one thing's end; it does not reveal ``name``, a bearer handle."""
    digest = hashlib.sha256(f"broker/1/end/{kind}/{name}".encode()).hexdigest()
    return f"{kind}-end/{digest[:_HEX_DIGITS]}"


async def end_for_good(
    change: RevocationChange,
    account: AccountId,
    marks: Iterable[str],
    *,
    until: datetime,
    reason: str,
) -> None:
    """Mark ends; nothing of what ended would last longer than ``until``."""
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
    change: RevocationChange,
    account: AccountId,
    mark: str,
    *,
    upto: float,
    until: datetime,
) -> None:
    """Mark that what was issued up to a time (seconds since 1970) comes too late."""
    await change.revoke(
        Revocation(
            account=account,
            target=mark,
            not_before_ms=int(upto * 1000) + 1,
            expires_at=until + _MARGIN,
        )
    )


async def has_ended(
    directory: RevocationReader, account: AccountId, *marks: str
) -> bool:
    """Whether one of the marks is set in the account.

    Raises:
        ServiceUnavailable: the directory is away.
    """
    try:
        revocations = await directory.revocations(account)
    except StoreUnavailableError as error:
        raise ServiceUnavailable(detail=f"the database is away: {error}") from error
    return not revocations.access_key_ids.isdisjoint(marks)
