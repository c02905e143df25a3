"""The demo identity provider's reading of what a service provider asks.

Shares no code with the side that asks, as the signer shares none with the verifier.
Signatures of requests are not checked: the metadata wants none, and the answer goes
to the broker's own addresses alone.

Source: SAML 2.0 Core 3.4.1; SAML 2.0 Bindings 3.4.4.1 and 3.5.4.
"""

import base64
import binascii
import re
import zlib
from dataclasses import dataclass

from lxml import etree

_AUTHN_REQUEST = "{urn:oasis:names:tc:SAML:2.0:protocol}AuthnRequest"
_BYTES_MAX = 8192
_RAW_DEFLATE = -15
_NAME = re.compile(r"[A-Za-z_][\w.-]{0,255}", re.ASCII)


class RequestError(ValueError):
    """It is no request that can be answered; the text says why."""


@dataclass(frozen=True, slots=True)
class AuthnRequestDetails:
    """What is to be answered, and where; an empty ``request_id`` is nobody's asking."""

    consumer_url: str
    request_id: str = ""
    relay_state: str = ""


def read_request(
    encoded: str, relay_state: str, *, deflated: bool, acs: str
) -> AuthnRequestDetails:
    """The parameter ``SAMLRequest`` of either binding; ``acs`` is where it may go.

    Raises:
        RequestError: it is none, or wants its answer somewhere else.
    """
    try:
        packed = base64.b64decode(encoded, validate=True)
        document = _inflated(packed) if deflated else packed
        root = etree.fromstring(
            document, etree.XMLParser(resolve_entities=False, no_network=True)
        )
    except (binascii.Error, zlib.error, etree.XMLSyntaxError) as error:
        raise RequestError("That is no SAML request.") from error
    if root.tag != _AUTHN_REQUEST:
        raise RequestError("That is no request to sign somebody in.")
    asked = AuthnRequestDetails(
        root.get("AssertionConsumerServiceURL", acs), root.get("ID", ""), relay_state
    )
    return check(asked, acs)


def check(asked: AuthnRequestDetails, acs: str) -> AuthnRequestDetails:
    """The same, if it is a name and an address that an answer may go to.

    Raises:
        RequestError: it is not.
    """
    if not _NAME.fullmatch(asked.request_id):
        raise RequestError("The request has no ID that could be answered.")
    own = re.escape(acs) + r"(/acs/\w+)?"
    if not re.fullmatch(own, asked.consumer_url, re.ASCII):
        raise RequestError("The request wants its answer where no broker is.")
    return asked


def _inflated(packed: bytes) -> bytes:
    inflater = zlib.decompressobj(wbits=_RAW_DEFLATE)
    document = inflater.decompress(packed, _BYTES_MAX)
    if not inflater.eof:
        raise RequestError("The request is cut off, or too long.")
    return document
