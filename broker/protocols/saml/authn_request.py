"""Authentication requests, sent through the browser's address bar.

Source: SAML 2.0 Core 3.4.1; SAML 2.0 Bindings 3.4.4.1 (DEFLATE, signed query).
"""

import base64
import zlib
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlencode
from xml.sax.saxutils import escape, quoteattr

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from broker.protocols.saml.names import POST_BINDING, SAML, SAMLP

REDIRECT_BINDING: Final = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
RSA_SHA256: Final = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"

_RAW_DEFLATE = -15


def authn_request(
    *,
    request_id: str,
    issued: datetime,
    issuer: str,
    destination: str,
    consumer_url: str,
) -> str:
    """An AuthnRequest that asks for a Response by POST at ``consumer_url``.

    ``request_id`` is an unguessable NCName; ``issuer`` our entity id.
    """
    instant = issued.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return (
        f'<samlp:AuthnRequest xmlns:samlp="{SAMLP}" ID={quoteattr(request_id)}'
        f' Version="2.0" IssueInstant="{instant}"'
        f" Destination={quoteattr(destination)}"
        f' ProtocolBinding="{POST_BINDING}"'
        f" AssertionConsumerServiceURL={quoteattr(consumer_url)}>"
        f'<saml:Issuer xmlns:saml="{SAML}">{escape(issuer)}</saml:Issuer>'
        # Without it, an identity provider may not make a name for who is new to it.
        '<samlp:NameIDPolicy AllowCreate="true"/></samlp:AuthnRequest>'
    )


def redirect_url(
    location: str,
    message: str,
    signing_key: rsa.RSAPrivateKey,
    relay_state: str = "",
    *,
    field: str = "SAMLRequest",
) -> str:
    """Where to send the browser: the message, with a signature over the query."""
    deflater = zlib.compressobj(wbits=_RAW_DEFLATE)
    packed = deflater.compress(message.encode("utf-8")) + deflater.flush()
    fields = {field: base64.b64encode(packed).decode("ascii")}
    if relay_state:
        fields["RelayState"] = relay_state
    query = urlencode(fields | {"SigAlg": RSA_SHA256})
    signature = signing_key.sign(
        query.encode("ascii"), padding.PKCS1v15(), hashes.SHA256()
    )
    signed = urlencode({"Signature": base64.b64encode(signature).decode("ascii")})
    separator = "&" if "?" in location else "?"
    return f"{location}{separator}{query}&{signed}"
