"""Why a token, a key set or a discovery document was refused."""

from enum import StrEnum


class OidcReason(StrEnum):
    """The kinds of refusal; `broker.proofs` has a wire error for each."""

    NOT_A_JWT = "not a JWT"
    ALGORITHM_NOT_ALLOWED = "algorithm not allowed"
    UNKNOWN_KEY = "unknown key"
    KEY_DOES_NOT_FIT = "key does not fit"
    BAD_SIGNATURE = "bad signature"
    MISSING_CLAIM = "missing claim"
    EMPTY_CLAIM = "empty claim"
    BAD_CLAIM = "bad claim"
    WRONG_ISSUER = "wrong issuer"
    WRONG_AUDIENCE = "wrong audience"
    NO_AUTHORIZED_PARTY = "no authorized party"
    BAD_TIMESTAMP = "bad timestamp"
    EXPIRED = "expired"
    ISSUED_IN_FUTURE = "issued in the future"
    NOT_YET_VALID = "not yet valid"
    BAD_TAGS = "bad tags"
    BAD_DISCOVERY = "bad discovery document"
    BAD_KEY_SET = "bad key set"


class OidcRejected(Exception):
    """A refused token or document.

    ``message`` names at most the claim and the times that the sender knows anyway;
    ``detail`` is for the operator: what was found and what was expected. Neither
    holds a token or a signature.
    """

    def __init__(self, reason: OidcReason, message: str, detail: str = "") -> None:
        super().__init__(f"{message} ({detail})" if detail else message)
        self.reason = reason
        self.message = message
        self.detail = detail


class IssuerRejected(OidcRejected):
    """The claim that says whose keys to ask for; nothing is verified before it."""
