"""The accepted algorithms. The provider decides, never the message."""

from enum import StrEnum
from typing import Final

from msgspec import Struct

from broker.protocols.saml.names import EXC_C14N, XENC, XENC11

_DSIG = "http://www.w3.org/2000/09/xmldsig#"
_DSIG_MORE = "http://www.w3.org/2001/04/xmldsig-more#"
_DSIG_2007 = "http://www.w3.org/2007/05/xmldsig-more#"


class KeyFamily(StrEnum):
    """What kind of key an algorithm takes."""

    RSA = "RSA"
    EC = "EC"


SIGNATURE_METHODS: Final = {
    _DSIG_MORE + "rsa-sha256": KeyFamily.RSA,
    _DSIG_MORE + "rsa-sha384": KeyFamily.RSA,
    _DSIG_MORE + "rsa-sha512": KeyFamily.RSA,
    _DSIG_2007 + "sha256-rsa-MGF1": KeyFamily.RSA,
    _DSIG_2007 + "sha384-rsa-MGF1": KeyFamily.RSA,
    _DSIG_2007 + "sha512-rsa-MGF1": KeyFamily.RSA,
    _DSIG_MORE + "ecdsa-sha256": KeyFamily.EC,
    _DSIG_MORE + "ecdsa-sha384": KeyFamily.EC,
    _DSIG_MORE + "ecdsa-sha512": KeyFamily.EC,
}
SHA1_SIGNATURE_METHODS: Final = {_DSIG + "rsa-sha1": KeyFamily.RSA}

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


class AlgorithmPolicy(Struct, frozen=True):
    """The provider's switches.

    ``allow_sha1`` takes RSA-SHA1 signatures and SHA-1 digests, whose collisions are
    practical. ``allow_cbc`` takes AES-CBC, which is malleable and therefore only
    decrypted under a verified signature of the Response.
    """

    allow_sha1: bool = False
    allow_cbc: bool = False

    def find_key_family(self, signature_method: str) -> KeyFamily | None:
        """The kind of key that the method takes; None when it is not allowed."""
        family = SIGNATURE_METHODS.get(signature_method)
        if family is None and self.allow_sha1:
            family = SHA1_SIGNATURE_METHODS.get(signature_method)
        return family

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
