"""The texts of SAML: the POST binding's encoding, and instants.

The encoding is strict base64 of UTF-8 text, never inflated.
"""

import re
from binascii import a2b_base64, b2a_base64
from codecs import BOM_UTF8
from datetime import datetime

from broker.protocols.saml.errors import SamlReason, SamlRejected

CHARACTERS_MAX = 100_000
"""Of the base64 text. Source: STS model, ``SAMLAssertion``."""

_WHITE_SPACE = b" \t\r\n"

_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,12})?Z", re.ASCII)


def decode_response(response_text: str) -> str:
    """The XML text inside a ``SAMLResponse`` parameter.

    White space inside the base64 is dropped; any other foreign character, the URL
    alphabet, wrong padding and stray final bits are refused. A leading byte order
    mark is dropped.

    Raises:
        SamlRejected: TOO_LARGE, NOT_BASE64 or NOT_UTF8.

    Source: SAML 2.0 Bindings 3.5.4.
    """
    if len(response_text) > CHARACTERS_MAX:
        raise SamlRejected(
            SamlReason.TOO_LARGE,
            f"{len(response_text)} characters, at most {CHARACTERS_MAX} are taken",
        )
    try:
        values = response_text.encode("ascii")
        raw = a2b_base64(values)
    except ValueError as error:
        raise SamlRejected(SamlReason.NOT_BASE64, "the text is not base64") from error
    # The decoder ignores unknown characters. Accept the canonical form only: nothing
    # foreign, no stray final bits, nothing after the padding.
    canonical = b2a_base64(raw, newline=False)
    if canonical != values:
        values = values.translate(None, _WHITE_SPACE)
    if not raw or canonical != values:
        raise SamlRejected(
            SamlReason.NOT_BASE64, "the base64 is empty or not canonical"
        )
    return decode_text(raw)


def decode_text(raw: bytes) -> str:
    """UTF-8 bytes as text.

    Raises:
        SamlRejected: NOT_UTF8.
    """
    try:
        return raw.removeprefix(BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError as error:
        raise SamlRejected(SamlReason.NOT_UTF8, "the bytes are not UTF-8") from error


def parse_instant(text: str | None, where: str) -> datetime:
    """An xs:dateTime in UTC, fractions cut to microseconds.

    Raises:
        SamlRejected: TIMESTAMP, when it is missing, impossible or has no ``Z``.

    Source: SAML 2.0 Core 1.3.3.
    """
    if text is not None and _INSTANT.fullmatch(text):
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            pass
    raise SamlRejected(
        SamlReason.TIMESTAMP, f"{where} is {(text or '')[:60]!r}, no instant in UTC"
    )
