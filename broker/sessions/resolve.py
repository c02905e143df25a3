"""Resolves an access key id and a session token to the caller.

The order of checks is AWS's, as recorded (REC-A): the token belongs to the key id, the
session has not expired, its issuer still exists. The signature comes after, and is
checked elsewhere with the secret that is returned.
"""

import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from weakref import ref

from msgspec import Struct

from broker.errors import ExpiredToken, InvalidClientTokenId, ServiceUnavailable
from broker.model.account import Account, AccountId, find_account_of_key_id
from broker.model.entities import KeyStatus, Role, User
from broker.model.lineage import Lineage, Trace, read_lineage
from broker.model.principal import Principal, PrincipalType
from broker.model.registered import JoinToken
from broker.model.secret import Secret
from broker.model.session import Caller, Session, SessionKind
from broker.runtime.bounded import CACHES, BoundedCache, CacheMemory
from broker.sessions.lineage import find_end, trace, trace_token
from broker.sessions.record import SessionIndex, describe_session
from broker.sessions.seal import OpenedSession, SessionSealer
from broker.sessions.tags import principal_tags
from broker.stores.directory import identities
from broker.stores.directory.kinds import ACCOUNT, LOGIN_PROFILE, ROLE, USER
from broker.stores.directory.port import Finder
from broker.stores.directory.stored import Remembered
from broker.stores.errors import StoreUnavailableError

_ENDS_WITH_ITS_KEY = frozenset(
    {SessionKind.SESSION_TOKEN, SessionKind.FEDERATION_TOKEN}
)

_ENDS_WITH_ITS_PASSWORD = frozenset({SessionKind.CONSOLE, SessionKind.PORTAL})

_ROLE_ID = "AROA"
"""How the unique ids of roles begin."""

_PRINCIPALS: Mapping[str, Remembered[Any]] = {"AIDA": USER, _ROLE_ID: ROLE}
_PREFIX_CHARACTERS = 4

_PROVIDER_TYPES = {
    "saml-provider": PrincipalType.SAML,
    "ldap-provider": PrincipalType.LDAP,
}


class ResolvedSession(Struct, frozen=True):
    """A live session, the secret that signs with it, and who calls with it."""

    session: Session
    secret: Secret
    caller: Caller


async def find_token_end(
    lineage: Lineage, account: AccountId, issued_at_ms: int, directory: Finder
) -> str:
    """Why a token of the broker's own is over, apart from its time; empty while it is not.

    ``lineage`` is that of a token which opens something without its maker's
    credentials. It ends with what it came from, as a session does, and with the role,
    key or password that made it.

    Raises:
        StoreUnavailableError: the directory is away.
    """
    if end := await find_end(trace_token(lineage, account, issued_at_ms), directory):
        return end
    origin = lineage.origin
    maker = lineage.ancestors[-1] if lineage.ancestors else None
    if maker is not None and maker.principal_id != origin.principal_id:
        # A role that was assumed outlives the key that it was assumed with, as in AWS.
        role_id, home = maker.principal_id, maker.account
        gone = (
            role_id.startswith(_ROLE_ID)
            and await directory.find(ROLE, home, role_id) is None
        )
        return f"role {role_id}, which made it, is deleted" if gone else ""
    if origin.access_key_id:
        return await _find_key_end(origin.access_key_id, directory)
    return await _find_password_end(
        origin.account or account,
        origin.principal_id,
        origin.began_ms or issued_at_ms,
        directory,
    )


async def find_join_token_end(token: JoinToken, directory: Finder) -> str:
    """`find_token_end` of a token that admits a machine; the operator's has no maker."""
    if not token.lineage:
        return ""
    created_ms = int(token.created_at.timestamp() * 1000)
    lineage = read_lineage(token.lineage)
    end = await find_token_end(lineage, token.account, created_ms, directory)
    return end or await _find_principals_end(lineage, token.account, directory)


