"""OAuth's grants: who asks, what a person allowed, and what that leads to.

A *client* is one of AWS's two for terminals, or has registered: its id is its
registration, sealed, so that anyone may make any number of them and none is stored; the
id holds it all, since a browser brings no more, and the secret belongs to one id.

A *code* is valid once, within five minutes; so long it is kept, since one that comes
back used ends what it led to. What it leads to uses it up, in the ledger. A *device
code* is the device's request, sealed; the cache only knows which has a user code, and
each poll tells it again; people's answers are in the database.

A *family* is what a client can renew: a session, made from the one that was lent to it
when the code was redeemed, or a sign-in to the portal itself. What ends that session,
or one it came from, ends the family. Its refresh token is a sealed text that is stored
nowhere. A token bound to its client's key may be used any number of times, since
programs of one client renew at the same time. A token bound to no key is used once and
replaced, always by the same successor; when a second use counts as theft is for the end
point that takes it.

Source: RFC 6749 4.1.2; RFC 7591; RFC 8252 7.3 and 8.4; RFC 8628; RFC 9449 5; RFC 9700
4.14.2; botocore's sso-oidc model; AWS Sign-In, CreateOAuth2Token.
"""

import hashlib
import hmac
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct, field
from msgspec.structs import asdict, replace

from broker.errors import AccessDenied, ExpiredToken
from broker.model.account import AccountId, find_account_of_key_id
from broker.model.request import Params
from broker.model.secret import Confidential, Hidden
from broker.model.session import TemporaryCredentials
from broker.protocols.oidc import pkce
from broker.runtime.entropy import new_handle, random_bytes
from broker.sessions.ends import OneTimeUse, SessionHandles, end_mark, one_time_use
from broker.sessions.handles import Handles, SealedTexts
from broker.sessions.resolve import ResolvedSession, Resolver
from broker.sessions.vault import Vault
from broker.stores.cache.port import Cache, HandleStore
from broker.stores.directory.port import Finder

DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
AUTHORIZATION_CODE = "authorization_code"
REFRESH_TOKEN = "refresh_token"  # noqa: S105  # a grant's name
INVALID_GRANT = "InvalidGrantException"
SCOPE = "sso:account:access"
SCOPES = {SCOPE: SCOPE, "sso-portal:*": SCOPE}
"""What each stands for: the second is older, and what Granted asks for."""

LIFE = timedelta(days=90)
GRANTS = frozenset({DEVICE_CODE, AUTHORIZATION_CODE, REFRESH_TOKEN})
_NAME_MAX = 128
_ADDRESS_MAX = 512
_HIGHEST_PORT = 65_535
_MOST = 5
_REDIRECT = re.compile(
    r"http://(?:127\.0\.0\.1|\[::1\]|localhost)(?::([1-9][0-9]{0,4}))?"
    r"(?:/[A-Za-z0-9._~-]+)*/?"
)
_NAME = re.compile(r"[\x20-\x7e]{1,128}")
CODE_LIFE = timedelta(minutes=5)
DEVICE_LIFE = timedelta(minutes=10)
_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
_HALF = 4
_TRIES = 5
"""To find a user code that is not in use, of 25.6 billion."""


class GrantRefused(AccessDenied):
    """A request of OAuth is refused; ``name`` is what sso-oidc's model calls the error."""

    def __init__(self, name: str, message: str, *, detail: str = "") -> None:
        super().__init__(message, detail=detail)
        self.name = name


def invalid_grant(detail: str) -> GrantRefused:
    """A grant is not valid; the detail says why, to operators alone."""
    return GrantRefused(
        INVALID_GRANT,
        "The grant is not valid, was used before, or has expired.",
        detail=detail,
    )


class OAuthClient(Struct, frozen=True, kw_only=True):
    """A registered client.

    ``place`` is the account in its start URL (a number or an alias), if it named one.
    """

    name: str
    scopes: tuple[str, ...] = ()
    grants: tuple[str, ...] = ()
    redirects: tuple[str, ...] = ()
    place: str = ""

    @property
    def may_refresh(self) -> bool:
        """Whether it gets refresh tokens: with a scope, as in AWS."""
        return bool(self.scopes) and (not self.grants or REFRESH_TOKEN in self.grants)

    def may(self, grant: str) -> bool:
        """Whether it registered for a kind of grant; without any it is a device."""
        return grant in self.grants or (not self.grants and grant != AUTHORIZATION_CODE)

    def accepts(self, redirect_uri: str) -> bool:
        """Whether it registered the address, whatever its port."""
        return is_loopback(redirect_uri) and any(
            _without_port(redirect) == _without_port(redirect_uri)
            for redirect in self.redirects
        )


