"""Authorization codes and refresh tokens: the same for all clients.

A code is good once, within five minutes; so long it is kept, since one that comes back
used ends what it led to. A refresh token is good once, too, and is
answered with the next of its family; one that comes back used ends the family. What
each leads to uses it up, in the ledger (`Grants.use_of_code`,
`Grants.use_of_refresh_token`).

A refresh token is a sealed text that holds its family: nothing is kept for it. A code
can also be taken back, so it is kept, as a handle.

Source: RFC 6749 4.1.2; RFC 9700 4.14.2.
"""

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta

from broker.runtime.entropy import new_handle
from broker.sessions.ends import end_mark
from broker.sessions.handles import Handles, SealedTexts
from broker.sessions.one_time_use import OneTimeUse, one_time_use
from broker.sessions.vault import Vault
from broker.stores.cache.port import HandleStore

CODE_LIFE = timedelta(minutes=5)
_SERIAL = "serial"


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """What a code stands for: who may redeem it, and the handle of the session."""

    client_id: str
    redirect_uri: str
    challenge: str
    session: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A login that a client can renew until ``ends_at``, in seconds since 1970.

    ``session`` is the handle of the session behind it, ``thumbprint`` that of the
    client's key; empty for clients that have none.
    """

    client_id: str
    ends_at: int
    session: str = field(repr=False)
    thumbprint: str = ""


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """One of a family's refresh tokens, used or not."""

    family: Family
    serial: str = field(repr=False)


class Grants:
    """The grants of one ``kind`` of login.

    What keeps codes raises ``ServiceUnavailable`` when the database is away, except
    when it forgets.
    """

    def __init__(self, handles: HandleStore, vault: Vault, kind: str) -> None:
        self._kind = kind
        self._codes = Handles(handles, vault, f"{kind}-code")
        self._tokens = SealedTexts(vault, f"{kind}-refresh")

    async def create_code(self, grant: Code, now: datetime) -> str:
        """A code for someone who agreed."""
        return await self._codes.put(asdict(grant), now + CODE_LIFE)

    async def find_code(self, code: str) -> Code | None:
        """What the code stands for, used or not."""
        value = await self._codes.find(code)
        return Code(**value) if value else None

    async def forget_code(self, code: str) -> None:
        """The code is in wrong hands."""
        await self._codes.forget(code)

    def create_token(self, family: Family) -> str:
        """A refresh token of the family: its first, or the next."""
        return self._tokens.seal(
            {**asdict(family), _SERIAL: new_handle()},
            datetime.fromtimestamp(family.ends_at, UTC),
        )

    def find_token(self, token: str, now: datetime) -> RefreshToken | None:
        """The refresh token, if it is one of this kind and its family's time is not over."""
        value = self._tokens.find_opened(token, now)
        if value is None:
            return None
        serial = value.pop(_SERIAL)
        return RefreshToken(Family(**value), serial)

    def use_of_code(self, code: str, now: datetime) -> OneTimeUse:
        """The one exchange that a code is good for."""
        return one_time_use(f"{self._kind}-code", code, until=now + CODE_LIFE)

    def use_of_refresh_token(self, token: RefreshToken) -> OneTimeUse:
        """The one exchange that a refresh token is good for."""
        ends_at = datetime.fromtimestamp(token.family.ends_at, UTC)
        return one_time_use(f"{self._kind}-refresh", token.serial, until=ends_at)

    def end_mark(self, family: Family) -> str:
        """What marks the end of a family, in its session's account."""
        return end_mark(self._kind, family.session)
