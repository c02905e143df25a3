"""The demo identity provider's parser of AuthnRequests.

It shares no code with the side that creates them, just as the signer shares none with
the verifier. Signatures of requests are not checked: the metadata asks for none, and
the response goes only to the broker's own URLs.

Source: SAML 2.0 Core 3.4.1; SAML 2.0 Bindings 3.4.4.1 and 3.5.4.
"""

import base64
import binascii
import re
import zlib

from lxml import etree
from msgspec import Struct

_AUTHN_REQUEST = "{urn:oasis:names:tc:SAML:2.0:protocol}AuthnRequest"
_BYTES_MAX = 8192
_RAW_DEFLATE = -15
_NAME = re.compile(r"[A-Za-z_][\w.-]{0,255}", re.ASCII)


class RequestError(ValueError):
    """The request cannot be answered; the text says why."""


class AuthnRequestDetails(Struct, frozen=True):
    """What to answer, and where; ``request_id`` is empty for an unsolicited response."""

    consumer_url: str
    request_id: str = ""
    relay_state: str = ""


def read_request(
    encoded: str, relay_state: str, *, deflated: bool, acs: str
) -> AuthnRequestDetails:
    """Parse ``SAMLRequest`` of either binding; ``acs`` is the broker's URL.

    Raises:
        RequestError: It is malformed, or wants its response sent elsewhere.
    """
    try:
        packed = base64.b64decode(encoded, validate=True)
        document = _inflated(packed) if deflated else packed
        root = etree.fromstring(
            document, etree.XMLParser(resolve_entities=False, no_network=True)
        )
    except (binascii.Error, zlib.error, etree.XMLSyntaxError) as error:
        raise RequestError("That is not a SAML request.") from error
    if root.tag != _AUTHN_REQUEST:
        raise RequestError("That is not an AuthnRequest.")
    details = AuthnRequestDetails(
        root.get("AssertionConsumerServiceURL", acs), root.get("ID", ""), relay_state
    )
    return check(details, acs)


def check(details: AuthnRequestDetails, acs: str) -> AuthnRequestDetails:
    """Return the details if ID and URL are valid for a response.

    Raises:
        RequestError: One of them is not.
    """
    if not _NAME.fullmatch(details.request_id):
        raise RequestError("The request has no valid ID.")
    own = re.escape(acs) + r"(/acs/\w+)?"
    if not re.fullmatch(own, details.consumer_url, re.ASCII):
        raise RequestError("The request's response URL is not one of the broker's.")
    return details


def _inflated(packed: bytes) -> bytes:
    inflater = zlib.decompressobj(wbits=_RAW_DEFLATE)
    document = inflater.decompress(packed, _BYTES_MAX)
    if not inflater.eof:
        raise RequestError("The request is truncated or too long.")
    return document
