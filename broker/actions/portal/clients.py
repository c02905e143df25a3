"""Clients of the portal: what they registered, sealed in what they keep.

Nothing is stored for a registration, so anyone may make any number of them. The id
holds it all, since a browser brings no more than the id; the secret belongs to one id.

Source: RFC 7591; RFC 8252 7.3 and 8.4; botocore's sso-oidc model.
"""

import hashlib
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from msgspec import Struct
from msgspec.structs import asdict

from broker.errors import AccessDenied
from broker.sessions.handles import SealedTexts
from broker.sessions.vault import Vault

DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
AUTHORIZATION_CODE = "authorization_code"
REFRESH_TOKEN = "refresh_token"  # noqa: S105  # a grant's name
SCOPE = "sso:account:access"
SCOPES = {SCOPE: SCOPE, "sso-portal:*": SCOPE}
"""What each stands for: the second is older, and what Granted asks for."""

LIFE = timedelta(days=90)
_GRANTS = frozenset({DEVICE_CODE, AUTHORIZATION_CODE, REFRESH_TOKEN})
_NAME_MAX = 128
_ADDRESS_MAX = 512
_HIGHEST_PORT = 65_535
_MOST = 5
_REDIRECT = re.compile(
    r"http://(?:127\.0\.0\.1|\[::1\]|localhost)(?::([1-9][0-9]{0,4}))?"
    r"(?:/[A-Za-z0-9._~-]+)*/?"
)
_NAME = re.compile(r"[\x20-\x7e]{1,128}")
_PLACE = re.compile(r"[0-9]{12}|[a-z0-9](?:[a-z0-9]|-(?!-)){1,61}[a-z0-9]", re.ASCII)
START = "/portal/"
_AWS_START = ("https://", ".awsapps.com/start")
"""Before and after a name: the only start URLs that newer AWS CLIs accept.

The host may belong to an AWS customer: it is never contacted, and no page links to it.
"""


class GrantRefused(AccessDenied):
    """A request of OAuth is refused; ``name`` is what the model calls the error."""

    def __init__(self, name: str, message: str, *, detail: str = "") -> None:
        super().__init__(message, detail=detail)
        self.name = name


class PortalClient(Struct, frozen=True, kw_only=True):
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
        return _is_loopback(redirect_uri) and any(
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

    def register(self, client: PortalClient, now: datetime) -> Registration:
        """Seal a registration."""
        expires_at = now + LIFE
        client_id = self._ids.seal(asdict(client), expires_at)
        return Registration(
            client_id=client_id,
            client_secret=self._secrets.seal({"of": digest_of(client_id)}, expires_at),
            issued_at=int(now.timestamp()),
            expires_at=int(expires_at.timestamp()),
        )

    def find(self, client_id: str, now: datetime) -> PortalClient | None:
        """The client of an id, which is not authenticated by it."""
        value = self._ids.find_opened(client_id, now)
        if value is None:
            return None
        return PortalClient(
            name=value["name"],
            scopes=tuple(value["scopes"]),
            grants=tuple(value["grants"]),
            redirects=tuple(value["redirects"]),
            place=value["place"],
        )

    def require(
        self, client_id: str, client_secret: str, now: datetime
    ) -> PortalClient:
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
) -> PortalClient:
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
    if not set(grants) <= _GRANTS:
        raise GrantRefused(
            "UnsupportedGrantTypeException", "There is no such grant type here."
        )
    if len(redirects) > _MOST or not all(map(_is_loopback, redirects)):
        raise GrantRefused(
            "InvalidRedirectUriException",
            f"At most {_MOST} redirectUris, each a loopback address over http.",
        )
    if AUTHORIZATION_CODE in grants and not (redirects and place):
        raise GrantRefused(
            "InvalidClientMetadataException",
            "authorization_code needs redirectUris and the issuerUrl.",
        )
    return PortalClient(
        name=name,
        scopes=tuple(dict.fromkeys(SCOPES[name] for name in scopes)),
        grants=tuple(dict.fromkeys(grants)),
        redirects=tuple(redirects),
        place=place,
    )


def aws_start_url(place: str) -> str:
    """The start URL of a place in AWS's form, which stands for the portal here."""
    return place.join(_AWS_START)


def profile_start_url(public_origin: str, place: str) -> str:
    """What a profile names: newer CLIs ask this broker for AWS's form over https alone."""
    is_asked = public_origin.startswith("https:")
    return f"{public_origin}{START}{place}" if is_asked else aws_start_url(place)


def read_start_url(url: str, public_origin: str) -> str:
    """The account, by number or alias, of a start URL; it need not exist.

    Raises:
        GrantRefused: InvalidRequestException, it is not a start URL of this broker.
    """
    bare = url.partition("#")[0].rstrip("/")
    own = f"{public_origin}{START}"
    for before, after in ((own, ""), _AWS_START):
        place = bare.removeprefix(before).removesuffix(after)
        if bare == f"{before}{place}{after}" and _PLACE.fullmatch(place):
            return place
    raise GrantRefused(
        "InvalidRequestException",
        f"The start URL must be {own}NAME or {aws_start_url('NAME')}:"
        " NAME is an account's number or alias.",
    )


def _is_loopback(address: str) -> bool:
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
