"""Sign-in tokens: bearer tokens of 256 random bits, valid for one login in 15 minutes.

The login's mint uses a token up (`use_of`), in the ledger and together with its record.

Source: IAM User Guide, id_roles_providers_enable-console-custom-url.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from broker.sessions.handles import Handles
from broker.sessions.one_time_use import OneTimeUse, one_time_use
from broker.sessions.vault import Vault
from broker.stores.cache.port import Cache

LIFE = timedelta(minutes=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class SigninGrant:
    """What a sign-in token stands for: a session, proved when the token was made.

    ``duration_seconds`` is the requested lifetime of the console session. Where an
    upstream minted the session, ``session_token`` is a sign-in token of the upstream,
    and ``role_arn`` the role here that it is for.
    """

    access_key_id: str
    session_token: str = field(repr=False)
    duration_seconds: int | None
    role_arn: str = ""


class SigninTokens:
    """Stores the grants of sign-in tokens, in the cache only.

    Every method but ``forget`` raises ``ServiceUnavailable`` when the cache is
    unavailable.
    """

    def __init__(self, cache: Cache, vault: Vault) -> None:
        self._handles = Handles(cache, vault, "signin-token")

    async def create(self, grant: SigninGrant, *, ends_at: int, now: datetime) -> str:
        """Create a token; it expires with the session, which ends at ``ends_at``."""
        return await self._handles.put(
            {
                "key": grant.access_key_id,
                "token": grant.session_token,
                "duration": grant.duration_seconds,
                "role": grant.role_arn,
            },
            min(now + LIFE, datetime.fromtimestamp(ends_at, UTC)),
        )

    async def find(self, token: str) -> SigninGrant | None:
        """Find a token's grant, used or not."""
        return _grant(await self._handles.find(token))

    async def forget(self, token: str) -> None:
        """Remove a used token; the ledger remembers that it was used."""
        await self._handles.forget(token)


def use_of(token: str, now: datetime) -> OneTimeUse:
    """The one-time use of a token."""
    return one_time_use("signin-token", token, until=now + LIFE)


def _grant(value: dict[str, object] | None) -> SigninGrant | None:
    if value is None:
        return None
    duration = value["duration"]
    return SigninGrant(
        access_key_id=str(value["key"]),
        session_token=str(value["token"]),
        duration_seconds=duration if isinstance(duration, int) else None,
        role_arn=str(value.get("role", "")),
    )
