"""Logins at identity providers, indexed by the names a provider uses to end them.

A console session that began with an ID token, or with an assertion of a provider that
supports single logout, stores its login here under a handle that the session carries;
the session ends with the login. An index by session id and by subject finds the logins
that a provider's logout request names.

Source: OpenID Connect Front-Channel Logout 1.0; Back-Channel Logout 1.0; SAML 2.0
Profiles 4.4.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from broker.console.deps import ConsoleDeps
from broker.errors import AccessDenied, ServiceUnavailable, Throttling
from broker.model.account import AccountId, parse_account_id
from broker.model.arn import Arn
from broker.model.lineage import subject_digest
from broker.model.secret import Confidential, Hidden
from broker.runtime.entropy import new_handle
from broker.sessions.ends import end_mark, has_ended
from broker.sessions.handles import Handles, store_at_hand
from broker.sessions.lineage import provider_session_target, subject_target
from broker.sessions.watched import RolesByAccount

LOGINS_MAX = 16
"""Per subject and per session id at one provider; one more ends the oldest."""

_PENDING = timedelta(minutes=20)
"""Longer than a sign-in that started before a logout can take to complete."""

WATCHED = "watched"
"""In a login's fields: the sign-in whose provider is asked about the person."""

_TRIES = 4
_LOGGED_OUT = "Your identity provider has ended this sign-in. Sign in again."


class ProviderLogin(Confidential, frozen=True, kw_only=True):
    """One sign-in at a provider: subject, client, and its ID token.

    For a SAML provider ``client_id`` is the entity id that issued the assertion,
    ``subject`` the NameID, and ``token`` empty. ``session_id`` is empty when the
    provider names none; ``issued_at`` is the proof's, in seconds since the epoch.
    ``can_end`` says that the provider has an end-session endpoint.
    """

    provider_arn: str
    provider_id: str
    client_id: str
    subject: str
    session_id: str
    issued_at: float
    can_end: bool
    token: Hidden[str]

    @property
    def names(self) -> tuple[str, ...]:
        """The index entries under which a logout request finds it."""
        of_subject = login_name(self.provider_id, self.client_id, "sub", self.subject)
        if not self.session_id:
            return (of_subject,)
        return (
            login_name(self.provider_id, self.client_id, "sid", self.session_id),
            of_subject,
        )


class OpenLogin(Confidential, frozen=True, kw_only=True):
    """A login that has not ended, and the console session it belongs to."""

    handle: Hidden[str]
    login: ProviderLogin
    access_key_id: str
    expires_at: int


class Logout(Struct, frozen=True, kw_only=True):
    """A verified logout request of a provider.

    ``names`` are pairs of session id and subject whose logins it ends; of a provider
    that has ``reused`` session ids, those that began before. ``use_id`` is the
    request's own id, accepted until ``good_until``. Times are in seconds since 1970, by
    the clock of the ``issuer``, as those of its proofs.
    """

    provider_id: str
    issuer: str
    client_id: str
    names: Sequence[tuple[str | None, str | None]]
    issued_at: float
    use_id: str
    good_until: float
    subject: str = ""
    reused: bool = False


def login_end_mark(handle: str) -> str:
    """The revocation mark of a login's end, in its provider's account."""
    return end_mark("oidc-login", handle)


def _logout_name(
    provider_id: str, client_id: str, session_id: str | None, subject: str | None
) -> str:
    if session_id is not None:
        return login_name(provider_id, client_id, "sid", session_id)
    return login_name(provider_id, client_id, "sub", subject or "")


def _name_in(logout: Logout, session_id: str | None, subject: str | None) -> str:
    return _logout_name(logout.provider_id, logout.client_id, session_id, subject)


def _use_name(logout: Logout) -> str:
    return _digest("jti", logout.provider_id, logout.use_id)


def account_of_provider(arn: str) -> AccountId:
    """The account that a provider is registered in."""
    return parse_account_id(Arn.parse(arn).account)


def login_name(provider_id: str, client_id: str, kind: str, value: str) -> str:
    """The index entry of a login; ``kind`` is ``sid`` or ``sub``."""
    return _digest("login", provider_id, client_id, kind, value)


