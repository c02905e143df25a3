"""Console sessions: from the cookie to the signed-in caller, at every request.

The cache holds the session token, sealed, under the cookie's hash. It is resolved like
any caller's credentials each time, so that expiry, revocation and deletion of the role
take effect at once. Signing out is recorded in the directory (`broker.sessions.ends`),
so a stale cache cannot bring a session back.
"""

import contextlib
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict, replace

from broker.console.pending_login import LoginMethod
from broker.console.provider_logins import ProviderLogins, login_end_mark
from broker.errors import ExpiredToken, InvalidClientTokenId
from broker.model.account import (
    AccountId,
    find_account_of_key_id,
    parse_account_id,
)
from broker.model.principal import Principal
from broker.model.secret import Confidential, Hidden
from broker.model.session import Caller, Session
from broker.runtime.entropy import new_handle
from broker.sessions.ends import SessionHandles, end_mark
from broker.sessions.resolve import ResolvedSession
from broker.stores.cache.port import Cache
from broker.stores.errors import StoreUnavailableError

_SEPARATOR = "/"
AFTERLIFE = timedelta(hours=12)
"""How long after its end a session's time-out page can link to where it came from."""


class SessionOrigin(Confidential, frozen=True, kw_only=True):
    """Where a console session came from: how the user signed in, and the Issuer given.

    For a switched session ``back`` is the handle of the one before it. ``login`` is
    the handle of the sign-in at an identity provider that it came from, and ends
    with. ``ids`` are the session's own and those of the sessions it was switched from:
    it ends with each of them. They stay when its cookie changes. ``offered`` are the
    roles that could have been chosen at sign-in.
    """

    door: LoginMethod
    issuer: str = ""
    back: Hidden[str] = ""
    login: Hidden[str] = ""
    ids: Hidden[tuple[str, ...]] = ()
    offered: tuple[str, ...] = ()


class ConsoleSession(Confidential, frozen=True, kw_only=True):
    """A live console session."""

    cookie: Hidden[str]
    resolved: ResolvedSession
    origin: SessionOrigin

    @property
    def principal(self) -> Principal:
        """The session's principal."""
        return self.resolved.caller.principal

    @property
    def session(self) -> Session:
        """The session itself."""
        return self.resolved.session

    @property
    def end_marks(self) -> tuple[str, ...]:
        """The revocation marks that end it and the login behind it."""
        marks = tuple(_end_mark(text) for text in self.origin.ids[-1:])
        if self.origin.login and not self.origin.back:
            marks += (login_end_mark(self.origin.login),)
        return marks

    @property
    def caller(self) -> Caller:
        """The caller in whose name the pages act."""
        return self.resolved.caller

    @property
    def sign_out_marks(self) -> tuple[tuple[AccountId, str], ...]:
        """Those that end it, each with its account: its own, and of those before it."""
        return _marks(self.origin)


class EndedSession(Struct, frozen=True):
    """A session that has expired or was revoked."""

    origin: SessionOrigin


class ConsoleSessions:
    """Opens, finds and closes console sessions.

    Every method raises ``ServiceUnavailable`` when the cache is unavailable.
    """

    def __init__(
        self,
        handles: SessionHandles,
        logins: ProviderLogins,
        cache: Cache,
    ) -> None:
        self._handles = handles
        self._logins = logins
        self._cache = cache

    async def open(
        self,
        access_key_id: str,
        session_token: str,
        expiration: datetime,
        origin: SessionOrigin,
    ) -> str:
        """Store a minted session; return its cookie."""
        own = f"{find_account_of_key_id(access_key_id)}{_SEPARATOR}{new_handle()}"
        origin = replace(origin, ids=(*origin.ids, own))
        return await self._put(access_key_id, session_token, expiration, origin)

    async def _put(
        self,
        access_key_id: str,
        session_token: str,
        expiration: datetime,
        origin: SessionOrigin,
    ) -> str:
        return await self._handles.put(
            {"key": access_key_id, "token": session_token, **asdict(origin)},
            expiration.astimezone(UTC) + AFTERLIFE,
        )

    async def find(
        self, cookie: str | None, now: datetime
    ) -> ConsoleSession | EndedSession | None:
        """Find the session of a cookie; None when there is none."""
        if cookie is None:
            return None
        record = await self._handles.find(cookie)
        if record is None:
            return None
        origin = _origin(record)
        try:
            resolved = await self._handles.resolve(record, now, *_marks(origin))
        except (ExpiredToken, InvalidClientTokenId):
            return EndedSession(origin)
        if origin.login and not await self._logins.is_open(origin.login):
            return EndedSession(origin)
        return ConsoleSession(cookie=cookie, resolved=resolved, origin=origin)

    async def find_original(
        self, who: ConsoleSession, now: datetime
    ) -> ConsoleSession | EndedSession | None:
        """Find the session that this one was switched from; None if it was not."""
        return await self.find(who.origin.back or None, now)

    async def find_token(self, cookie: str) -> str:
        """Return the session token of a cookie.

        Raises:
            ExpiredToken: The session was closed.
        """
        record = await self._handles.find(cookie)
        if record is None:
            raise ExpiredToken(detail="the console session was closed")
        return str(record["token"])

    async def close(self, cookie: str) -> None:
        """Remove the session of a cookie, and the one it was switched from."""
        record = await self._handles.find(cookie)
        if record is not None and record["back"]:
            await self._handles.drop(record["back"])
        await self._handles.drop(cookie)

    async def discard(self, cookie: str) -> None:
        """Remove a session that nobody received, on a best-effort basis."""
        await self._handles.forget(cookie)

    async def renew(self, who: ConsoleSession) -> str:
        """Give the same session a new cookie and invalidate the old one.

        Raises:
            ExpiredToken: The session was closed.
        """
        token = await self.find_token(who.cookie)
        expiration = datetime.fromtimestamp(who.session.expires_at, UTC)
        cookie = await self._put(
            who.session.access_key_id, token, expiration, who.origin
        )
        await self._handles.drop(who.cookie)
        return cookie

    async def forget(self, who: ConsoleSession) -> None:
        """Close the session and remove it from the list of live sessions."""
        await self.close(who.cookie)
        # The token is gone already; a stale line in the list does no harm.
        with contextlib.suppress(StoreUnavailableError):
            await self._cache.drop_session(who.session.access_key_id)


def _origin(record: dict[str, Any]) -> SessionOrigin:
    return SessionOrigin(
        door=LoginMethod(record["door"]),
        issuer=record["issuer"],
        back=record["back"],
        login=record.get("login", ""),
        ids=tuple(record.get("ids", ())),
        offered=tuple(record.get("offered", ())),
    )


def _marks(origin: SessionOrigin) -> tuple[tuple[AccountId, str], ...]:
    return tuple(
        (parse_account_id(text.partition(_SEPARATOR)[0]), _end_mark(text))
        for text in origin.ids
    )


def _end_mark(text: str) -> str:
    return end_mark("console", text)
