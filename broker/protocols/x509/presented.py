"""The certificates in a request's headers, and its signature."""

import base64
from collections.abc import Mapping

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from broker.model.struct import struct
from broker.protocols.x509.chain import CHAIN_MAX, require_sound_key
from broker.protocols.x509.errors import UNREADABLE, CertificateRejected

CERTIFICATE_HEADER = b"x-amz-x509"
CHAIN_HEADER = b"x-amz-x509-chain"
CERTIFICATE_CHARACTERS_MAX = 12_000
"""Of one certificate in base64."""

SERIAL_BITS_MAX = 160
"""Of a serial number, which names the session. Source: RFC 5280, 4.1.2.2."""

_PKCS1 = PKCS1v15()
_ECDSA = ECDSA(SHA256())
_SHA256 = SHA256()


@struct
class PresentedCertificates:
    """An end-entity certificate and the intermediate ones; nothing is verified yet."""

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


def parse_presented(headers: Mapping[bytes, bytes]) -> PresentedCertificates:
    """The certificates of a request; ``headers`` by lower-case name.

    Raises:
        CertificateRejected: there is none, too many, or one that cannot be read.
    """
    text = headers.get(CERTIFICATE_HEADER)
    if not text:
        raise CertificateRejected("The header X-Amz-X509 is missing.")
    chain = headers.get(CHAIN_HEADER)
    parts = chain.split(b",") if chain else []
    if len(parts) > CHAIN_MAX:
        raise CertificateRejected(
            f"X-Amz-X509-Chain can have {CHAIN_MAX} certificates at most."
        )
    return PresentedCertificates(
        unverified_leaf=_parse(text),
        unverified_chain=tuple(_parse(part) for part in parts),
    )


def _parse(text: bytes) -> x509.Certificate:
    if len(text) > CERTIFICATE_CHARACTERS_MAX:
        raise CertificateRejected("A certificate of the request is too long.")
    try:
        der = base64.b64decode(text.strip(), validate=True)
        certificate = x509.load_der_x509_certificate(der)
        # These are parsed when first read: what fails must fail here.
        _ = certificate.extensions, certificate.subject, certificate.issuer
        require_sound_key(certificate)
    except UNREADABLE as error:
        raise CertificateRejected(
            "A certificate of the request cannot be read: give DER in base64.",
            f"{type(error).__name__}: {error}",
        ) from error
    if certificate.serial_number.bit_length() > SERIAL_BITS_MAX:
        raise CertificateRejected("The serial number of a certificate is too long.")
    return certificate
