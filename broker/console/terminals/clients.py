"""What a command-line login and the broker share; imports nothing of either.

Source: botocore's signin model; RFC 8628 3.3.1.
"""

import base64
import hashlib

SAME_DEVICE = "arn:aws:signin:::devtools/same-device"
CROSS_DEVICE = "arn:aws:signin:::devtools/cross-device"
CONFIRMATION = "/v1/sessions/confirmation"
_CODE_HALF = 4


def user_code(challenge: str) -> str:
    """Derive the check code from the PKCE challenge, for terminal and page."""
    digest = hashlib.sha256(challenge.encode("ascii", "replace")).digest()
    text = base64.b32encode(digest).decode("ascii")
    return f"{text[:_CODE_HALF]}-{text[_CODE_HALF : 2 * _CODE_HALF]}"