class Registration(Struct, frozen=True, kw_only=True):
    """What a client keeps."""

    client_id: str
    client_secret: str
    issued_at: int
    expires_at: int


class Clients:
    """Registers clients and recognizes them."""

    def __init__(self, vault: Vault) -> None:
        self._ids = SealedTexts(vault, "portal-client")
        self._secrets = SealedTexts(vault, "portal-client-secret")

    def register(self, client: OAuthClient, now: datetime) -> Registration:
        """Seal a registration."""
        expires_at = now + LIFE
        client_id = self._ids.seal(asdict(client), expires_at)
        return Registration(
            client_id=client_id,
            client_secret=self._secrets.seal({"of": digest_of(client_id)}, expires_at),
            issued_at=int(now.timestamp()),
            expires_at=int(expires_at.timestamp()),
        )

    def find(self, client_id: str, now: datetime) -> OAuthClient | None:
        """The client of an id, which is not authenticated by it."""
        value = self._ids.find_opened(client_id, now)
        if value is None:
            return None
        return OAuthClient(
            name=value["name"],
            scopes=tuple(value["scopes"]),
            grants=tuple(value["grants"]),
            redirects=tuple(value["redirects"]),
            place=value["place"],
        )

    def require(self, client_id: str, client_secret: str, now: datetime) -> OAuthClient:
        """The client of an id, authenticated by its secret.

        Raises:
            GrantRefused: InvalidClientException.
        """
        client = self.find(client_id, now)
        secret = self._secrets.find_opened(client_secret, now)
        if client is None or secret is None or secret["of"] != digest_of(client_id):
            raise GrantRefused("InvalidClientException", "Invalid client provided")
        return client


def read_client(
    *,
    name: str,
    kind: str,
    scopes: Sequence[str],
    grants: Sequence[str],
    redirects: Sequence[str],
    place: str,
) -> OAuthClient:
    """What a registration asks for.

    Raises:
        GrantRefused: it is not possible here.
    """
    if kind != "public":
        raise GrantRefused(
            "InvalidClientMetadataException", "The clientType must be public."
        )
    if not _NAME.fullmatch(name):
        raise GrantRefused(
            "InvalidClientMetadataException",
            f"The clientName must have 1 to {_NAME_MAX} printable characters.",
        )
    if not set(scopes) <= SCOPES.keys():
        raise GrantRefused("InvalidScopeException", f"The only scope is {SCOPE}.")
    if not set(grants) <= GRANTS:
        raise GrantRefused(
            "UnsupportedGrantTypeException", "There is no such grant type here."
        )
    if len(redirects) > _MOST or not all(map(is_loopback, redirects)):
        raise GrantRefused(
            "InvalidRedirectUriException",
            f"At most {_MOST} redirectUris, each a loopback address over http.",
        )
    if AUTHORIZATION_CODE in grants and not (redirects and place):
        raise GrantRefused(
            "InvalidClientMetadataException",
            "authorization_code needs redirectUris and the issuerUrl.",
        )
    return OAuthClient(
        name=name,
        scopes=tuple(dict.fromkeys(SCOPES[name] for name in scopes)),
        grants=tuple(dict.fromkeys(grants)),
        redirects=tuple(redirects),
        place=place,
    )


def is_loopback(address: str) -> bool:
    """Whether it is an address of a program on the browser's own computer."""
    if len(address) > _ADDRESS_MAX:
        return False
    match = _REDIRECT.fullmatch(address)
    return match is not None and int(match[1] or 0) <= _HIGHEST_PORT


def _without_port(address: str) -> tuple[str | None, str]:
    parts = urlsplit(address)
    return parts.hostname, parts.path


def digest_of(client_id: str) -> str:
    """What is kept of a client's id, which holds its registration and may be long."""
    return hashlib.sha256(client_id.encode("ascii", "replace")).hexdigest()


class Code(Confidential, frozen=True, kw_only=True):
    """What a code stands for: who may redeem it, and what for.

    ``session`` is the handle of a sign-in to the portal, or a `LentSession` as JSON.
    """

    client_id: str
    redirect_uri: str
    challenge: str
    session: Hidden[str]


