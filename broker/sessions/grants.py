"""Authorization codes and refresh tokens, as far as they are the same for all clients.

A code is good once, within five minutes; so long it is kept, since one that comes back
used ends what it led to. A refresh token is good once, too, and is
answered with the next of its family; one that comes back used ends the family. What
each leads to uses it up, in the ledger (`Grants.use_of_code`,
`Grants.use_of_refresh_token`). All are random handles: the cache has their hashes, and
their values sealed.

Source: RFC 6749 4.1.2; RFC 9700 4.14.2.
"""

import hashlib
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Generic, TypeVar

from broker.entropy import new_handle
from broker.model.lineage import as_text
from broker.sessions.ends import end_mark
from broker.sessions.handles import Handles
from broker.sessions.one_time_use import OneTimeUse, one_time_use
from broker.sessions.vault import Vault
from broker.stores.cache.port import Cache

CODE_LIFE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """What a code stands for: who asked for it, and who may redeem it."""

    client_id: str
    redirect_uri: str
    challenge: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A login that a client can renew until ``ends_at``, in seconds since 1970."""

    client_id: str
    ends_at: int


CodeT = TypeVar("CodeT", bound=Code)
FamilyT = TypeVar("FamilyT", bound=Family)


@dataclass(frozen=True, slots=True)
class KnownToken:
    """A refresh token of a family; ``used_at`` is None while it was not used."""

    used_at: float | None


class Grants(Generic[CodeT, FamilyT]):
    """Keeps the grants of one ``kind`` of login in the cache, and only there.

    Every method raises ``ServiceUnavailable`` when the cache is away, but for those
    that forget what is used up.
    """

    def __init__(
        self,
        cache: Cache,
        vault: Vault,
        kind: str,
        *,
        code: type[CodeT],
        family: type[FamilyT],
    ) -> None:
        self._kind = kind
        self._code, self._family = code, family
        self._codes = Handles(cache, vault, f"{kind}-code")
        self._families = Handles(cache, vault, f"{kind}-family")
        self._tokens = Handles(cache, vault, f"{kind}-refresh")

    async def create_code(self, grant: CodeT, now: datetime) -> str:
        """A code for someone who agreed."""
        return await self._codes.put(asdict(grant), now + CODE_LIFE)

    async def find_code(self, code: str) -> CodeT | None:
        """What the code stands for, used or not."""
        value = await self._codes.find(code)
        return self._code(**value) if value else None

    async def forget_code(self, code: str) -> None:
        """The code is in wrong hands."""
        await self._codes.forget(code)

    async def begin(self, family: FamilyT, code: str = "") -> str:
        """The first refresh token of a family.

        A ``code`` has one family, which its first exchange describes.
        """
        ends_at = datetime.fromtimestamp(family.ends_at, UTC)
        handle = new_handle()
        if code:
            digest = hashlib.sha256(f"{self._kind}-family/{code}".encode())
            handle = as_text(digest.digest())
        await self._families.claim(handle, asdict(family), ends_at)
        return await self._next(handle, ends_at)

    async def find_family(self, token: str) -> FamilyT | None:
        """The family of a refresh token, used or not."""
        value = await self._families.find(token.partition(".")[0])
        return self._family(**value) if value else None

    async def find_token(self, token: str) -> KnownToken | None:
        """The token, if it is one of the family that is not forgotten."""
        handle, _, secret = token.partition(".")
        value = await self._tokens.find(secret)
        if value is None or value["family"] != handle:
            return None
        return KnownToken(value.get("used_at"))

    async def next(self, token: str, family: FamilyT) -> str:
        """The successor of this token, valid as soon as a client holds it."""
        ends_at = datetime.fromtimestamp(family.ends_at, UTC)
        return await self._next(token.partition(".")[0], ends_at)

    async def forget(self, token: str) -> None:
        """The refresh token is used up."""
        await self._tokens.forget(token.partition(".")[2])

    async def note_used(self, token: str, family: FamilyT, now: datetime) -> None:
        """The refresh token is used up, and when that was is remembered."""
        handle, _, secret = token.partition(".")
        await self._tokens.replace(
            secret,
            {"family": handle, "used_at": now.timestamp()},
            datetime.fromtimestamp(family.ends_at, UTC),
        )

    async def forget_family(self, token: str) -> None:
        """No token of this one's family is good any more: its end is marked."""
        await self._families.forget(token.partition(".")[0])

    def use_of_code(self, code: str, now: datetime) -> OneTimeUse:
        """The one exchange that a code is good for."""
        return one_time_use(f"{self._kind}-code", code, until=now + CODE_LIFE)

    def use_of_refresh_token(self, token: str, family: FamilyT) -> OneTimeUse:
        """The one exchange that a refresh token is good for."""
        ends_at = datetime.fromtimestamp(family.ends_at, UTC)
        return one_time_use(f"{self._kind}-refresh", token, until=ends_at)

    def end_mark(self, token: str) -> str:
        """What marks the end of a refresh token's family, in its session's account."""
        return end_mark(self._kind, token.partition(".")[0])

    async def _next(self, handle: str, ends_at: datetime) -> str:
        return f"{handle}.{await self._tokens.put({'family': handle}, ends_at)}"
