"""Sign-ins to the access portal, and the access tokens that stand for them.

A sign-in is a session of its own kind (`SessionKind.PORTAL`). Its credentials are
never handed out: the database has its token, sealed, with what the identity providers
said, and what is made from it carries it in its lineage. So ending the sign-in ends all of that.
"""

from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from broker.errors import ServiceUnavailable
from broker.model.account import AccountId, find_account_of_key_id
from broker.model.federated import FederatedIdentity
from broker.model.principal import Principal, PrincipalType
from broker.model.secret import Confidential, Hidden
from broker.model.session import Session, TemporaryCredentials
from broker.runtime.bounded import SHARED, BoundedCache
from broker.sessions.ends import SessionHandles
from broker.sessions.handles import SealedTexts
from broker.sessions.resolve import ResolvedSession, Resolver
from broker.sessions.vault import Vault
from broker.sessions.watched import WatchedSignIns
from broker.stores.cache.port import HandleStore
from broker.stores.directory.port import Finder

_HANDLE = "portal"
_TEXTS = (
    *("provider_arn", "provider_id", "issuer", "subject", "subject_type"),
    *("name_qualifier", "audience", "session_name", "source_identity"),
)
_KEYS = ("context", "session_context")

Renew = Callable[[FederatedIdentity, str, datetime], Awaitable[FederatedIdentity]]
"""The person as the provider has them now; the text is what it is asked by, if it is."""


class PortalIdentity(Struct, frozen=True, kw_only=True):
    """What one provider asserted, and the ARNs of the roles that it named."""

    identity: FederatedIdentity
    roles: tuple[str, ...]


class NamedRoles:
    """The roles that the providers named, each with the identity it was named for.

    ``rows`` are the identities as they are kept; each is read when it is first needed.
    """

    __slots__ = ("_ends_at", "_identities", "_index", "_rows")

    def __init__(self, rows: Sequence[Mapping[str, Any]], ends_at: datetime) -> None:
        self._rows = rows
        self._ends_at = ends_at
        self._identities: dict[int, FederatedIdentity] = {}
        self._index: dict[AccountId, dict[str, tuple[str, int]]] | None = None

    def __bool__(self) -> bool:
        return bool(self._rows)

    def __iter__(self) -> Iterator[tuple[str, FederatedIdentity]]:
        for number, row in enumerate(self._rows):
            for arn in row["roles"]:
                yield arn, self._identity(number)

    def find(self, account: str, name: str) -> tuple[str, FederatedIdentity] | None:
        """One of them, by its account and its name."""
        named = self._by_account.get(AccountId(account), {}).get(name)
        return None if named is None else (named[0], self._identity(named[1]))

    @property
    def accounts(self) -> Collection[AccountId]:
        """The accounts that they are in."""
        return self._by_account.keys()

    def list_of(self, account: AccountId) -> Iterator[tuple[str, FederatedIdentity]]:
        """Those of one account, by name."""
        for arn, number in self._by_account.get(account, {}).values():
            yield arn, self._identity(number)

    @property
    def _by_account(self) -> dict[AccountId, dict[str, tuple[str, int]]]:
        """By account and name; of several with one name, the first applies."""
        if self._index is None:
            index: dict[AccountId, dict[str, tuple[str, int]]] = {}
            for number, row in enumerate(self._rows):
                named = index.setdefault(AccountId(row["account"]), {})
                for arn in row["roles"]:
                    named.setdefault(arn.rpartition("/")[2], (arn, number))
            self._index = {
                account: {
                    name: named[name] for name in sorted(sorted(named), key=str.lower)
                }
                for account, named in index.items()
            }
        return self._index

    def identities(self) -> Iterator[FederatedIdentity]:
        """What each provider asserted."""
        for number in range(len(self._rows)):
            yield self._identity(number)

    def reach(self, account: AccountId) -> bool:
        """Whether a provider of the account authenticated the person."""
        return any(row["account"] == account for row in self._rows)

    def _identity(self, number: int) -> FederatedIdentity:
        identity = self._identities.get(number)
        if identity is None:
            identity = _read(self._rows[number], self._ends_at)
            self._identities[number] = identity
        return identity


_Kept = tuple[Mapping[str, Any], NamedRoles]
"""What is kept of a sign-in, read once, since it never changes; and how long it is."""


async def _as_before(
    identity: FederatedIdentity, _watched: str, _now: datetime
) -> FederatedIdentity:
    return identity


class OpenPortal(Confidential, frozen=True, kw_only=True):
    """A live sign-in; ``handle`` is the cookie of the browser that it began in.

    ``roles`` are none for an IAM user, whose policies say which there are.
    ``organisation`` is empty for a sign-in to an account. ``watched`` is the session's
    access key id if the provider is asked whether the person is still there.
    """

    handle: Hidden[str]
    resolved: ResolvedSession
    roles: NamedRoles
    organisation: str = ""
    watched: str = ""
    renew: Renew = _as_before

    async def renewed(self, account: str, role: str, now: datetime) -> "OpenPortal":
        """The sign-in, for one role, as the directory has the person now.

        Raises:
            ExpiredToken: the person is gone from it, or their account is closed.
            ServiceUnavailable: the directory could not be asked.
        """
        named = self.roles.find(account, role)
        if named is None:
            return self
        identity = await self.renew(named[1], self.watched, now)
        if identity is named[1]:
            return self
        row = {**_row(identity), "roles": sorted(identity.group_roles)}
        return replace(self, roles=NamedRoles([row], self.ends_at))

    async def require_current(self, now: datetime) -> None:
        """Ask the directory that the person signed in with again.

        That provider's identity is the first. Those of an organisation's other members
        are asked for their own roles only: the sign-in does not end with them.

        Raises:
            ExpiredToken, ServiceUnavailable: as ``renewed`` does.
        """
        for identity in islice(self.roles.identities(), 1):
            await self.renew(identity, self.watched, now)

    @property
    def session(self) -> Session:
        """The sign-in's session."""
        return self.resolved.session

    @property
    def ends_at(self) -> datetime:
        """The last instant of all that is made from it."""
        return datetime.fromtimestamp(self.session.expires_at, UTC)

    def reaches(self, account: AccountId) -> bool:
        """Whether the person signed in to this account."""
        return self.session.account == account or self.roles.reach(account)