class Family(Confidential, frozen=True, kw_only=True):
    """A login that a client can renew until ``ends_at``, in seconds since 1970.

    ``session`` is the handle of the session behind it, ``thumbprint`` that of the
    client's key; empty for clients that have none. ``serial`` is that of its newest
    refresh token.
    """

    client_id: str
    ends_at: int
    session: Hidden[str]
    thumbprint: str = ""
    serial: Hidden[str] = field(default_factory=new_handle)

    @property
    def successor(self) -> "Family":
        """The same with its next refresh token, which follows from this one."""
        digest = hashlib.sha256(
            f"broker/1/successor/{self.serial}".encode()
        ).hexdigest()
        return replace(self, serial=digest)


class Redemption(Confidential, frozen=True):
    """A code or refresh token of the client that has it.

    ``session`` is the handle of the session that it stands for, ``use`` the one use of
    what is used up, ``token`` the refresh token to go on with, empty for a code.
    """

    session: Hidden[str]
    use: OneTimeUse | None
    token: Hidden[str] = ""


class LentSession(Confidential, frozen=True, kw_only=True):
    """The console session that a terminal was allowed to use.

    ``end_marks`` are those that its sign-out sets, each with its account before it: what
    is made from it ends with any of them.
    """

    access_key_id: str
    session_token: Hidden[str]
    end_marks: tuple[tuple[AccountId, str], ...] = ()


class LoginFamilies:
    """The families of terminals' logins, and the sessions that these were lent.

    A session is resolved at each use, as any caller's is: its credentials are never
    handed out.
    """

    def __init__(
        self, handles: HandleStore, vault: Vault, resolver: Resolver, directory: Finder
    ) -> None:
        def kept(space: str) -> SessionHandles:
            return SessionHandles(handles, vault, space, resolver, directory)

        self._families = kept("login-family")
        # Of logins and codes before families were sessions: each goes on until its end.
        self._older = kept("login-session")

    async def keep(self, name: str, credentials: TemporaryCredentials) -> None:
        """Keep a family's session; ``name`` is its handle."""
        await self._families.replace(
            name,
            {
                "key": credentials.access_key_id,
                "token": credentials.session_token.reveal(),
            },
            credentials.expiration,
        )

    async def open(
        self, name: str, now: datetime
    ) -> tuple[ResolvedSession, tuple[str, ...]]:
        """What a code or token stands for, and marks that what it gives ends with.

        Raises:
            GrantRefused: There is no such login, or it has ended.
        """
        lent = await self._find(name)
        value = {"key": lent.access_key_id, "token": lent.session_token}
        try:
            resolved = await self._families.resolve(value, now, *lent.end_marks)
        except ExpiredToken as error:
            raise invalid_grant(error.detail) from error
        return resolved, tuple(mark for _, mark in lent.end_marks)

    async def _find(self, name: str) -> LentSession:
        if (value := await self._families.find(name)) is not None:
            return LentSession(access_key_id=value["key"], session_token=value["token"])
        if (value := await self._older.find(name)) is not None:
            lent = msgspec.convert(value, LentSession)
            account = find_account_of_key_id(lent.access_key_id) or AccountId("")
            own = account, end_mark("login", name)
            return replace(lent, end_marks=(own, *lent.end_marks))
        try:
            return msgspec.json.decode(name, type=LentSession)
        except msgspec.DecodeError as error:
            raise invalid_grant("no such login") from error


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

    async def redeem(
        self, params: Params, client_id: str, now: datetime, *, thumbprint: str = ""
    ) -> Redemption:
        """What a client's code or refresh token stands for, by the grant's type.

        ``client_id`` is as the grant has it. A code that is brought wrongly is no longer
        valid: it was stolen, or the client is broken. A token is: a thief without the
        key must not be able to end the family.

        Raises:
            GrantRefused: There is none of this kind, its time is over, or it is another
                client's, request's or key's.
        """
        if params["grantType"] == REFRESH_TOKEN:
            return self._redeem_token(params, client_id, now, thumbprint)
        code = params.get("code", "")
        value = await self._codes.find(code)
        if value is None:
            raise invalid_grant("no such code")
        grant, verifier = Code(**value), params.get("codeVerifier", "")
        if (
            grant.client_id != client_id
            or grant.redirect_uri != params.get("redirectUri", "")
            or not pkce.is_verifier(verifier)
            or not pkce.fits(verifier, grant.challenge)
        ):
            await self._codes.forget(code)
            raise invalid_grant("the code belongs to another client or request")
        use = one_time_use(f"{self._kind}-code", code, until=now + CODE_LIFE)
        return Redemption(grant.session, use)

    def create_token(self, family: Family) -> str:
        """The newest refresh token of the family, the same text each time."""
        ends_at = datetime.fromtimestamp(family.ends_at, UTC)
        return self._tokens.seal(asdict(family), ends_at, repeatable=True)

    def _redeem_token(
        self, params: Params, client_id: str, now: datetime, thumbprint: str
    ) -> Redemption:
        token = params.get("refreshToken", "")
        value = self._tokens.find_opened(token, now)
        if value is None:
            raise invalid_grant("no such refresh token")
        family = Family(**value)
        if family.client_id != client_id or not hmac.compare_digest(
            family.thumbprint, thumbprint
        ):
            raise invalid_grant("the token belongs to another client or key")
        if family.thumbprint:
            return Redemption(family.session, None, token)
        ends_at = datetime.fromtimestamp(family.ends_at, UTC)
        use = one_time_use(f"{self._kind}-refresh", family.serial, until=ends_at)
        return Redemption(family.session, use, self.create_token(family.successor))


