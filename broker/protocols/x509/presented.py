"""The certificates in a request's headers, and its signature."""

import base64
from collections.abc import Mapping

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from msgspec import Struct

from broker.protocols.x509.chain import (
    CHAIN_MAX,
    Anchors,
    find_named,
    require_sound_key,
)
from broker.protocols.x509.errors import UNREADABLE, CertificateRejected

CERTIFICATE_HEADER = b"x-amz-x509"
CHAIN_HEADER = b"x-amz-x509-chain"
CERTIFICATE_CHARACTERS_MAX = 12_000
"""Of one certificate in base64."""

PARTS_MAX = 32
"""Of a chain, before those that do not count are dropped."""

SERIAL_BITS_MAX = 160
"""Of a serial number, which names the session. Source: RFC 5280, 4.1.2.2."""

_PKCS1 = PKCS1v15()
_ECDSA = ECDSA(SHA256())
_SHA256 = SHA256()


class PresentedCertificates(Struct, frozen=True, kw_only=True):
    """An end-entity certificate and intermediate ones; nothing is verified yet."""

    unverified_leaf: x509.Certificate
    unverified_chain: tuple[x509.Certificate, ...]

    def verify_signature(self, algorithm: str, signature: str, text: bytes) -> None:
        """Check what the certificate's key signed; ``signature`` is in hexadecimal.

        Raises:
            CertificateRejected: the key is of another kind, or did not sign this.
        """
        key = self.unverified_leaf.public_key()
        try:
            signed = bytes.fromhex(signature)
            if algorithm == "AWS4-X509-RSA-SHA256" and isinstance(key, RSAPublicKey):
                key.verify(signed, text, _PKCS1, _SHA256)
            elif algorithm == "AWS4-X509-ECDSA-SHA256" and isinstance(
                key, EllipticCurvePublicKey
            ):
                key.verify(signed, text, _ECDSA)
            else:
                raise CertificateRejected(
                    f"The certificate's key does not sign by {algorithm}."
                )
        except (InvalidSignature, ValueError) as error:
            raise CertificateRejected(
                "The request signature does not match the certificate.",
                "another key signed it, or the request was changed in transit",
            ) from error


def parse_presented(
    headers: Mapping[bytes, bytes], anchors: Anchors
) -> PresentedCertificates:
    """The certificates of a request; ``headers`` by lower-case name.

    The chain may have the end entity, ``anchors``, repeats, and certificates that have
    nothing to do with it: clients send what a key store has.

    Raises:
        CertificateRejected: there is none, too many, or one that cannot be read.
    """
    text = headers.get(CERTIFICATE_HEADER)
    if not text:
        raise CertificateRejected("The header X-Amz-X509 is missing.")
    sent = headers.get(CHAIN_HEADER)
    parts = sent.split(b",", PARTS_MAX) if sent else []
    own = _decode(text)
    others = dict.fromkeys(
        part
        for part in map(_decode, parts[:PARTS_MAX])
        if part != own and part not in anchors.encoded
    )
    if len(parts) > PARTS_MAX:
        raise CertificateRejected(
            f"X-Amz-X509-Chain can have {PARTS_MAX} certificates at most."
        )
    leaf = _parse(own)
    try:
        chain = find_named(leaf, map(_parse, others))
    except UNREADABLE as error:
        raise _unreadable(error) from error
    if len(chain) > CHAIN_MAX:
        raise CertificateRejected(
            f"X-Amz-X509-Chain can have {CHAIN_MAX} intermediate certificates of one"
            " path at most."
        )
    presented = PresentedCertificates(unverified_leaf=leaf, unverified_chain=chain)
    require_sound_key(presented.unverified_leaf)  # it verifies the request's signature
    return presented


def _decode(text: bytes) -> bytes:
    if len(text) > CERTIFICATE_CHARACTERS_MAX:
        raise CertificateRejected("A certificate of the request is too long.")
    try:
        return base64.b64decode(text.strip(), validate=True)
    except ValueError as error:
        raise _unreadable(error) from error


def _parse(der: bytes) -> x509.Certificate:
    """A certificate whose parts are parsed when they are first read."""
    try:
        certificate = x509.load_der_x509_certificate(der)
    except UNREADABLE as error:
        raise _unreadable(error) from error
    if certificate.serial_number.bit_length() > SERIAL_BITS_MAX:
        raise CertificateRejected("The serial number of a certificate is too long.")
    return certificate


def _unreadable(error: Exception) -> CertificateRejected:
    return CertificateRejected(
        "A certificate of the request cannot be read: give DER in base64.",
        f"{type(error).__name__}: {error}",
    )
