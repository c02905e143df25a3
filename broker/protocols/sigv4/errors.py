"""Why a signed request is refused, and how a refused text is shown."""

import base64
import hashlib
from enum import StrEnum
from typing import NoReturn

MISMATCH = (
    "The request signature we calculated does not match the signature you provided. "
    "Check your AWS Secret Access Key and signing method. "
    "Consult the service documentation for details."
)
"""One text for every way in which a signature can be wrong."""

_SHOWN_LENGTH = 128


class SignatureReason(StrEnum):
    """What is wrong with a request's signature."""

    UNSIGNED = "unsigned"
    INCOMPLETE = "incomplete"
    MALFORMED_QUERY = "malformed query"
    AMBIGUOUS = "ambiguous"
    NOT_COVERED = "not covered"
    SCOPE = "scope"
    TIME = "time"
    MISMATCH = "mismatch"


class SigV4Rejected(Exception):
    """The request is not accepted as signed.

    ``message`` is fit for the wire; ``detail`` is the operator's and holds no secret.
    """

    def __init__(self, reason: SignatureReason, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.detail = detail


def reject_mismatch(detail: str) -> NoReturn:
    """Refuse with the one message that gives an attacker no hint.

    Raises:
        SigV4Rejected: always.
    """
    raise SigV4Rejected(SignatureReason.MISMATCH, MISMATCH, detail)


def shown(text: str) -> str:
    """A client's text inside a message: short, printable ASCII only."""
    cut = text[:_SHOWN_LENGTH]
    if cut.isascii() and cut.isprintable():
        return cut
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in cut)


def hashed(text: str) -> str:
    """A client's text that may hold a secret: its SHA-256 in base64, as AWS does."""
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return base64.b64encode(digest).decode("ascii")
