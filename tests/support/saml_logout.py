"""Logout requests as an identity provider sends them, signed by python3-saml."""

import base64
import uuid
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from onelogin.saml2.utils import OneLogin_Saml2_Utils

from tests.support.saml_idp import ENTITY_ID, PERSISTENT, KeyPair, key_pair, saml_time

SAML = "urn:oasis:names:tc:SAML:2.0:assertion"
SAMLP = "urn:oasis:names:tc:SAML:2.0:protocol"
REDIRECT = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
POST = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
RSA_SHA256 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
RSA_SHA1 = "http://www.w3.org/2000/09/xmldsig#rsa-sha1"


def logout_request_xml(
    destination: str | None,
    *,
    now: datetime | None = None,
    issuer: str = ENTITY_ID,
    name_id: str = "alice",
    indexes: Sequence[str] = ("_s1",),
    request_id: str = "",
    lasts: timedelta | None = timedelta(minutes=5),
    version: str = "2.0",
    inside: str = "",
) -> str:
    now = now or datetime.now(UTC)
    end = "" if lasts is None else f' NotOnOrAfter="{saml_time(now + lasts)}"'
    where = "" if destination is None else f' Destination="{destination}"'
    sessions = "".join(
        f"<samlp:SessionIndex>{index}</samlp:SessionIndex>" for index in indexes
    )
    name = f'<saml:NameID Format="{PERSISTENT}">{name_id}</saml:NameID>'
    return (
        f'<samlp:LogoutRequest xmlns:samlp="{SAMLP}" xmlns:saml="{SAML}"'
        f' ID="{request_id or f"_{uuid.uuid4().hex}"}" Version="{version}"'
        f' IssueInstant="{saml_time(now)}"{end}{where}>'
        f"<saml:Issuer>{issuer}</saml:Issuer>{name if name_id else ''}{inside}"
        f"{sessions}</samlp:LogoutRequest>"
    )


def posted(xml: str, key: KeyPair | None = None, algorithm: str = RSA_SHA256) -> str:
    """The ``SAMLRequest`` form field."""
    key = key or key_pair()
    certificate = OneLogin_Saml2_Utils.format_cert(key.certificate_base64)
    signed = OneLogin_Saml2_Utils.add_sign(
        xml, key.private_pem.decode(), certificate, sign_algorithm=algorithm
    )
    return base64.b64encode(
        signed if isinstance(signed, bytes) else signed.encode()
    ).decode()


def redirected(
    xml: str,
    key: KeyPair | None = None,
    *,
    relay: str | None = None,
    algorithm: str = RSA_SHA256,
    signed: bool = True,
    tail: bytes = b"",
) -> str:
    """The query of a redirect; ``tail`` follows what was deflated."""
    deflater = zlib.compressobj(wbits=-15)
    packed = deflater.compress(xml.encode()) + deflater.flush() + tail
    fields = {"SAMLRequest": base64.b64encode(packed).decode()}
    if relay is not None:
        fields["RelayState"] = relay
    if not signed:
        return urlencode(fields)
    query = urlencode(fields | {"SigAlg": algorithm})
    signature = OneLogin_Saml2_Utils.sign_binary(
        query, (key or key_pair()).private_pem.decode(), algorithm=_transform(algorithm)
    )
    return f"{query}&{urlencode({'Signature': base64.b64encode(signature).decode()})}"


def _transform(algorithm: str) -> object:
    import xmlsec

    return {
        RSA_SHA256: xmlsec.Transform.RSA_SHA256,
        RSA_SHA1: xmlsec.Transform.RSA_SHA1,
    }[algorithm]
