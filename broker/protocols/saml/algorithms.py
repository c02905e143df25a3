"""The accepted algorithms. The provider decides, never the message."""

from enum import StrEnum
from typing import Final

from cryptography.hazmat.primitives import hashes
from msgspec import Struct

from broker.protocols.saml.names import EXC_C14N, XENC, XENC11

_DSIG = "http://www.w3.org/2000/09/xmldsig#"
_DSIG_MORE = "http://www.w3.org/2001/04/xmldsig-more#"
_DSIG_2007 = "http://www.w3.org/2007/05/xmldsig-more#"

_SHA256, _SHA384, _SHA512 = hashes.SHA256(), hashes.SHA384(), hashes.SHA512()
DIGEST_METHODS: Final = {
    XENC + "sha256": "sha256",
    _DSIG_MORE + "sha384": "sha384",
    XENC + "sha512": "sha512",
}
SHA1_DIGEST_METHODS: Final = {_DSIG + "sha1": "sha1"}
ENVELOPED: Final = _DSIG + "enveloped-signature"

CANONICALISATIONS: Final = {EXC_C14N: False, EXC_C14N + "WithComments": True}
"""Exclusive canonicalisation, and whether it keeps comments."""

GCM_CIPHERS: Final = frozenset({XENC11 + "aes128-gcm", XENC11 + "aes256-gcm"})
CBC_CIPHERS: Final = frozenset({XENC + "aes128-cbc", XENC + "aes256-cbc"})
RSA_OAEP_MGF1P: Final = XENC + "rsa-oaep-mgf1p"
RSA_OAEP: Final = XENC11 + "rsa-oaep"
OAEP_DIGESTS: Final = frozenset(
    {_DSIG + "sha1", XENC + "sha256", _DSIG_MORE + "sha384", XENC + "sha512"}
)
OAEP_MASKS: Final = frozenset(
    {
        XENC11 + "mgf1sha1",
        XENC11 + "mgf1sha256",
        XENC11 + "mgf1sha384",
        XENC11 + "mgf1sha512",
    }
)


class KeyFamily(StrEnum):
    """What kind of key an algorithm takes."""

    RSA = "RSA"
    EC = "EC"


class SignatureMethod(Struct, frozen=True):
    """How bytes are signed. ``is_pss`` is RSA with PSS, else with PKCS #1 1.5."""

    family: KeyFamily
    digest: hashes.HashAlgorithm
    is_pss: bool = False


SIGNATURE_METHODS: Final = {
    _DSIG_MORE + "rsa-sha256": SignatureMethod(KeyFamily.RSA, _SHA256),
    _DSIG_MORE + "rsa-sha384": SignatureMethod(KeyFamily.RSA, _SHA384),
    _DSIG_MORE + "rsa-sha512": SignatureMethod(KeyFamily.RSA, _SHA512),
    _DSIG_2007 + "sha256-rsa-MGF1": SignatureMethod(
        KeyFamily.RSA, _SHA256, is_pss=True
    ),
    _DSIG_2007 + "sha384-rsa-MGF1": SignatureMethod(
        KeyFamily.RSA, _SHA384, is_pss=True
    ),
    _DSIG_2007 + "sha512-rsa-MGF1": SignatureMethod(
        KeyFamily.RSA, _SHA512, is_pss=True
    ),
    _DSIG_MORE + "ecdsa-sha256": SignatureMethod(KeyFamily.EC, _SHA256),
    _DSIG_MORE + "ecdsa-sha384": SignatureMethod(KeyFamily.EC, _SHA384),
    _DSIG_MORE + "ecdsa-sha512": SignatureMethod(KeyFamily.EC, _SHA512),
}
SHA1_SIGNATURE_METHODS: Final = {
    _DSIG + "rsa-sha1": SignatureMethod(KeyFamily.RSA, hashes.SHA1())  # noqa: S303
}


class AlgorithmPolicy(Struct, frozen=True):
    """The provider's switches.

    ``allow_sha1`` takes RSA-SHA1 signatures and SHA-1 digests, whose collisions are
    practical. ``allow_cbc`` takes AES-CBC, which is malleable and therefore only
    decrypted under a verified signature of the Response.
    """

    allow_sha1: bool = False
    allow_cbc: bool = False

    def find_signature_method(self, algorithm: str) -> SignatureMethod | None:
        """The method of this name; None when it is not allowed."""
        method = SIGNATURE_METHODS.get(algorithm)
        if method is None and self.allow_sha1:
            method = SHA1_SIGNATURE_METHODS.get(algorithm)
        return method

    def find_digest(self, digest_method: str) -> str | None:
        """The digest's name for ``hashlib``; None when it is not allowed."""
        name = DIGEST_METHODS.get(digest_method)
        if name is None and self.allow_sha1:
            name = SHA1_DIGEST_METHODS.get(digest_method)
        return name

    def allows_cipher(self, encryption_method: str) -> bool:
        """Whether content may be encrypted so."""
        return encryption_method in GCM_CIPHERS or (
            self.allow_cbc and encryption_method in CBC_CIPHERS
        )
