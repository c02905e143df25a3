"""Canonical base64url without padding: exactly one text per value.

Python's decoder drops characters that it does not know and ignores the unused bits
of the last one, so many texts would mean the same token.

Source: RFC 7515 section 2; RFC 4648 sections 3.5 and 5.
"""

import binascii
import re
from base64 import urlsafe_b64encode

_ALPHABET = re.compile("[A-Za-z0-9_-]*")
_PADDING = {0: "", 2: "==", 3: "="}
_LAST = {2: "AQgw", 3: "AEIMQUYcgkosw048"}


def encode(raw: bytes) -> str:
    """The one text of these bytes."""
    return urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def decode(text: str) -> bytes:
    """The bytes that ``text`` stands for.

    Raises:
        ValueError: foreign characters, padding, an impossible length or unused bits
            that are not zero.
    """
    if not _ALPHABET.fullmatch(text):
        raise ValueError("not base64url")
    return decode_known_alphabet(text)


def decode_known_alphabet(text: str) -> bytes:
    """Decode a text that is known to hold base64url characters only.

    Raises:
        ValueError: an impossible length or unused bits that are not zero.
    """
    rest = len(text) % 4
    if rest == 1 or (rest and text[-1] not in _LAST[rest]):
        raise ValueError("not canonical base64url")
    standard = text.replace("-", "+").replace("_", "/")
    return binascii.a2b_base64(standard + _PADDING[rest])