async def _find_principals_end(
    lineage: Lineage, account: AccountId, directory: Finder
) -> str:
    """Which user or role that it came from is deleted; what it admits has no end itself."""
    origin = lineage.origin
    principals = [(origin.account or account, origin.principal_id)]
    principals += [(each.account, each.principal_id) for each in lineage.ancestors]
    principals += [(each.account, each.principal_id) for each in lineage.folded]
    for home, principal_id in dict.fromkeys(principals):
        kind = _PRINCIPALS.get(principal_id[:_PREFIX_CHARACTERS])
        if kind is not None and await directory.find(kind, home, principal_id) is None:
            return f"{principal_id}, which it came from, is deleted"
    return ""


async def _find_key_end(access_key_id: str, directory: Finder) -> str:
    key = await identities.find_access_key(directory, access_key_id)
    if key is not None and key.status is KeyStatus.ACTIVE:
        return ""
    return f"key {access_key_id}, which made it, is deleted or inactive"


async def _find_password_end(
    account: AccountId, principal_id: str, since_ms: int, directory: Finder
) -> str:
    """What was made with a password ends when the user loses that password.

    A change by its owner does not end it: only the login profile counts.
    """
    profile = await directory.find(LOGIN_PROFILE, account, principal_id)
    if profile is not None and int(profile.created_at.timestamp() * 1000) <= since_ms:
        return ""
    return f"{principal_id} has no password any more"


def _nothing() -> None:
    """What a session was resolved for that was not resolved yet."""


class _CachedSession:
    """An opened token and its resolution for one state of its entity."""

    __slots__ = ("entity", "opened", "resolved", "salt", "traces")

    def __init__(self, opened: OpenedSession, salt: bytes) -> None:
        self.opened = opened
        self.salt = salt
        self.traces: tuple[Trace, ...] = trace(opened.session)
        self.entity: Callable[[], Role | User | Account | None] = _nothing
        """A weak reference: the directory's memory holds it, in one piece for all."""
        self.resolved: ResolvedSession | None = None


