"""Certificates for the keys of an account's issuer.

They only carry a public key to verifiers that expect one in a certificate, and that
pin its thumbprint. Nobody vouches for the key: what counts is that the issuer's key set
contains it, and what ends it is that the key set no longer does. So the certificate has
no date of its own on which a verifier would suddenly refuse a key that still signs.

Source: RFC 5280, 4.1.2.5 (a certificate without a well-defined end); RFC 7517, 4.7.
"""

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

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
