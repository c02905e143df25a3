"""The POST binding's encoding: strict base64 of UTF-8 text, never inflated."""

import base64
import binascii
import re

from broker.protocols.saml.errors import SamlReason, SamlRejected

MAX_CHARACTERS = 100_000
"""Of the base64 text. Source: STS model, ``SAMLAssertion``."""

_WHITE_SPACE = str.maketrans("", "", " \t\r\n")
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}", re.ASCII)


def decode_response(response_text: str) -> str:
    """The XML text inside a ``SAMLResponse`` parameter.

    White space inside the base64 is dropped; any other foreign character, the URL
    alphabet, wrong padding and stray final bits are refused. A leading byte order
    mark is dropped.

    Raises:
        SamlRejected: TOO_LARGE, NOT_BASE64 or NOT_UTF8.

    Source: SAML 2.0 Bindings 3.5.4.
    """
    if len(response_text) > MAX_CHARACTERS:
        raise SamlRejected(
            SamlReason.TOO_LARGE,
            f"{len(response_text)} characters, at most {MAX_CHARACTERS} are taken",
        )
    compact = response_text.translate(_WHITE_SPACE)
    if not _BASE64.fullmatch(compact):
        raise SamlRejected(SamlReason.NOT_BASE64, "characters outside base64, or none")
    try:
        raw = base64.b64decode(compact, validate=True)
    except (binascii.Error, ValueError) as error:
        raise SamlRejected(SamlReason.NOT_BASE64, "wrong padding") from error
    if base64.b64encode(raw) != compact.encode("ascii"):
        raise SamlRejected(SamlReason.NOT_BASE64, "stray final bits")
    return decode_text(raw)


def decode_text(raw: bytes) -> str:
    """UTF-8 bytes as text.

    Raises:
        SamlRejected: NOT_UTF8.
    """
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SamlRejected(SamlReason.NOT_UTF8, "the bytes are not UTF-8") from error
