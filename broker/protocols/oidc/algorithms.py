"""The accepted signature algorithms, and the key that each needs.

RS and ES with SHA-2 as in AWS, and as extensions PS and Ed25519 (under its old name
and its new one). There is no HMAC and no ``none``, so neither can be asked for.
PyJWT's algorithm objects do the arithmetic.

Source: RFC 7518 section 3; RFC 8037; RFC 9864; botocore's STS model.
"""

from collections.abc import Mapping
from types import MappingProxyType

from jwt.algorithms import (
    Algorithm,
    ECAlgorithm,
    OKPAlgorithm,
    RSAAlgorithm,
    RSAPSSAlgorithm,
)
from msgspec import Struct


class SignatureAlgorithm(Struct, frozen=True):
    """One algorithm: the key type and curve that it needs, and its verifier."""

    key_type: str
    curve: str
    verifier: Algorithm


ALGORITHMS: Mapping[str, SignatureAlgorithm] = MappingProxyType(
    {
        "RS256": SignatureAlgorithm("RSA", "", RSAAlgorithm(RSAAlgorithm.SHA256)),
        "RS384": SignatureAlgorithm("RSA", "", RSAAlgorithm(RSAAlgorithm.SHA384)),
        "RS512": SignatureAlgorithm("RSA", "", RSAAlgorithm(RSAAlgorithm.SHA512)),
        "PS256": SignatureAlgorithm("RSA", "", RSAPSSAlgorithm(RSAAlgorithm.SHA256)),
        "PS384": SignatureAlgorithm("RSA", "", RSAPSSAlgorithm(RSAAlgorithm.SHA384)),
        "PS512": SignatureAlgorithm("RSA", "", RSAPSSAlgorithm(RSAAlgorithm.SHA512)),
        "ES256": SignatureAlgorithm("EC", "P-256", ECAlgorithm(ECAlgorithm.SHA256)),
        "ES384": SignatureAlgorithm("EC", "P-384", ECAlgorithm(ECAlgorithm.SHA384)),
        "ES512": SignatureAlgorithm("EC", "P-521", ECAlgorithm(ECAlgorithm.SHA512)),
        "EdDSA": SignatureAlgorithm("OKP", "Ed25519", OKPAlgorithm()),
        "Ed25519": SignatureAlgorithm("OKP", "Ed25519", OKPAlgorithm()),
    }
)

ALGORITHM_NAMES: frozenset[str] = frozenset(ALGORITHMS)


def algorithms_of(key_type: str, curve: str) -> frozenset[str]:
    """The algorithms that a key of this type and curve can verify."""
    return frozenset(
        name
        for name, algorithm in ALGORITHMS.items()
        if (algorithm.key_type, algorithm.curve) == (key_type, curve)
    )
