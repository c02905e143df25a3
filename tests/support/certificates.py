"""Certificates and keys, made for the test that asks for them."""

import ssl
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.x509.oid import NameOID

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def server_certificate(
    *, name: str = "www.example.com", valid_from: datetime | None = None
) -> tuple[str, str]:
    """A self-signed certificate of thirty days and its private key, in PEM."""
    start = valid_from or datetime.now(UTC) - timedelta(days=1)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=30))
        .sign(key, hashes.SHA256())
    )
    return in_pem(made, key)


def in_pem(made: x509.Certificate, key: PrivateKeyTypes) -> tuple[str, str]:
    return (
        made.public_bytes(serialization.Encoding.PEM).decode(),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode(),
    )


def name_of(*parts: tuple[x509.ObjectIdentifier, str], **known: str) -> x509.Name:
    """A name: ``name_of(CN="web")``, or attributes in their order."""
    oids = {
        "CN": NameOID.COMMON_NAME,
        "O": NameOID.ORGANIZATION_NAME,
        "OU": NameOID.ORGANIZATIONAL_UNIT_NAME,
    }
    return x509.Name(
        [
            *(x509.NameAttribute(oid, value) for oid, value in parts),
            *(x509.NameAttribute(oids[key], value) for key, value in known.items()),
        ]
    )


@cache
def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    """A key that is made once for each size."""
    return rsa.generate_private_key(65537, bits)


def elliptic_key() -> ec.EllipticCurvePrivateKey:
    """A new key on P-256."""
    return ec.generate_private_key(ec.SECP256R1())


def usage(*names: str) -> x509.KeyUsage:
    """Key usage with these bits."""
    known = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{name: name in names for name in known})


@dataclass(frozen=True)
class Issued:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: Any = field(repr=False)

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def key_pem(self) -> str:
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode()

    def issue(self, subject: x509.Name | str, **knobs: Any) -> "Issued":
        """An end entity's certificate, if the knobs do not say otherwise."""
        return issue(subject, by=self, **knobs)

    def authority(self, subject: str, **knobs: Any) -> "Issued":
        """A certificate authority below this one."""
        return issue(subject, by=self, is_authority=True, **knobs)

    def revoke(
        self, *revoked: "Issued", now: datetime | None = None, days: float = 7
    ) -> bytes:
        """A revocation list in PEM."""
        at = now or datetime.now(UTC)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(at - timedelta(days=1))
            .next_update(at + timedelta(days=days))
        )
        for issued in revoked:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder()
                .serial_number(issued.certificate.serial_number)
                .revocation_date(at - timedelta(hours=1))
                .build()
            )
        signed = builder.sign(self.key, hashes.SHA256())
        return signed.public_bytes(serialization.Encoding.PEM)


def issue(
    subject: x509.Name | str,
    *,
    by: Issued | None = None,
    key: Any = None,
    is_authority: bool = False,
    path_length: int | None = None,
    constraints: bool = True,
    uses: x509.KeyUsage | None = None,
    extensions: Iterable[tuple[x509.ExtensionType, bool]] = (),
    days: float = 30,
    starts: float = -1,
    now: datetime | None = None,
    digest: Any = None,
    serial: int | None = None,
) -> Issued:
    """A certificate of version 3, signed by its own key without ``by``.

    ``days`` and ``starts`` count from now; ``constraints`` says whether it has basic
    constraints.
    """
    name = name_of(CN=subject) if isinstance(subject, str) else subject
    key = key or elliptic_key()
    at = now or datetime.now(UTC)
    if uses is None:
        uses = (
            usage("key_cert_sign", "crl_sign")
            if is_authority
            else usage("digital_signature")
        )
    # Their own method would refuse numbers of more than 20 bytes.
    number = serial or x509.random_serial_number()
    builder = (
        x509.CertificateBuilder(serial_number=number)
        .subject_name(name)
        .issuer_name(by.certificate.subject if by else name)
        .public_key(key.public_key())
        .not_valid_before(at + timedelta(days=starts))
        .not_valid_after(at + timedelta(days=days))
    )
    if constraints:
        builder = builder.add_extension(
            x509.BasicConstraints(
                ca=is_authority, path_length=path_length if is_authority else None
            ),
            critical=True,
        )
    if uses != usage():
        builder = builder.add_extension(uses, critical=True)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    signer = by.key if by else key
    return Issued(builder.sign(signer, digest or hashes.SHA256()), key)


X400_NAME = x509.UnrecognizedExtension(
    x509.SubjectAlternativeName.oid, b"\x30\x02\xa3\x00"
)
"""An alternative name of a kind that no one reads."""


def of_version_2(der: bytes) -> bytes:
    """A certificate with the number of a version that was never used."""
    before, after = (b"\xa0\x03\x02\x01" + bytes((entry,)) for entry in (2, 1))
    assert before in der
    return der.replace(before, after, 1)


def to_pem(der: bytes) -> str:
    """A certificate in PEM, even if it cannot be read."""
    return ssl.DER_cert_to_PEM_cert(der)
