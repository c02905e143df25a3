"""Tokens that an account gives to its own principals: the switch, and the keys.

An account has one key for each algorithm that signs. A new key is published some
time before it signs, and an old one as long as a token of its may last; so a verifier
that fetched the keys a moment ago can verify every token. The keys are an option of the
account, sealed; the issuer stays the same whatever is switched.

Each key is published with a certificate (``x5c``), for verifiers that pin certificates
instead of trusting the address, such as Ceph. It is made with the key and kept, so that
its thumbprint stays; a key from before there were certificates has none.

Source: IAM API reference, "EnableOutboundWebIdentityFederation"; OpenID Connect
Discovery 1.0; RFC 7517.
"""

import base64
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from msgspec import Struct
from msgspec.structs import replace

from broker.model.account import Account, AccountId
from broker.model.sealing import Opener, SealedRenewer, Sealer
from broker.model.secret import Confidential, Hidden
from broker.runtime.bounded import remembered

OPTION: Final = "OutboundWebIdentityFederation"
"""The name of the account's option."""

PUBLISHED_BEFORE = timedelta(minutes=10)
"""How long a new key is published before it signs."""

TOKEN_MAX = timedelta(hours=1)
PUBLISHED_AFTER = TOKEN_MAX + timedelta(minutes=10)
"""How long an old key is published after another took over."""

_PURPOSE = "outbound-federation"
_COLUMN = "private-key"
_RSA_BITS = 2048
_KEY_BYTES_MAX = 8192
"""Signing keys that a worker keeps ready; a few kilobytes each."""

_PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

_NO_END = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)

_BEHIND = timedelta(hours=1)
"""How far a verifier's clock may be behind when the key is new."""

_SIGNS = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


class Algorithm(StrEnum):
    """The algorithms that a caller may ask for."""

    RS256 = "RS256"
    ES384 = "ES384"

    @property
    def key_name(self) -> str:
        """What key ids begin with, as recorded."""
        return "RSA" if self is Algorithm.RS256 else "EC384"


class IssuerSigningKey(Confidential, frozen=True, kw_only=True):
    """One key of an account; ``public`` is its JWK without id and use.

    ``certificate`` is DER, None for a key from before there were certificates.
    """

    kid: str
    algorithm: Algorithm
    signs_from: datetime
    public: Mapping[str, str]
    certificate: bytes | None
    sealed: Hidden[bytes]


class Outbound(Struct, frozen=True, kw_only=True):
    """The feature's state in an account: keys oldest first."""

    enabled: bool
    keys: tuple[IssuerSigningKey, ...]

    def find_signing(
        self, algorithm: Algorithm, now: datetime
    ) -> IssuerSigningKey | None:
        """The newest key that may sign already."""
        signing = (
            key
            for key in reversed(self.keys)
            if key.algorithm is algorithm and key.signs_from <= now
        )
        return next(signing, None)

    def published(self, now: datetime) -> tuple[IssuerSigningKey, ...]:
        """The keys that verifiers may need, those that sign first.

        Ceph 18 tries the first key alone.
        """
        signing = [self.find_signing(algorithm, now) for algorithm in Algorithm]
        return tuple(sorted(self.list_needed(now), key=lambda key: key not in signing))

    def list_needed(self, now: datetime) -> tuple[IssuerSigningKey, ...]:
        """The keys that sign, will sign, or have signed tokens that may be valid."""
        return tuple(key for key in self.keys if not self._is_over(key, now))

    def _is_over(self, key: IssuerSigningKey, now: datetime) -> bool:
        later = (
            other.signs_from
            for other in self.keys
            if other.algorithm is key.algorithm and other.signs_from > key.signs_from
        )
        successor = min(later, default=None)
        return successor is not None and successor + PUBLISHED_AFTER <= now


def find_outbound(account: Account) -> Outbound | None:
    """The feature's state; None when it was never switched on."""
    option: Any = account.options.get(OPTION)
    if not isinstance(option, Mapping):
        return None
    return Outbound(
        enabled=bool(option["enabled"]), keys=tuple(map(_read_key, option["keys"]))
    )


def with_outbound(account: Account, outbound: Outbound) -> Account:
    """The account with another state of the feature."""
    option = {
        "enabled": outbound.enabled,
        "keys": [
            {
                "kid": key.kid,
                "algorithm": key.algorithm.value,
                "signs_from": key.signs_from.timestamp(),
                "public": dict(key.public),
                "certificate": _base64(key.certificate) if key.certificate else None,
                "sealed": _base64(key.sealed),
            }
            for key in outbound.keys
        ],
    }
    return replace(account, options={**account.options, OPTION: option})


def first_keys(
    account: AccountId, sealer: Sealer, now: datetime
) -> tuple[IssuerSigningKey, ...]:
    """Keys for an account that had none; they sign at once. Takes a moment."""
    return tuple(
        _new_key(account, algorithm, 0, sealer, made_at=now, signs_from=now)
        for algorithm in Algorithm
    )