class DeviceRequest(Confidential, frozen=True, kw_only=True):
    """A device's request: which client, from where, and the code that a person enters.

    ``client_id`` is its digest. ``place`` is the account in its start URL: a number or
    an alias.
    """

    client_id: str
    client_name: str
    place: str
    address: str
    agent: str
    asked_at: int
    user_code: Hidden[str] = ""
    number: Hidden[str] = ""

    @property
    def ends_at(self) -> datetime:
        """When it expires."""
        return datetime.fromtimestamp(self.asked_at, UTC) + DEVICE_LIFE

    @property
    def use(self) -> OneTimeUse:
        """The one exchange that it is good for."""
        return one_time_use("portal-device", self.number, until=self.ends_at)


class DeviceRequests:
    """Requests of devices that wait, and what people answered them.

    The device's code is the request, sealed. The cache only knows which request has a
    user code, and each poll tells it again; the answers are in the database. Every
    method raises ``ServiceUnavailable`` when what it asks is away.
    """

    def __init__(self, cache: Cache, handles: HandleStore, vault: Vault) -> None:
        self._codes = SealedTexts(vault, "portal-device")
        self._answers = Handles(handles, vault, "portal-device-answer")
        self._user_codes = Handles(cache, vault, "portal-user-code")

    async def begin(self, request: DeviceRequest) -> tuple[str, str]:
        """The device's code, and the one that its owner types or compares."""
        for _ in range(_TRIES):
            user_code = _new_user_code()
            made = replace(request, user_code=user_code, number=new_handle())
            if await self.wait(made):
                return self._codes.seal(asdict(made), made.ends_at), user_code
        raise RuntimeError("every user code was taken")

    def find(self, device_code: str, now: datetime) -> DeviceRequest | None:
        """What the device asked."""
        value = self._codes.find_opened(device_code, now)
        return DeviceRequest(**value) if value else None

    async def find_answer(self, request: DeviceRequest) -> str | None:
        """The handle of the sign-in that it was given; empty if it was denied."""
        value = await self._answers.find(request.number)
        return value["portal"] if value else None

    async def wait(self, request: DeviceRequest) -> bool:
        """Let the request be found by its user code; False when that is taken."""
        return await self._user_codes.claim(
            request.user_code, asdict(request), request.ends_at
        )

    async def find_by_user_code(self, user_code: str) -> DeviceRequest | None:
        """The request that still waits for an answer."""
        value = await self._user_codes.find(user_code)
        request = DeviceRequest(**value) if value else None
        if request is None or await self.find_answer(request) is not None:
            return None
        return request

    async def answer(self, user_code: str, portal: str) -> bool:
        """Give the device a sign-in, or none; whether it still waited for an answer.

        One step of the database decides: an answer that failed can be given again.
        """
        request = await self.find_by_user_code(user_code)
        return request is not None and await self._answers.claim(
            request.number, {"portal": portal}, request.ends_at
        )


def read_user_code(typed: str) -> str:
    """A user code as it is kept, however it was typed; empty if it is none."""
    letters = [letter for letter in typed.upper()[:32] if letter in _LETTERS]
    if len(letters) != 2 * _HALF:
        return ""
    return f"{''.join(letters[:_HALF])}-{''.join(letters[_HALF:])}"


def _new_user_code() -> str:
    """Eight letters, of which 16 bytes make none measurably more likely."""
    number, letters = int.from_bytes(random_bytes(16)), ""
    for _ in range(2 * _HALF):
        number, letter = divmod(number, len(_LETTERS))
        letters += _LETTERS[letter]
    return f"{letters[:_HALF]}-{letters[_HALF:]}"


class PortalLogins(Struct, frozen=True):
    """Where clients of the portal register, and what they are given."""

    clients: Clients
    grants: Grants
    devices: DeviceRequests
