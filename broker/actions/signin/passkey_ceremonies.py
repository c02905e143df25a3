"""Challenges for registering passkeys, usable once by the session that requested them.

Challenges for signing in are part of the sign-in
(`broker.console.password_progress`).
"""

import base64
import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from broker.model.account import AccountId
from broker.runtime.entropy import random_bytes
from broker.sessions.handles import Handles
from broker.sessions.vault import Vault
from broker.stores.cache.port import Cache

LIFE = timedelta(minutes=5)
_CHALLENGE_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceremony:
    """Who may answer a challenge: a user (for root the account's id) in one browser.

    ``session`` is any text that only this browser's session has.
    """

    account: AccountId
    holder: str
    session: str = field(repr=False)


class PasskeyCeremonies:
    """Challenges in the cache; methods raise ``ServiceUnavailable`` without it."""

    def __init__(self, cache: Cache, vault: Vault) -> None:
        self._handles = Handles(cache, vault, "passkey")

    async def begin(self, ceremony: Ceremony, now: datetime) -> tuple[str, bytes]:
        """Create a challenge; return its handle and the challenge."""
        challenge = random_bytes(_CHALLENGE_BYTES)
        value = {
            "for": _digest(ceremony),
            "challenge": base64.b64encode(challenge).decode("ascii"),
        }
        return await self._handles.put(value, now + LIFE), challenge

    async def finish(self, handle: str, ceremony: Ceremony) -> bytes | None:
        """Use up a challenge; None for a handle that is used up or someone else's."""
        value = await self._handles.take(handle)
        if value is None or value["for"] != _digest(ceremony):
            return None
        return base64.b64decode(value["challenge"])


def _digest(ceremony: Ceremony) -> str:
    parts = (ceremony.account, ceremony.holder, ceremony.session)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
