"""Discovery documents: where an issuer publishes its keys and its endpoints.

Source: OpenID Connect Discovery 1.0 sections 3 and 4; RFC 8414 2.
"""

from msgspec import Struct

from broker.model import strict_json
from broker.protocols.oidc.rejection import OidcReason, OidcRejected

DISCOVERY_BYTES_MAX = 1 << 16
_URL_CHARACTERS_MAX = 2048


class Discovery(Struct, frozen=True, kw_only=True):
    """What the broker reads of a discovery document; empty endpoints are absent."""

    issuer: str
    jwks_uri: str
    authorization_endpoint: str = ""
    token_endpoint: str = ""
    end_session_endpoint: str = ""
    revocation_endpoint: str = ""


def discovery_url(issuer: str) -> str:
    """Where the document of ``issuer`` is; one closing slash is not doubled.

    Source: OpenID Connect Discovery 1.0 section 4.
    """
    return f"{issuer.removesuffix('/')}/.well-known/openid-configuration"


def parse_discovery(data: bytes, issuer: str) -> Discovery:
    """Read the document that was fetched for ``issuer``.

    Its addresses are untrusted input: callers must check one before they follow it.

    Raises:
        OidcRejected: BAD_DISCOVERY, also when the document is another issuer's.
    """
    if len(data) > DISCOVERY_BYTES_MAX:
        raise _rejected(f"{len(data)} bytes, at most {DISCOVERY_BYTES_MAX} are read")
    try:
        document = strict_json.parse_object(data)
    except (ValueError, RecursionError) as error:
        raise _rejected(f"not a JSON object: {error}") from error
    if document.get("issuer") != issuer:
        # Source: Discovery 4.3: the issuer MUST be exactly the one asked for.
        text = repr(document.get("issuer"))[:200]
        raise _rejected(f"issuer is {text}, expected {issuer!r}")
    jwks_uri = _read_url(document, "jwks_uri")
    if not jwks_uri:
        raise _rejected("jwks_uri is missing")
    return Discovery(
        issuer=issuer,
        jwks_uri=jwks_uri,
        authorization_endpoint=_read_url(document, "authorization_endpoint"),
        token_endpoint=_read_url(document, "token_endpoint"),
        end_session_endpoint=_read_url(document, "end_session_endpoint"),
        revocation_endpoint=_read_url(document, "revocation_endpoint"),
    )


def _read_url(document: strict_json.JsonObject, name: str) -> str:
    value = document.get(name, "")
    if not isinstance(value, str) or len(value) > _URL_CHARACTERS_MAX:
        raise _rejected(f"{name} is not a text of usual length")
    return value


def _rejected(detail: str) -> OidcRejected:
    return OidcRejected(
        OidcReason.BAD_DISCOVERY, "the discovery document cannot be used", detail
    )
