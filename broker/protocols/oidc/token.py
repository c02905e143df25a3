"""Parses an ID token, a JWS in compact serialisation, before anything is verified.

Nothing here says that a token is genuine; see ``verify``.

Source: RFC 7515 sections 4, 5.2 and 7.1; RFC 7519; RFC 8725.
"""

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any, NoReturn

from msgspec import Struct

from broker.model import strict_json
from broker.protocols.oidc import base64url
from broker.protocols.oidc import claims as standard_claims
from broker.protocols.oidc.jwks import KID_CHARACTERS_MAX
from broker.protocols.oidc.rejection import IssuerRejected, OidcReason, OidcRejected
from broker.runtime.bounded import remembered

TOKEN_CHARACTERS_MAX = 20_000
"""The limit of the STS API on ``WebIdentityToken``."""

_CACHED_HEADER_CHARACTERS = 512

_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
_WHITE_SPACE = " \t\r\n"
_TYPES = frozenset({"jwt", "application/jwt"})
LOGOUT_TYPES = _TYPES | {"logout+jwt", "application/logout+jwt"}
"""Lower-case ``typ`` of logout tokens. Source: Back-Channel Logout 1.0, 2.4."""

# crit: an extension we do not know; b64 and zip: the bytes that are signed are not
# the bytes that are read; cty: another token inside; enc: not a signed token.
_REFUSED_PARAMETERS = frozenset({"crit", "b64", "zip", "cty", "enc"})
_NOT_A_JWT = "the token is not a valid JWT"


class UnverifiedToken(Struct, frozen=True, kw_only=True):
    """A well-formed token, not yet verified.

    ``issuer`` may only be used to *nominate* a provider. Keys in the header (``jwk``,
    ``jku``, ``x5u``, ``x5c``) are never looked at.
    """

    __repr__ = object.__repr__

    issuer: str
    kid: str | None
    algorithm: str
    unverified_claims: Mapping[str, Any]
    signing_input: bytes
    signature: bytes


def parse_token(text: str, *, types: AbstractSet[str] = _TYPES) -> UnverifiedToken:
    """Read a token's form; ``types`` are the values that ``typ`` may have.

    White space at the end is dropped, because token files end with a newline and
    some clients send the file as it is; anywhere else it is refused.

    Raises:
        OidcRejected: NOT_A_JWT.
        IssuerRejected: MISSING_CLAIM or BAD_CLAIM.
    """
    if len(text) > TOKEN_CHARACTERS_MAX:
        _refuse(f"{len(text)} characters, at most {TOKEN_CHARACTERS_MAX} are read")
    text = text.rstrip(_WHITE_SPACE)
    match = _COMPACT.fullmatch(text)
    if match is None:
        _refuse(
            "not three base64url segments, separated by dots "
            f"(there are {text.count('.') + 1} segments)"
        )
    kid, algorithm = _read_header(match[1], types)
    claims = _parse_segment(match[2], "payload")
    try:
        signature = base64url.decode_known_alphabet(match[3])
    except ValueError as error:
        _refuse(f"signature: {error}", error)
    return UnverifiedToken(
        issuer=_read_issuer(claims),
        kid=kid,
        algorithm=algorithm,
        unverified_claims=claims,
        signing_input=text[: match.end(2)].encode("ascii"),
        signature=signature,
    )


def _read_header(segment: str, types: AbstractSet[str]) -> tuple[str | None, str]:
    return _read_header_once(segment, frozenset(types))


@remembered(_CACHED_HEADER_CHARACTERS)
def _read_header_once(segment: str, types: frozenset[str]) -> tuple[str | None, str]:
    """An issuer's tokens share their header; a refusal is not remembered."""
    header = _parse_segment(segment, "header")
    return _read_kid(header), _read_algorithm(header, types)


def _parse_segment(segment: str, name: str) -> strict_json.JsonObject:
    try:
        return strict_json.parse_object(base64url.decode_known_alphabet(segment))
    except (ValueError, RecursionError) as error:
        _refuse(f"{name}: {error}", error)


def _read_algorithm(header: strict_json.JsonObject, types: AbstractSet[str]) -> str:
    refused = _REFUSED_PARAMETERS & header.keys()
    if refused:
        _refuse(f"header parameter {', '.join(sorted(refused))} is not accepted")
    type_ = header.get("typ", "JWT")
    if not isinstance(type_, str) or type_.lower() not in types:
        _refuse(f"typ is {_shown(type_)}, an ID token's is JWT")
    algorithm = header.get("alg")
    if not isinstance(algorithm, str):
        _refuse(f"alg is {_shown(algorithm)}, not a string")
    return algorithm


def _read_kid(header: strict_json.JsonObject) -> str | None:
    if "kid" not in header:
        return None
    kid = header["kid"]
    if not isinstance(kid, str) or len(kid) > KID_CHARACTERS_MAX:
        _refuse(f"kid is {_shown(kid)}, not a string of usual length")
    return kid


def _read_issuer(claims: strict_json.JsonObject) -> str:
    if "iss" not in claims:
        raise IssuerRejected(OidcReason.MISSING_CLAIM, "Missing a required claim: iss")
    try:
        return standard_claims.read_text(claims["iss"], "iss")
    except OidcRejected as error:
        raise IssuerRejected(error.reason, error.message, error.detail) from error


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."  # noqa: PLR2004  # a line


def _refuse(detail: str, cause: Exception | None = None) -> NoReturn:
    raise OidcRejected(OidcReason.NOT_A_JWT, _NOT_A_JWT, detail) from cause
