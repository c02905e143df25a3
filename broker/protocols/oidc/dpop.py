"""DPoP proofs: one-time proofs that the sender of a request holds a P-256 key.

The caller must check that the proof's id was not used before.

Source: RFC 9449 4.2, 4.3; RFC 7638 (the key's thumbprint).
"""

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Struct

from broker.model import strict_json
from broker.protocols.oidc import base64url
from broker.protocols.oidc.algorithms import ALGORITHMS

PROOF_CHARACTERS_MAX = 4096
ID_CHARACTERS_MAX = 128
_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
_HEADER = frozenset({"typ", "alg", "jwk"})
_KEY = frozenset({"kty", "crv", "x", "y"})
_COORDINATE_BYTES = 32


class DpopRejected(Exception):  # named as the package's other one
    """The proof proves nothing; the text says why, for the operator."""


class DpopProof(Struct, frozen=True):
    """A verified proof: the key's thumbprint, and the id to be used once."""

    thumbprint: str
    token_id: str


def verify_proof(
    text: str, *, method: str, url: str, now: datetime, skew: timedelta
) -> DpopProof:
    """Verify a proof for one request, made within ``skew`` of ``now``.

    Raises:
        DpopRejected: with the reason.
    """
    match = _COMPACT.fullmatch(text) if len(text) <= PROOF_CHARACTERS_MAX else None
    if match is None:
        raise DpopRejected("not a compact JWS, or too long")
    try:
        header = strict_json.parse_object(base64url.decode(match[1]))
        claims = strict_json.parse_object(base64url.decode(match[2]))
        signature = base64url.decode(match[3])
    except (ValueError, RecursionError) as error:
        raise DpopRejected(f"not a JWT: {error}") from error
    # A kid or crit next to the key would have to be understood first.
    if set(header) != _HEADER or (header["typ"], header["alg"]) != (
        "dpop+jwt",
        "ES256",
    ):
        raise DpopRejected("the header is not that of a DPoP proof with ES256")
    key, thumbprint = _read_key(header["jwk"])
    signed = text[: match.end(2)].encode("ascii")
    if not ALGORITHMS["ES256"].verifier.verify(signed, key, signature):
        raise DpopRejected("bad signature")
    _check_request(claims, method, url)
    return DpopProof(thumbprint, _read_id(claims, now, skew))


def _read_key(jwk: object) -> tuple[ec.EllipticCurvePublicKey, str]:
    # Exactly the public members: with others it may be a private key.
    if not isinstance(jwk, dict) or set(jwk) != _KEY:
        raise DpopRejected("jwk is not a bare public key")
    x, y = jwk["x"], jwk["y"]
    if (jwk["kty"], jwk["crv"]) != ("EC", "P-256") or not (
        isinstance(x, str) and isinstance(y, str)
    ):
        raise DpopRejected("the key is not of P-256")
    try:
        coordinates = base64url.decode(x), base64url.decode(y)
        key = ec.EllipticCurvePublicNumbers(
            int.from_bytes(coordinates[0], "big"),
            int.from_bytes(coordinates[1], "big"),
            ec.SECP256R1(),
        ).public_key()
    except ValueError as error:
        raise DpopRejected(f"the key cannot be used: {error}") from error
    # AWS's CLI leaves leading zeros out, against RFC 7518 6.2.1.2.
    if any(len(part) > _COORDINATE_BYTES for part in coordinates):
        raise DpopRejected("a coordinate is longer than 32 bytes")
    x, y = (
        base64url.encode(part.rjust(_COORDINATE_BYTES, b"\0")) for part in coordinates
    )
    canonical = json.dumps(
        {"crv": "P-256", "kty": "EC", "x": x, "y": y}, separators=(",", ":")
    )
    digest = hashlib.sha256(canonical.encode("ascii")).digest()
    return key, base64url.encode(digest)


def _check_request(claims: Mapping[str, Any], method: str, url: str) -> None:
    if claims.get("htm") != method:
        raise DpopRejected("htm is not the request's method")
    target = claims.get("htu")
    if not isinstance(target, str) or re.split(r"[?#]", target, maxsplit=1)[0] != url:
        raise DpopRejected(f"htu is not {url}")


def _read_id(claims: Mapping[str, Any], now: datetime, skew: timedelta) -> str:
    made_at, token_id = claims.get("iat"), claims.get("jti")
    if isinstance(made_at, bool) or not isinstance(made_at, int | float):
        raise DpopRejected("iat is not a number")
    # Compared, not subtracted: an integer may be no float.
    moment, leeway = now.timestamp(), skew.total_seconds()
    if not moment - leeway <= made_at <= moment + leeway:
        raise DpopRejected("iat is not now")
    if not isinstance(token_id, str) or not 0 < len(token_id) <= ID_CHARACTERS_MAX:
        raise DpopRejected("jti is missing or too long")
    return token_id
