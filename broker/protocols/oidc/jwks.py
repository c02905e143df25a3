"""Key sets: the published keys and what each may verify.

Bad keys are skipped singly, with the reason kept for the operator; key objects are
built once, so that a token costs a look-up.

Source: RFC 7517; RFC 7518 section 6; RFC 8037; recorded answers (REC-S aws-keys).
"""

import base64
import binascii
import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from msgspec import Struct

from broker.model import strict_json
from broker.model.secret import Confidential, Hidden
from broker.protocols.oidc import base64url
from broker.protocols.oidc.algorithms import algorithms_of
from broker.protocols.oidc.rejection import OidcReason, OidcRejected
from broker.protocols.x509.errors import UNREADABLE

JWKS_BYTES_MAX = 1 << 20
KEYS_PER_TYPE_MAX = 100
"""More keys of one type make all keys of that type unusable, as in AWS."""

KID_CHARACTERS_MAX = 256
"""In a token's header, too."""

RSA_BITS_MIN = 2048
RSA_BITS_MAX = 8192
"""A longer key costs more time at each verification than it is worth."""

_RSA_EXPONENT_BITS_MAX = 32
_SMALL_PRIMES = math.prod(
    n for n in range(3, 1000, 2) if all(n % p for p in range(3, int(n**0.5) + 1, 2))
)
_KEY_TYPES = frozenset({"RSA", "EC", "OKP"})
_CURVES: Mapping[str, ec.EllipticCurve] = {
    "P-256": ec.SECP256R1(),
    "P-384": ec.SECP384R1(),
    "P-521": ec.SECP521R1(),
}
_ED25519_BYTES = 32
# Points whose order divides the cofactor: with one of these as the key, or as R, a
# signature can be made for every message. Source: RFC 8032 5.1.7; "Taming the many
# EdDSAs", table 1 (the sign bit is masked before comparing).
_ED25519_SIGN_MASK = (1 << 255) - 1
_ED25519_P = 2**255 - 19
_ED25519_SMALL_ORDER = frozenset(
    {
        0,
        1,
        _ED25519_P - 1,
        _ED25519_P,
        _ED25519_P + 1,
        0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,
        0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7,
    }
)

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey


class VerificationKey(Confidential, frozen=True):
    """A usable key and the algorithms that it may verify."""

    kid: str
    key: Hidden[PublicKey]
    algorithms: frozenset[str]


class KeySet(Struct, frozen=True):
    """An issuer's usable keys by kid.

    ``only_key`` is the key for tokens without a kid: there when exactly one key is
    published, and usable. ``skipped`` says why the others cannot be used.
    """

    keys: Mapping[str, VerificationKey]
    only_key: VerificationKey | None
    skipped: tuple[str, ...] = ()

    def find(self, kid: str | None) -> VerificationKey | None:
        """The key that a token's header names."""
        return self.only_key if kid is None else self.keys.get(kid)


def parse_jwks(data: bytes) -> KeySet:
    """Read a JWK Set. Of two keys with one kid the later counts.

    Raises:
        OidcRejected: BAD_KEY_SET, when it is not a key set at all.
    """
    if len(data) > JWKS_BYTES_MAX:
        raise _rejected(f"{len(data)} bytes, at most {JWKS_BYTES_MAX} are read")
    try:
        document = strict_json.parse_lenient_object(data)
    except (ValueError, RecursionError) as error:
        raise _rejected(f"not a JSON object: {error}") from error
    published = document.get("keys")
    if not isinstance(published, list):
        raise _rejected("'keys' is missing or not an array")
    counts = Counter(_type_of(jwk) for jwk in published)
    crowded = {kty for kty, count in counts.items() if count > KEYS_PER_TYPE_MAX}
    keys: dict[str, VerificationKey] = {}
    skipped = [
        f"{counts[kty]} keys of type {kty}, at most {KEYS_PER_TYPE_MAX} are read"
        for kty in sorted(crowded)
    ]
    for position, jwk in enumerate(published):
        if _type_of(jwk) in crowded:
            continue
        try:
            key = _parse_key(jwk)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            skipped.append(f"key {position}: {error}")
            continue
        keys[key.kid] = key
    only = next(iter(keys.values())) if len(published) == len(keys) == 1 else None
    return KeySet(keys, only, tuple(skipped[:KEYS_PER_TYPE_MAX]))


def is_small_order(encoded_point: bytes) -> bool:
    """Whether 32 bytes encode a point of small order on Ed25519's curve."""
    y = int.from_bytes(encoded_point[:_ED25519_BYTES], "little") & _ED25519_SIGN_MASK
    return y in _ED25519_SMALL_ORDER


def _rejected(detail: str) -> OidcRejected:
    return OidcRejected(OidcReason.BAD_KEY_SET, "the key set cannot be used", detail)


def _type_of(jwk: object) -> str:
    kty = jwk.get("kty") if isinstance(jwk, dict) else None
    return kty if isinstance(kty, str) and kty in _KEY_TYPES else "unknown"