class PortalSessions:
    """Opens, finds and closes sign-ins.

    A worker remembers what it has read: that a sign-in has ended is found out from its
    session, whatever is kept of it.

    Every method raises ``ServiceUnavailable`` when the database is away.
    """

    def __init__(
        self,
        handles: HandleStore,
        vault: Vault,
        resolver: Resolver,
        directory: Finder,
        *,
        renew: Renew = _as_before,
        watched: WatchedSignIns | None = None,
    ) -> None:
        self._renew = renew
        self._watched = watched
        self._handles = SessionHandles(handles, vault, "portal", resolver, directory)
        self._tokens = SealedTexts(vault, "portal-token")
        self._remembered = BoundedCache[str, _Kept]()

    async def open(
        self,
        credentials: TemporaryCredentials,
        identities: Sequence[PortalIdentity] = (),
        *,
        end_marks: Sequence[str] = (),
        organisation: str = "",
        is_watched: bool = False,
    ) -> str:
        """Keep a sign-in; returns its handle.

        ``identities`` are none for an IAM user. It ends with the ``end_marks`` in its
        account, too: a login at a provider has one. ``organisation`` is the one that was
        signed in to; empty for an account. ``is_watched`` says that the provider is asked
        whether the person is still there.
        """
        value = {
            "key": credentials.access_key_id,
            "token": credentials.session_token.reveal(),
            "ends": end_marks,
            "organisation": organisation,
            "watched": credentials.access_key_id if is_watched else "",
            "until": int(credentials.expiration.timestamp()),
            "identities": [
                {**_row(identity.identity), "roles": identity.roles}
                for identity in identities
            ],
        }
        return await self._handles.put(value, credentials.expiration)

    async def find(self, handle: str, now: datetime) -> OpenPortal | None:
        """The sign-in, if it was kept and its time is not over.

        Raises:
            ExpiredToken, InvalidClientTokenId: it was ended, or the user is gone.
        """
        kept = await self._find_kept(handle)
        if kept is None:
            return None
        value, roles = kept
        account = find_account_of_key_id(value["key"])
        marks = [(account, mark) for mark in value["ends"] if account is not None]
        return OpenPortal(
            handle=handle,
            resolved=await self._handles.resolve(value, now, *marks),
            roles=roles,
            organisation=value.get("organisation", ""),
            watched=value.get("watched", ""),
            renew=self._renew,
        )

    async def _find_kept(self, handle: str) -> _Kept | None:
        kept = self._remembered.get(SHARED, handle)
        if kept is not None:
            return kept
        value = await self._handles.find(handle)
        if value is None:
            return None
        ends_at = datetime.fromtimestamp(value["until"], UTC)
        kept = value, NamedRoles(value.pop("identities"), ends_at)
        self._remembered.put(SHARED, handle, kept)
        return kept

    async def forget(self, handle: str) -> None:
        """Drop what is kept: the sign-in was ended already.

        If its provider is asked about the person, the token for that is revoked there.
        """
        with suppress(ServiceUnavailable):
            kept = await self._find_kept(handle) if self._watched else None
            if self._watched and kept is not None and kept[0].get("watched"):
                await self._watched.leave(access_key_id=kept[0]["watched"])
        self._remembered.discard(SHARED, handle)
        await self._handles.forget(handle)

    def create_token(self, handle: str, expires_at: datetime) -> str:
        """An access token for the sign-in."""
        return self._tokens.seal({_HANDLE: handle}, expires_at)

    async def find_by_token(self, token: str, now: datetime) -> OpenPortal | None:
        """The sign-in that an access token stands for, as ``find`` does."""
        value = self._tokens.find_opened(token, now)
        return None if value is None else await self.find(value[_HANDLE], now)


def _row(identity: FederatedIdentity) -> dict[str, object]:
    """What of an identity its trust policies and sessions need again.

    The proof itself was spent; claims are not kept.
    """
    return {
        **{name: getattr(identity, name) for name in (*_TEXTS, *_KEYS)},
        "account": identity.account,
        "person": identity.person,
        "type": identity.principal.type.value,
        "tags": dict(identity.tags),
        "transitive": sorted(identity.transitive_keys),
    }


def _read(row: Mapping[str, Any], ends_at: datetime) -> FederatedIdentity:
    account = AccountId(row["account"])
    kept: dict[str, Any] = {name: row[name] for name in _TEXTS}
    for name in _KEYS:
        kept[name] = {key: tuple(values) for key, values in row[name].items()}
    return FederatedIdentity(
        principal=Principal.from_provider(
            PrincipalType(row["type"]),
            account,
            provider=row["provider_arn"],
            subject=row["subject"],
        ),
        account=account,
        tags=row["tags"],
        transitive_keys=frozenset(row["transitive"]),
        session_ends_at=ends_at,
        # What an older version kept has none.
        person=row.get("person", ""),
        **kept,
    )