def rotate(
    account: AccountId, outbound: Outbound, sealer: Sealer, now: datetime
) -> Outbound:
    """Add a new key for each algorithm and drop keys whose tokens have expired."""
    fresh = tuple(
        _new_key(
            account,
            algorithm,
            _next_number(outbound.keys, algorithm),
            sealer,
            made_at=now,
            signs_from=now + PUBLISHED_BEFORE,
        )
        for algorithm in Algorithm
    )
    return replace(outbound, keys=outbound.list_needed(now) + fresh)


def reseal(account: AccountId, outbound: Outbound, sealer: SealedRenewer) -> Outbound:
    """The same keys, sealed with the newest storage key where they are not.

    Raises:
        SealBrokenError: one does not open any more.
    """
    return replace(
        outbound,
        keys=tuple(
            replace(
                key, sealed=_seal(account, key.kid, sealer, _open(account, key, sealer))
            )
            if sealer.needs_resealing(key.sealed)
            else key
            for key in outbound.keys
        ),
    )


def sign(
    account: AccountId,
    key: IssuerSigningKey,
    opener: Opener,
    claims: Mapping[str, object],
) -> str:
    """A signed token.

    Raises:
        SealBrokenError: the private key does not open.
    """
    private = _load(_open(account, key, opener))
    return jwt.encode(
        dict(claims), private, key.algorithm.value, headers={"kid": key.kid}
    )


@remembered(_KEY_BYTES_MAX)
def _load(der: bytes) -> _PrivateKey:
    # An RSA key's first signature computes what halves the cost of the later ones. The
    # caller has just opened the sealed key, so a lost storage key still stops signing.
    private = serialization.load_der_private_key(
        der, None, unsafe_skip_rsa_key_validation=True
    )
    if not isinstance(private, _PrivateKey):
        raise TypeError("a signing key is an RSA or an EC key")
    return private


def key_set(keys: Iterable[IssuerSigningKey]) -> dict[str, object]:
    """The JSON Web Key Set."""
    return {
        "keys": [
            {
                **key.public,
                "kid": key.kid,
                "use": "sig",
                "alg": key.algorithm.value,
                **({"x5c": [_base64(key.certificate)]} if key.certificate else {}),
            }
            for key in keys
        ]
    }


def issuer_of(public_origin: str, account: AccountId) -> str:
    """The account's issuer."""
    return f"{public_origin}/issuer/{account}"


def discovery(issuer: str) -> dict[str, object]:
    """The discovery document."""
    return {
        "issuer": issuer,
        "jwks_uri": f"{issuer}/.well-known/jwks.json",
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [each.value for each in Algorithm],
        "claims_supported": ["iss", "sub", "aud", "exp", "iat", "jti"],
    }


def _new_key(
    account: AccountId,
    algorithm: Algorithm,
    number: int,
    sealer: Sealer,
    *,
    made_at: datetime,
    signs_from: datetime,
) -> IssuerSigningKey:
    kid = f"{algorithm.key_name}_{number}"
    private: _PrivateKey
    public: Any
    if algorithm is Algorithm.RS256:
        private = rsa.generate_private_key(65_537, _RSA_BITS)
        public = RSAAlgorithm.to_jwk(private.public_key(), as_dict=True)
    else:
        private = ec.generate_private_key(ec.SECP384R1())
        public = ECAlgorithm.to_jwk(private.public_key(), as_dict=True)
    der = private.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    names = ("kty", "n", "e", "crv", "x", "y")
    return IssuerSigningKey(
        kid=kid,
        algorithm=algorithm,
        signs_from=signs_from,
        public={name: public[name] for name in names if name in public},
        certificate=self_signed(
            private, organization=account, name=kid, made_at=made_at
        ),
        sealed=_seal(account, kid, sealer, der),
    )


def _next_number(keys: Iterable[IssuerSigningKey], algorithm: Algorithm) -> int:
    numbers = (
        int(key.kid.rpartition("_")[2]) for key in keys if key.algorithm is algorithm
    )
    return max(numbers, default=-1) + 1


def _read_key(row: Mapping[str, Any]) -> IssuerSigningKey:
    certificate = row.get("certificate")
    return IssuerSigningKey(
        kid=row["kid"],
        algorithm=Algorithm(row["algorithm"]),
        signs_from=datetime.fromtimestamp(row["signs_from"], UTC),
        public=row["public"],
        certificate=base64.b64decode(certificate) if certificate else None,
        sealed=base64.b64decode(row["sealed"]),
    )


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _seal(account: AccountId, kid: str, sealer: Sealer, der: bytes) -> bytes:
    return sealer.seal(_PURPOSE, account, kid, _COLUMN, der)


def _open(account: AccountId, key: IssuerSigningKey, opener: Opener) -> bytes:
    return opener.open_sealed(_PURPOSE, account, key.kid, _COLUMN, key.sealed)


def self_signed(
    private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey,
    *,
    organization: str,
    name: str,
    made_at: datetime,
) -> bytes:
    """A self-signed certificate of the key (DER), for signatures only."""
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(made_at - _BEHIND)
        .not_valid_after(_NO_END)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_SIGNS, critical=True)
        .sign(private, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.DER)