def _parse_key(jwk: object) -> VerificationKey:
    """Read one JWK; ValueError says why it cannot be used."""
    if not isinstance(jwk, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004  # the data is at fault
    kid = jwk.get("kid")
    if not isinstance(kid, str) or not kid:
        raise ValueError("no kid")
    if len(kid) > KID_CHARACTERS_MAX:
        raise ValueError(f"the kid has {len(kid)} characters, no token may name it")
    _check_purpose(jwk)
    key: PublicKey
    match jwk.get("kty"):
        case "RSA":
            key, curve = _parse_rsa(jwk), ""
        case "EC":
            key, curve = _parse_ec(jwk)
        case "OKP":
            key, curve = _parse_okp(jwk)
        case _:
            raise ValueError("kty is not RSA, EC or OKP")
    algorithms = algorithms_of(jwk["kty"], curve)
    if "alg" in jwk:
        algorithms &= {jwk["alg"]}
        if not algorithms:
            raise ValueError(f"alg does not fit a key of type {jwk['kty']} {curve}")
    if "x5c" in jwk:
        _check_certificate(jwk["x5c"], key)
    return VerificationKey(kid, key, algorithms)


def _check_purpose(jwk: Mapping[str, Any]) -> None:
    if jwk.get("use", "sig") != "sig":
        raise ValueError("use is not sig")
    if "key_ops" in jwk:
        operations = jwk["key_ops"]
        if not isinstance(operations, list) or "verify" not in operations:
            raise ValueError("key_ops does not hold verify")
    if not isinstance(jwk.get("alg", ""), str):
        raise ValueError("alg is not a string")  # noqa: TRY004  # the data is at fault
    if "d" in jwk:
        raise ValueError("the private key is published")


def _parse_rsa(jwk: Mapping[str, Any]) -> rsa.RSAPublicKey:
    modulus, exponent = _read_number(jwk, "n"), _read_number(jwk, "e")
    if not RSA_BITS_MIN <= modulus.bit_length() <= RSA_BITS_MAX:
        raise ValueError(
            f"RSA key of {modulus.bit_length()} bits,"
            f" {RSA_BITS_MIN} to {RSA_BITS_MAX} are accepted"
        )
    if modulus % 2 == 0 or math.gcd(modulus, _SMALL_PRIMES) != 1:
        raise ValueError("RSA modulus with a small factor")
    if exponent % 2 == 0 or exponent < 3:  # noqa: PLR2004  # the least odd prime
        raise ValueError("RSA exponent is even or 1")
    if exponent.bit_length() > _RSA_EXPONENT_BITS_MAX:
        raise ValueError("RSA exponent is too large")
    return rsa.RSAPublicNumbers(exponent, modulus).public_key()


def _parse_ec(jwk: Mapping[str, Any]) -> tuple[ec.EllipticCurvePublicKey, str]:
    name = jwk.get("crv")
    if not isinstance(name, str) or name not in _CURVES:
        raise ValueError("crv is not P-256, P-384 or P-521")
    curve = _CURVES[name]
    size = (curve.key_size + 7) // 8
    x, y = _read_bytes(jwk, "x"), _read_bytes(jwk, "y")
    if len(x) != size or len(y) != size:
        raise ValueError(f"coordinates of {name} are not {size} bytes long")
    numbers = ec.EllipticCurvePublicNumbers(
        int.from_bytes(x, "big"), int.from_bytes(y, "big"), curve
    )
    return numbers.public_key(), name


def _parse_okp(jwk: Mapping[str, Any]) -> tuple[ed25519.Ed25519PublicKey, str]:
    if jwk.get("crv") != "Ed25519":
        raise ValueError("crv is not Ed25519")
    x = _read_bytes(jwk, "x")
    if is_small_order(x):
        raise ValueError("Ed25519 point of small order")
    return ed25519.Ed25519PublicKey.from_public_bytes(x), "Ed25519"


def _check_certificate(chain: object, key: PublicKey) -> None:
    """A key whose certificate is for another key is not trusted.

    Source: RFC 7517 4.7: the key in the first certificate MUST match the JWK.
    """
    if not isinstance(chain, list) or not chain or not isinstance(chain[0], str):
        raise ValueError("x5c is not an array of certificates")
    try:
        der = base64.b64decode(chain[0], validate=True)
    except binascii.Error as error:
        raise ValueError("x5c is not base64") from error
    try:
        certified = x509.load_der_x509_certificate(der).public_key()
    except UNREADABLE as error:
        raise ValueError("x5c holds no certificate") from error
    if certified != key:
        raise ValueError("x5c holds another key")


def _read_bytes(jwk: Mapping[str, Any], name: str) -> bytes:
    value = jwk.get(name)
    if not isinstance(value, str):
        raise ValueError(f"{name} is missing")  # noqa: TRY004  # the data is at fault
    try:
        return base64url.decode(value)
    except ValueError as error:
        raise ValueError(f"{name} is {error}") from error


def _read_number(jwk: Mapping[str, Any], name: str) -> int:
    data = _read_bytes(jwk, name)
    if len(data) > RSA_BITS_MAX // 8 + 1:
        raise ValueError(f"{name} is too long")
    return int.from_bytes(data, "big")