class Resolver:
    """Resolves temporary credentials, against live state at every call."""

    def __init__(
        self,
        sealer: SessionSealer,
        directory: Finder,
        index: SessionIndex,
        memory: CacheMemory = CACHES,
    ) -> None:
        self._sealer = sealer
        self._directory = directory
        self._index = index
        self._opened = BoundedCache[tuple[str, bytes], _CachedSession](memory)

    async def resolve(
        self, access_key_id: str, session_token: str, now: datetime
    ) -> ResolvedSession:
        """The session that the token proves.

        Raises:
            InvalidClientTokenId: not a token of this key id, or what issued it (the
                role, user, account or long-term key) is gone or inactive.
            ExpiredToken: the session is over, or was revoked.
            ServiceUnavailable: the directory is away.
        """
        digest = hashlib.sha256(session_token.encode("utf-8", "surrogatepass"))
        # Access key ids collide: the token is part of the key.
        which = (access_key_id, digest.digest())
        number = find_account_of_key_id(access_key_id)
        remembered = self._opened.get(number, which) if number else None
        try:
            account = await self._directory.find(ACCOUNT, number) if number else None
            if account is None:
                raise InvalidClientTokenId(detail="no account has this access key id")
            if remembered is None or remembered.salt != account.session_salt:
                remembered = self._open(which, session_token, account, now)
            else:
                self._sealer.require_key(remembered.opened.key_number, now)
            session = remembered.opened.session
            if session.expires_at <= now.timestamp():
                self._opened.discard(account.account_id, which)
                raise ExpiredToken(detail=f"expired at {session.expires_at}")
            entity = await self._require_alive(session, account)
            if why := await find_end(remembered.traces, self._directory):
                raise ExpiredToken(detail=why)
        except StoreUnavailableError as error:
            raise ServiceUnavailable(
                detail=f"the directory is away: {error}"
            ) from error
        resolved = remembered.resolved
        if resolved is None or remembered.entity() is not entity:
            first_time = resolved is None
            resolved = _resolved(remembered.opened, entity)
            remembered.resolved, remembered.entity = resolved, ref(entity)
            self._opened.put(account.account_id, which, remembered)
            if first_time:
                # Write the record now if the mint could not.
                principal = resolved.caller.principal
                self._index.put_later(describe_session(session, principal.arn))
        return resolved

    async def find_secret(
        self, access_key_id: str, session_token: str, now: datetime
    ) -> Secret | None:
        """What a session signs with, be it over; None if the token proves none."""
        number = find_account_of_key_id(access_key_id)
        try:
            account = await self._directory.find(ACCOUNT, number) if number else None
            if account is None:
                return None
            opened = self._sealer.open(
                access_key_id,
                session_token,
                account=account.account_id,
                account_salt=account.session_salt,
                now=now,
            )
        except (InvalidClientTokenId, ServiceUnavailable, StoreUnavailableError):
            return None
        return opened.secret

    def _open(
        self, which: tuple[str, bytes], token: str, account: Account, now: datetime
    ) -> _CachedSession:
        opened = self._sealer.open(
            which[0],
            token,
            account=account.account_id,
            account_salt=account.session_salt,
            now=now,
        )
        remembered = _CachedSession(opened, account.session_salt)
        self._opened.put(account.account_id, which, remembered)
        return remembered

    async def _require_alive(
        self, session: Session, account: Account
    ) -> Role | User | Account:
        """The entity that the session acts as or was made by."""
        number = session.account
        end = ""
        if session.kind in _ENDS_WITH_ITS_KEY and session.parent_key_id:
            end = await _find_key_end(session.parent_key_id, self._directory)
        elif session.kind is SessionKind.PORTAL and session.provider_arn:
            return account
        elif session.kind in _ENDS_WITH_ITS_PASSWORD:
            end = await _find_password_end(
                number, session.principal_id, session.issued_at_ms, self._directory
            )
        if end:
            raise InvalidClientTokenId(detail=end)
        entity: Role | User | Account | None
        if session.kind.is_role:
            entity = await self._directory.find(ROLE, number, session.principal_id)
        elif session.principal_id == number:
            entity = account
        else:
            entity = await self._directory.find(USER, number, session.principal_id)
        if entity is None:
            raise InvalidClientTokenId(
                detail=f"{session.principal_id}, which issued the session, is deleted"
            )
        return entity


def _resolved(opened: OpenedSession, entity: Role | User | Account) -> ResolvedSession:
    session = opened.session
    own: Mapping[str, str] = {} if isinstance(entity, Account) else entity.tags
    caller = Caller(
        principal=_principal(session, entity),
        access_key_id=session.access_key_id,
        session=session,
        principal_tags=principal_tags(own, session.tags),
        context=session.identity_context,
    )
    return ResolvedSession(session, opened.secret, caller)


def _provider_type(provider_arn: str) -> PrincipalType:
    for kind, type_ in _PROVIDER_TYPES.items():
        if f":{kind}/" in provider_arn:
            return type_
    return PrincipalType.WEB_IDENTITY


def _principal(session: Session, entity: Role | User | Account) -> Principal:
    if session.kind is SessionKind.PORTAL and session.provider_arn:
        return Principal.from_provider(
            _provider_type(session.provider_arn),
            session.account,
            provider=session.provider_arn,
            subject=session.name,
        )
    if isinstance(entity, Role):
        return Principal.role_session(
            session.account,
            role_id=entity.role_id,
            path=entity.path,
            role_name=entity.name,
            session_name=session.name,
        )
    issuer = Principal.root(session.account)
    if isinstance(entity, User):
        issuer = Principal.user(
            session.account, user_id=entity.user_id, path=entity.path, name=entity.name
        )
    if session.kind is SessionKind.FEDERATION_TOKEN:
        return Principal.federated_user(
            session.account, name=session.name, issuer=issuer
        )
    return issuer
