"""Proof Key for Code Exchange: who redeems a code is who asked for it.

Source: RFC 7636, 4.1 to 4.6.
"""

import hashlib
import hmac
import re

from broker.protocols.oidc import base64url

_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")


def is_challenge(text: str) -> bool:
    """Whether the text can be a challenge of the method ``S256``."""
    return _CHALLENGE.fullmatch(text) is not None


def is_verifier(text: str) -> bool:
    """Whether the text can be a verifier."""
    return _VERIFIER.fullmatch(text) is not None


def fits(verifier: str, challenge: str) -> bool:
    """Whether the challenge was made of this verifier."""
    digest = hashlib.sha256(verifier.encode("ascii", "replace")).digest()
    return hmac.compare_digest(base64url.encode(digest), challenge)
