"""What a command-line login holds: an authorization code, then a refresh token.

A code is good once, within five minutes. A refresh token is good once, too, and is
answered with the next of its family; one that comes back used ends the family. The
mint that each leads to uses it up (`use_of_code`, `use_of_refresh_token`). All are
random handles: the cache has their hashes, and their values sealed.

Source: RFC 6749 4.1.2; RFC 9700 4.14.2; RFC 9449 5.
"""

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta

from broker.sessions.ends import end_mark
from broker.sessions.handles import Handles
from broker.sessions.one_time_use import OneTimeUse, one_time_use
from broker.sessions.vault import Vault
from broker.stores.cache.port import Cache

CODE_LIFE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeGrant:
    """What a code stands for: a console session, and who may redeem it."""

    client_id: str
    redirect_uri: str
    challenge: str
    access_key_id: str
    session_token: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshFamily:
    """A login that can be renewed: its session, its client, the client's key."""

    client_id: str
    thumbprint: str
    access_key_id: str
    session_token: str = field(repr=False)
    ends_at: int


class CommandLineGrants:
    """Keeps them in the cache, and only there.

    Every method raises ``ServiceUnavailable`` when the cache is away, but for those
    that forget what is used up.
    """

    def __init__(self, cache: Cache, vault: Vault) -> None:
        self._codes = Handles(cache, vault, "login-code")
        self._families = Handles(cache, vault, "login-family")
        self._tokens = Handles(cache, vault, "login-refresh")

    async def create_code(self, grant: CodeGrant, now: datetime) -> str:
        """A code for someone who agreed."""
        return await self._codes.put(asdict(grant), now + CODE_LIFE)

    async def find_code(self, code: str) -> CodeGrant | None:
        """What the code stands for, used or not."""
        value = await self._codes.find(code)
        return CodeGrant(**value) if value else None

    async def forget_code(self, code: str) -> None:
        """The code is used up."""
        await self._codes.forget(code)

    async def begin(self, family: RefreshFamily) -> str:
        """The first refresh token of a family."""
        ends_at = datetime.fromtimestamp(family.ends_at, UTC)
        handle = await self._families.put(asdict(family), ends_at)
        return await self._next(handle, ends_at)

    async def find_family(self, token: str) -> RefreshFamily | None:
        """The family of a refresh token, used or not."""
        value = await self._families.find(token.partition(".")[0])
        return RefreshFamily(**value) if value else None

    async def is_known(self, token: str) -> bool:
        """Whether the refresh token is one of the family that is not forgotten."""
        handle, _, secret = token.partition(".")
        value = await self._tokens.find(secret)
        return value is not None and value["family"] == handle

    async def next(self, token: str, family: RefreshFamily) -> str:
        """The successor of this token, valid as soon as a client holds it."""
        ends_at = datetime.fromtimestamp(family.ends_at, UTC)
        return await self._next(token.partition(".")[0], ends_at)

    async def forget(self, token: str) -> None:
        """The refresh token is used up."""
        await self._tokens.forget(token.partition(".")[2])

    async def forget_family(self, token: str) -> None:
        """No token of this one's family is good any more: its end is marked."""
        await self._families.forget(token.partition(".")[0])

    async def _next(self, handle: str, ends_at: datetime) -> str:
        return f"{handle}.{await self._tokens.put({'family': handle}, ends_at)}"


def use_of_code(code: str, now: datetime) -> OneTimeUse:
    """The one exchange that a code is good for."""
    return one_time_use("login-code", code, until=now + CODE_LIFE)


def login_end_mark(token: str) -> str:
    """What marks the end of a refresh token's family, in its session's account."""
    return end_mark("login", token.partition(".")[0])


def use_of_refresh_token(token: str, family: RefreshFamily) -> OneTimeUse:
    """The one exchange that a refresh token is good for."""
    ends_at = datetime.fromtimestamp(family.ends_at, UTC)
    return one_time_use("login-refresh", token, until=ends_at)
