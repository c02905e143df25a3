"""The one error of this package, and those of ``cryptography``."""

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

UNREADABLE = (
    ValueError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""What reading a foreign certificate or revocation list raises. Parts are parsed when they
are first read."""


class CertificateRejected(Exception):
    """A certificate, chain or list is refused; the text says why, for its bearer.

    ``detail`` is for administrators.
    """

    def __init__(self, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail
