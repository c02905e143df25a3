"""The POST binding's encoding: strict base64 of UTF-8 text, never inflated."""

from binascii import a2b_base64, b2a_base64
from codecs import BOM_UTF8

from broker.protocols.saml.errors import SamlReason, SamlRejected

CHARACTERS_MAX = 100_000
"""Of the base64 text. Source: STS model, ``SAMLAssertion``."""

_WHITE_SPACE = b" \t\r\n"


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
        given = response_text.encode("ascii")
        raw = a2b_base64(given)
    except ValueError as error:
        raise SamlRejected(SamlReason.NOT_BASE64, "the text is not base64") from error
    # The decoder ignores unknown characters. Accept the canonical form only: nothing
    # foreign, no stray final bits, nothing after the padding.
    canonical = b2a_base64(raw, newline=False)
    if canonical != given:
        given = given.translate(None, _WHITE_SPACE)
    if not raw or canonical != given:
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
