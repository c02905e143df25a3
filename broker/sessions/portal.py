"""Sign-ins to the access portal, and the access tokens that stand for them.

A sign-in is a session of its own kind (`SessionKind.PORTAL`). Nobody ever holds its
credentials: the cache has its token, sealed, with what the identity providers said, and
what is made from it carries it in its lineage. So ending the sign-in ends all of that.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from broker.errors import ExpiredToken
from broker.model.account import AccountId
from broker.model.federated import FederatedIdentity
from broker.model.principal import Principal, PrincipalType
from broker.model.session import Session
from broker.sessions.ends import has_ended
from broker.sessions.handles import Handles
from broker.sessions.resolve import ResolvedSession, Resolver
from broker.sessions.sealed_text import SealedTexts
from broker.sessions.vault import Vault
from broker.stores.cache.port import Cache
from broker.stores.directory.port.revocations import RevocationReader

_HANDLE = "portal"
_TEXTS = (
    *("provider_arn", "provider_id", "issuer", "subject", "subject_type"),
    *("name_qualifier", "audience", "session_name", "source_identity"),
)
_KEYS = ("context", "session_context")


@dataclass(frozen=True, slots=True, kw_only=True)
class PortalIdentity:
    """What one provider vouched for, and the ARNs of the roles that it named."""

    identity: FederatedIdentity
    roles: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PortalSignIn:
    """A sign-in as it is kept. ``identities`` are none for an IAM user.

    It ends with the ``end_marks`` in its account, too: a login at a provider has one.
    """

    access_key_id: str
    session_token: str = field(repr=False)
    identities: tuple[PortalIdentity, ...] = ()
    end_marks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenPortal:
    """A live sign-in; ``handle`` is the cookie of the browser that it began in."""

    handle: str = field(repr=False)
    resolved: ResolvedSession
    rows: tuple[Mapping[str, Any], ...] = field(repr=False)

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
        return self.session.account == account or any(
            row["account"] == account for row in self.rows
        )

    @property
    def is_federated(self) -> bool:
        """Whether a provider proved the person; an IAM user's password did otherwise."""
        return bool(self.rows)

    @property
    def roles(self) -> tuple[tuple[str, FederatedIdentity], ...]:
        """The ARNs of all roles that were named, and whom each was named for."""
        return tuple(
            (arn, identity)
            for row in self.rows
            for identity in (_read(row, self.ends_at),)
            for arn in row["roles"]
        )

    def find_role(
        self, account: str, name: str
    ) -> tuple[str, FederatedIdentity] | None:
        """The same for one role, by its account and its name."""
        for row in self.rows:
            if row["account"] == account:
                for arn in row["roles"]:
                    if arn.rpartition("/")[2] == name:
                        return arn, _read(row, self.ends_at)
        return None


class PortalSessions:
    """Opens, finds and closes sign-ins.

    Every method raises ``ServiceUnavailable`` when the cache is away.
    """

    def __init__(
        self,
        cache: Cache,
        vault: Vault,
        resolver: Resolver,
        directory: RevocationReader,
    ) -> None:
        self._handles = Handles(cache, vault, "portal")
        self._tokens = SealedTexts(vault, "portal-token")
        self._resolver = resolver
        self._directory = directory

    async def open(self, sign_in: PortalSignIn, expires_at: datetime) -> str:
        """Keep a sign-in; returns its handle."""
        value = {
            "key": sign_in.access_key_id,
            "token": sign_in.session_token,
            "ends": sign_in.end_marks,
            "identities": [
                {**_row(one.identity), "roles": one.roles} for one in sign_in.identities
            ],
        }
        return await self._handles.put(value, expires_at)

    async def find(self, handle: str, now: datetime) -> OpenPortal | None:
        """The sign-in, if it was kept and its time is not over.

        Raises:
            ExpiredToken, InvalidClientTokenId: it was ended, or the user is gone.
        """
        value = await self._handles.find(handle)
        if value is None:
            return None
        resolved = await self._resolver.resolve(value["key"], value["token"], now)
        account = resolved.session.account
        if value["ends"] and await has_ended(self._directory, account, *value["ends"]):
            raise ExpiredToken(detail="the login at the provider has ended")
        return OpenPortal(
            handle=handle, resolved=resolved, rows=tuple(value["identities"])
        )

    async def forget(self, handle: str) -> None:
        """Drop what is kept: the sign-in was ended already."""
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
        **kept,
    )
