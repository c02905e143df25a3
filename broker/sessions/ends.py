"""Ends that hold even if a cache forgets them: marks in the directory.

A console session lives in the cache, and dropping it there ends it. A cache restored
from an older copy would bring it back, so its end is marked in the directory, too. The
same goes for a terminal's login and one at an identity provider, which the database
holds: dropping them may fail. Marks are stored and read like revocations: from memory,
at most a second old. Only the named thing ends: sessions that were made from it go on,
as they do after a sign-out.

Things valid once are used up by the mint they lead to, in the mint's transaction.
The cache may hold what such a thing stands for, never whether it was used: a cache
restored from an older copy would make it valid again. A failed mint uses nothing up.
"""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct

from broker.errors import ExpiredToken
from broker.model.account import AccountId
from broker.model.revocation import Revocation
from broker.sessions.handles import Handles, store_at_hand
from broker.sessions.issue import replay_key
from broker.sessions.resolve import ResolvedSession, Resolver
from broker.sessions.vault import Vault
from broker.stores.audit_rows import ReplayMark
from broker.stores.cache.port import HandleStore
from broker.stores.directory.port import DirectoryChange, Finder

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
    with store_at_hand():
        revocations = await directory.revocations(account)
    return not revocations.access_key_ids.isdisjoint(marks)


class SessionHandles(Handles):
    """The sessions of one kind that browsers hold the handles of, in their cookies.

    Their credentials are never handed out. A value has the ``key`` and ``token`` of its
    session, beside what its kind keeps; a handle of one ``space`` opens none of another.
    """

    def __init__(
        self,
        store: HandleStore,
        vault: Vault,
        space: str,
        resolver: Resolver,
        directory: Finder,
    ) -> None:
        super().__init__(store, vault, space)
        self._resolver = resolver
        self._directory = directory

    async def resolve(
        self, value: Mapping[str, Any], now: datetime, *marks: tuple[AccountId, str]
    ) -> ResolvedSession:
        """The session of a value, as live as any caller's.

        Raises:
            ExpiredToken, InvalidClientTokenId: It is over, one of the marks is set, or
                its user or role is gone.
            ServiceUnavailable: The directory is away.
        """
        resolved = await self._resolver.resolve(value["key"], value["token"], now)
        for account, mark in marks:
            if await has_ended(self._directory, account, mark):
                raise ExpiredToken(detail=f"its end is marked: {mark}")
        return resolved


class OneTimeUse(Struct, frozen=True, kw_only=True):
    """The single use of something that is invalid after ``until``."""

    key: bytes
    until: datetime

    def mark(self, mint_id: str) -> ReplayMark:
        """The mark of the mint that uses it up."""
        return ReplayMark(
            key=self.key, mint_id=mint_id, expires_at=self.until + _MARGIN
        )


def one_time_use(kind: str, *parts: str, until: datetime) -> OneTimeUse:
    """The use of a thing of this kind, identified by ``parts``."""
    return OneTimeUse(key=replay_key((kind, *parts)), until=until)