class ProviderLogins:
    """Stores and finds logins.

    What a logout has to find is in the database, since what it ends outlives the cache.
    Every method raises ``ServiceUnavailable`` when that or the cache is unavailable.
    """

    def __init__(self, deps: ConsoleDeps) -> None:
        self._clock = deps.clock
        self._fresh = deps.fresh
        self._watched = deps.watched
        self._logins = Handles(deps.handles, deps.vault, "oidc-login")
        self._named = Handles(deps.handles, deps.vault, "oidc-login-name")
        self._logouts = Handles(deps.cache, deps.vault, "oidc-logout")

    async def open(
        self,
        fields: Mapping[str, Any],
        token: str,
        access_key_id: str,
        expires_at: datetime,
        roles: RolesByAccount | None = None,
    ) -> str:
        """Store a new login, with the ``fields`` of its proof; return its handle.

        If its provider is asked about people, it is from now on, about these ``roles``.

        Raises:
            AccessDenied: The provider sent a logout while the sign-in was under way.
            Throttling: Too many sign-ins of this user start at once.
        """
        watched = fields.get(WATCHED)
        login = ProviderLogin(
            **{name: value for name, value in fields.items() if name != WATCHED},
            token=token,
        )
        handle = new_handle()
        slots = [
            await self._claim(name, handle, login, expires_at) for name in login.names
        ]
        value = {
            "login": asdict(login),
            "key": access_key_id,
            "expires": int(expires_at.timestamp()),
            "slots": slots,
        }
        if watched:
            value[WATCHED] = watched["id"]
            every = timedelta(seconds=watched["seconds"])
            await self._watched.attach(
                watched["id"], access_key_id, expires_at, every, roles
            )
        await self._logins.claim(handle, value, expires_at)
        # Check after storing the login and before handing it out: a later logout
        # finds the login, and an earlier one is found here.
        if await self._was_logged_out(login):
            await self.end(handle)
            raise AccessDenied(_LOGGED_OUT)
        return handle

    async def _was_logged_out(self, login: ProviderLogin) -> bool:
        """Whether a logout came first: by the cache, or by the durable marks."""
        account = account_of_provider(login.provider_arn)
        with store_at_hand():
            marks = (await self._fresh.revocations(account)).not_before_ms
        for name in login.names:
            logout = await self._logouts.find(name)
            if logout is not None and login.issued_at <= logout["at"]:
                return True
            if login.issued_at * 1000 < marks.get(f"oidc-logout/{name}", 0):
                return True
        return False

    def end_marks(self, logout: Logout) -> list[dict[str, object]]:
        """The revocation marks of a logout.

        Sign-ins under way end with it, and whatever else a proof opened or would open
        that the provider issued before: at STS, in the portal, as a machine.
        """
        return [
            {"Mark": mark, "Until": self._until(logout, session_id)}
            for session_id, subject in logout.names
            for mark in (
                f"oidc-logout/{_name_in(logout, session_id, subject)}",
                subject_target(subject_digest(logout.issuer, subject or ""))
                if session_id is None
                else provider_session_target(logout.issuer, session_id),
            )
        ]

    def _until(self, logout: Logout, session_id: str | None) -> float:
        """The latest sign-in that a logout ends, in seconds since the epoch."""
        if session_id is None or logout.reused:
            return logout.issued_at
        # A session id is never used again, so any sign-in under way is covered.
        return self._clock.now().timestamp() + _PENDING.total_seconds()

    async def is_open(self, handle: str) -> bool:
        """Whether the login has not ended."""
        value = await self._logins.find(handle)
        if value is None:
            return False
        account = account_of_provider(value["login"]["provider_arn"])
        return not await has_ended(self._fresh, account, login_end_mark(handle))

    async def forget(self, handle: str) -> None:
        """Like `end`, ignoring an unavailable cache: the end is marked durably."""
        with suppress(ServiceUnavailable):
            await self.end(handle)

    async def end(self, handle: str) -> ProviderLogin | None:
        """Remove a login; None when there was none."""
        value = await self._logins.take(handle)
        if value is None:
            return None
        for slot in value["slots"]:
            await self._named.drop(slot)
        if WATCHED in value:
            await self._watched.leave(sign_in_id=value[WATCHED])
        return ProviderLogin(**value["login"])

    async def find_one(self, handle: str) -> ProviderLogin | None:
        """Find a login by its handle."""
        value = await self._logins.find(handle)
        return None if value is None else ProviderLogin(**value["login"])

    async def find(
        self,
        provider_id: str,
        client_id: str,
        *,
        session_id: str | None,
        subject: str | None,
        until: float,
        reused: bool = False,
    ) -> list[OpenLogin]:
        """Find the logins that a logout ends, at most ``LOGINS_MAX``.

        A session id identifies them (``subject`` must match if given). A subject
        alone, or a session id that the provider may have ``reused``, means logins
        issued no later than ``until``, in seconds since the epoch.
        """
        name = _logout_name(provider_id, client_id, session_id, subject)
        logins = []
        for number in range(LOGINS_MAX):
            entry = await self._named.find(_slot(name, number))
            value = await self._logins.find(entry["handle"]) if entry else None
            if entry is None or value is None:
                continue
            login = ProviderLogin(**value["login"])
            if subject is not None and login.subject != subject:
                continue
            if (session_id is None or reused) and login.issued_at > until:
                continue
            logins.append(
                OpenLogin(
                    handle=entry["handle"],
                    login=login,
                    access_key_id=value["key"],
                    expires_at=value["expires"],
                )
            )
        return logins

    async def end_all(self, logout: Logout) -> list[OpenLogin]:
        """Find what a logout ends, and record it, so that no sign-in under way outlives it."""
        results: dict[str, OpenLogin] = {}
        for session_id, subject in logout.names:
            await self._record(logout, session_id, subject)
            for login in await self.find(
                logout.provider_id,
                logout.client_id,
                session_id=session_id,
                subject=subject,
                until=logout.issued_at,
                reused=logout.reused,
            ):
                results[login.handle] = login
        return list(results.values())

    async def _record(
        self, logout: Logout, session_id: str | None, subject: str | None
    ) -> None:
        at, name = (
            self._until(logout, session_id),
            _name_in(logout, session_id, subject),
        )
        until = self._clock.now() + _PENDING
        if not await self._logouts.claim(name, {"at": at}, until):
            known = await self._logouts.find(name)
            if known is None or known["at"] < at:
                await self._logouts.replace(name, {"at": at}, until)

    async def was_used(self, logout: Logout) -> bool:
        """Whether a logout request was already used."""
        return await self._logouts.find(_use_name(logout)) is not None

    async def use_up(self, logout: Logout) -> None:
        """Mark a logout request as used, until it expires."""
        until = datetime.fromtimestamp(logout.good_until, UTC)
        await self._logouts.claim(_use_name(logout), {}, until)

    async def _claim(
        self, name: str, handle: str, login: ProviderLogin, expires_at: datetime
    ) -> str:
        entry = {"handle": handle, "at": login.issued_at}
        for _ in range(_TRIES):
            for number in range(LOGINS_MAX):
                slot = _slot(name, number)
                if await self._named.claim(slot, entry, expires_at):
                    return slot
            await self._end_oldest(name)
        raise Throttling("Too many of your sign-ins start at once. Try again.")

    async def _end_oldest(self, name: str) -> None:
        slots = [_slot(name, number) for number in range(LOGINS_MAX)]
        entries: list[tuple[str, Mapping[str, Any]]] = []
        for slot in slots:
            entry = await self._named.find(slot)
            if entry is not None:
                entries.append((slot, entry))
        if entries:
            slot, oldest = min(entries, key=lambda slot: float(slot[1]["at"]))
            await self.end(oldest["handle"])
            await self._named.drop(slot)


def _slot(name: str, number: int) -> str:
    return f"{name}{number:02}"


def _digest(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode("ascii")).hexdigest()
