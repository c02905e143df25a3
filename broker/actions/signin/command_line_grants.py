"""The grants of ``aws login`` and AWS's login provider, and the sessions they renew.

Source: RFC 9449 5.
"""

from dataclasses import asdict, dataclass, field
from datetime import datetime

from broker.sessions.grants import Grants
from broker.sessions.handles import Handles
from broker.sessions.vault import Vault
from broker.stores.cache.port import HandleStore


@dataclass(frozen=True, slots=True, kw_only=True)
class LentSession:
    """The console session that a terminal was allowed to use."""

    access_key_id: str
    session_token: str = field(repr=False)


class CommandLineGrants(Grants):
    """Codes and refresh tokens hold the handle of one session that is kept here."""

    def __init__(self, handles: HandleStore, vault: Vault) -> None:
        super().__init__(handles, vault, "login")
        self._sessions = Handles(handles, vault, "login-session")

    async def lend(self, session: LentSession, ends_at: datetime) -> str:
        """Keep a session for one login; returns its handle."""
        return await self._sessions.put(asdict(session), ends_at)

    async def find_session(self, handle: str) -> LentSession | None:
        """The session, if its time is not over and it was not taken back."""
        value = await self._sessions.find(handle)
        return LentSession(**value) if value else None

    async def take_back(self, handle: str) -> None:
        """No token of the login is good any more: its end is marked."""
        await self._sessions.forget(handle)
