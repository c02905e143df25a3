"""Reading certificates and public keys that users upload."""

import base64
import hashlib

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.types import (
    CertificatePublicKeyTypes,
    PublicKeyTypes,
)
from cryptography.hazmat.primitives.hashes import SHA256

from broker.errors import InvalidPublicKey, KeyPairMismatch, MalformedCertificate
from broker.protocols.x509.errors import UNREADABLE

_RSA_BITS_MIN = 2048
_RSA_BITS_MAX = 16384
_SSH_RSA = b"ssh-rsa"
_LINES_OF_A_KEY = 2  # in PEM, the first and the last


def parse_certificate(text: str) -> x509.Certificate:
    """The one certificate of a PEM text.

    Raises:
        MalformedCertificate: it holds something else.
    """
    found = parse_chain(text)
    if len(found) != 1:
        raise MalformedCertificate("Exactly one certificate is expected.")
    return found[0]


def parse_chain(text: str) -> list[x509.Certificate]:
    """The certificates of a PEM text.

    Raises:
        MalformedCertificate: it holds something else.
    """
    try:
        return x509.load_pem_x509_certificates(text.encode("latin-1"))
    except UNREADABLE as error:
        raise MalformedCertificate(
            "Unable to parse certificate. Please ensure the certificate is in PEM"
            " format."
        ) from error


def certificate_fingerprint(certificate: x509.Certificate) -> str:
    """Identifies a certificate."""
    return certificate.fingerprint(SHA256()).hex()


def require_key_pair(certificate: x509.Certificate, private_key: str) -> None:
    """Refuse a private key that is not the certificate's.

    Raises:
        KeyPairMismatch: it is another's.
        MalformedCertificate: it is not one private key, or is encrypted.
    """
    if private_key.count("PRIVATE KEY-----") > _LINES_OF_A_KEY:
        raise MalformedCertificate("Exactly one private key is expected.")
    try:
        key = serialization.load_pem_private_key(
            private_key.encode("latin-1"), password=None
        )
        matches = _der(key.public_key()) == _der(certificate.public_key())
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise MalformedCertificate(
            "Unable to parse key. Please ensure the private key is in PEM format and"
            " not encrypted."
        ) from error
    if not matches:
        raise KeyPairMismatch(
            "The private key does not match the public key of the certificate."
        )


def parse_ssh_key(text: str) -> rsa.RSAPublicKey:
    """An RSA public key, in the ssh-rsa or the PEM form.

    Raises:
        InvalidPublicKey: it is none, or of another size.
    """
    try:
        data = text.strip().encode("ascii")
        if data.count(b"PUBLIC KEY-----") > _LINES_OF_A_KEY or (
            data.startswith(_SSH_RSA) and b"\n" in data
        ):
            raise InvalidPublicKey("Exactly one public key is expected.")
        key = (
            serialization.load_ssh_public_key(data)
            if data.startswith(_SSH_RSA)
            else serialization.load_pem_public_key(data)
        )
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InvalidPublicKey("The public key is malformed.") from error
    if (
        not isinstance(key, rsa.RSAPublicKey)
        or not _RSA_BITS_MIN <= key.key_size <= _RSA_BITS_MAX
    ):
        raise InvalidPublicKey(
            f"The public key must be RSA of at least {_RSA_BITS_MIN} bits."
        )
    return key


def ssh_form(key: rsa.RSAPublicKey) -> str:
    """The key as OpenSSH writes it."""
    return key.public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    ).decode("ascii")


def pem_form(key: rsa.RSAPublicKey) -> str:
    """The key in PEM."""
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode("ascii")


def ssh_fingerprint(key: rsa.RSAPublicKey) -> str:
    """MD5 of the key's blob, as ``ssh-keygen -E md5`` shows it."""
    blob = base64.b64decode(ssh_form(key).split(" ")[1])
    digest = hashlib.md5(blob, usedforsecurity=False).hexdigest()
    return ":".join(digest[i : i + 2] for i in range(0, len(digest), 2))


def _der(key: CertificatePublicKeyTypes | PublicKeyTypes) -> bytes:
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
