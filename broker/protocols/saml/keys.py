"""Keys that verify and keys that decrypt, loaded once and used by many threads."""

import base64
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from broker.model.secret import Confidential, Hidden
from broker.protocols.saml.algorithms import KeyFamily, SignatureMethod
from broker.protocols.saml.errors import (
    MetadataReason,
    MetadataRejected,
    PrivateKeyRejected,
)
from broker.protocols.x509.errors import UNREADABLE

if TYPE_CHECKING:
    import xmlsec

_LINES_OF_A_KEY = 2  # in PEM, the first and the last
RSA_BITS_MIN = 2048
LEGACY_RSA_BITS = 1024
RSA_BITS_MAX = 8192
"""A larger key only costs the verifier time."""

_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
_CERTIFICATE_YEARS = 100


class SigningKey(Confidential, frozen=True):
    """A public key of the registered metadata.

    Equal when the keys are: what else the certificate says proves nothing.
    ``not_after`` is for those who watch over roll-overs.
    """

    spki: Hidden[bytes]
    family: KeyFamily
    bits: int
    not_after: datetime
    public_key: Hidden[rsa.RSAPublicKey | ec.EllipticCurvePublicKey]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SigningKey) and self.spki == other.spki

    def __hash__(self) -> int:
        return hash(self.spki)

    @property
    def fingerprint(self) -> str:
        """Which key it is, in hexadecimal digits."""
        return sha256(self.spki).hexdigest()

    def verifies(
        self, signature: bytes, signed: bytes, method: SignatureMethod
    ) -> bool:
        """Whether this key made the signature of these bytes.

        Source: W3C XML Signature 1.1, 6.4; RFC 9231, 2.3.10 (a PSS salt has the
        digest's length, and its mask the same digest).
        """
        key, digest = self.public_key, method.digest
        try:
            if self.family is not method.family:
                return False
            if isinstance(key, rsa.RSAPublicKey):
                scheme = (
                    padding.PSS(padding.MGF1(digest), digest.digest_size)
                    if method.is_pss
                    else padding.PKCS1v15()
                )
                key.verify(signature, signed, scheme, digest)
            else:
                # Two numbers, each as long as the curve's order: not ASN.1.
                half = (key.key_size + 7) // 8
                if len(signature) != 2 * half:
                    return False
                r, s = (
                    int.from_bytes(number, "big")
                    for number in (signature[:half], signature[half:])
                )
                key.verify(encode_dss_signature(r, s), signed, ec.ECDSA(digest))
        except InvalidSignature:
            return False
        return True


def parse_certificate(text: str, *, now: datetime | None, min_rsa: int) -> SigningKey:
    """The key inside an ``X509Certificate`` element (base64 DER).

    ``now`` None is for metadata already registered: a key stays valid when its
    certificate expires, only its registration needs a valid one.

    Raises:
        MetadataRejected: CERTIFICATE_BROKEN, CERTIFICATE_EXPIRED, WEAK_KEY, KEY_TYPE.
    """
    broken = MetadataRejected(
        MetadataReason.CERTIFICATE_BROKEN,
        "A certificate in the metadata cannot be read.",
    )
    try:
        der = base64.b64decode("".join(text.split()), validate=True)
        certificate = x509.load_der_x509_certificate(der)
        _ = certificate.extensions  # refuses repeated extensions
        public_key = certificate.public_key()
        not_after = certificate.not_valid_after_utc
    except UNREADABLE as error:
        raise broken from error
    if now is not None and now >= not_after:
        raise MetadataRejected(
            MetadataReason.CERTIFICATE_EXPIRED,
            f"A signing certificate in the metadata expired at {not_after:%Y-%m-%dT%H:%M:%SZ}.",
        )
    if isinstance(public_key, rsa.RSAPublicKey):
        family, bits = KeyFamily.RSA, public_key.key_size
        if not min_rsa <= bits <= RSA_BITS_MAX:
            raise MetadataRejected(
                MetadataReason.WEAK_KEY,
                f"A signing certificate in the metadata has an RSA key of {bits} bits; "
                f"{min_rsa} to {RSA_BITS_MAX} are accepted.",
            )
    elif isinstance(public_key, ec.EllipticCurvePublicKey) and isinstance(
        public_key.curve, _CURVES
    ):
        family, bits = KeyFamily.EC, public_key.key_size
    else:
        raise MetadataRejected(
            MetadataReason.KEY_TYPE,
            "A signing certificate in the metadata has a key that is neither RSA nor "
            "on the curves P-256, P-384 or P-521.",
        )
    return SigningKey(
        spki=public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        family=family,
        bits=bits,
        not_after=not_after,
        public_key=public_key,
    )


class DecryptionKey(Confidential, frozen=True, eq=False):
    """An RSA private key that opens encrypted assertions; its repr hides it.

    xmlsec takes it from a manager of its own, only ever read: making one loads the
    system's certificate authorities, 9 ms.
    """

    private_key: Hidden[rsa.RSAPrivateKey]
    xmlsec_manager: Hidden["xmlsec.KeysManager"]


def parse_private_key(pem: bytes) -> DecryptionKey:
    """A decryption key in PEM: PKCS#8 or PKCS#1, unencrypted.

    Raises:
        PrivateKeyRejected: no such PEM, several, no RSA key, or one under 2048 bits.
    """
    if pem.count(b"PRIVATE KEY-----") > _LINES_OF_A_KEY:
        raise PrivateKeyRejected("more than one private key")
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise PrivateKeyRejected("not an unencrypted private key in PEM") from error
    if not isinstance(key, rsa.RSAPrivateKey):
        raise PrivateKeyRejected("not an RSA key; only RSA-OAEP opens assertions")
    if not RSA_BITS_MIN <= key.key_size <= RSA_BITS_MAX:
        raise PrivateKeyRejected(f"an RSA key of {key.key_size} bits")
    import xmlsec  # noqa: PLC0415  # most brokers have no key that decrypts

    plain = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    manager = xmlsec.KeysManager()
    manager.add_key(xmlsec.Key.from_memory(plain, xmlsec.constants.KeyDataFormatPem))
    return DecryptionKey(key, manager)


def encryption_certificate(
    key: DecryptionKey, *, common_name: str, not_before: datetime
) -> bytes:
    """The DER certificate that publishes a decryption key's public half.

    Self-signed, the same for the same input: serial number and signature follow from
    the key. Valid for a hundred years, since it only carries the key.
    """
    public_key = key.private_key.public_key()
    spki = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    start = not_before.astimezone(UTC).replace(microsecond=0)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public_key)
        .serial_number(int.from_bytes(sha256(spki).digest()[:16], "big") | 1)
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=365 * _CERTIFICATE_YEARS))
        .sign(key.private_key, hashes.SHA256())
    )
    return certificate.public_bytes(Encoding.DER)
