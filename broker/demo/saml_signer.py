"""The demo identity provider's SAML signer: key, metadata and responses.

It deliberately shares no code with the verifier, so that the two cannot share a
misreading of the specification.
"""

import base64
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self
from xml.sax.saxutils import escape, quoteattr

import xmlsec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID
from lxml import etree
from msgspec import Struct

from broker.runtime.entropy import random_bytes

_SAML = "urn:oasis:names:tc:SAML:2.0:assertion"
_SAMLP = "urn:oasis:names:tc:SAML:2.0:protocol"
_DSIG = "http://www.w3.org/2000/09/xmldsig#"
_EXC_C14N = "http://www.w3.org/2001/10/xml-exc-c14n#"
_PERSISTENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
_AWS = "https://aws.amazon.com/SAML/Attributes/"
_BITS = 2048
_GOOD_FOR = timedelta(minutes=5)
_CERTIFICATE_DAYS = 3650
_KEY_FILE = "saml-signing-key.pem"
_CERTIFICATE_FILE = "saml-signing-certificate.pem"


class SamlPerson(Struct, frozen=True, kw_only=True):
    """The subject of a response. ``roles`` are values of the Role attribute."""

    name_id: str
    session_name: str
    roles: Sequence[str]
    name_id_format: str = _PERSISTENT
    session_duration_seconds: int | None = None
    source_identity: str | None = None
    tags: Mapping[str, str] = {}
    transitive_keys: Sequence[str] = ()
    attributes: Mapping[str, Sequence[str]] = {}


class DemoSamlSigner:
    """Signs as a SAML identity provider, with one key per folder."""

    def __init__(
        self, *, entity_id: str, sso_url: str, private_pem: bytes, certificate: bytes
    ) -> None:
        self.entity_id = entity_id
        self.sso_url = sso_url
        self._key = xmlsec.Key.from_memory(
            private_pem, xmlsec.constants.KeyDataFormatPem
        )
        self._certificate = certificate

    @classmethod
    def open(cls, folder: Path, *, entity_id: str, sso_url: str, now: datetime) -> Self:
        """Open a folder's signer, creating its key on first use, owner-readable only."""
        key_file, certificate_file = folder / _KEY_FILE, folder / _CERTIFICATE_FILE
        if not key_file.exists() or not certificate_file.exists():
            folder.mkdir(parents=True, exist_ok=True)
            private_pem, certificate_pem = _make_key(entity_id, now)
            key_file.unlink(missing_ok=True)
            descriptor = os.open(key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(private_pem)
            certificate_file.write_bytes(certificate_pem)
        certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
        return cls(
            entity_id=entity_id,
            sso_url=sso_url,
            private_pem=key_file.read_bytes(),
            certificate=certificate.public_bytes(Encoding.DER),
        )

    def metadata(self) -> str:
        """The EntityDescriptor to register at the broker."""
        certificate = base64.b64encode(self._certificate).decode("ascii")
        endpoints = "".join(
            "<md:SingleSignOnService"
            f' Binding="urn:oasis:names:tc:SAML:2.0:bindings:{binding}"'
            f" Location={quoteattr(self.sso_url)}/>"
            for binding in ("HTTP-Redirect", "HTTP-POST")
        )
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            '<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata"'
            f" entityID={quoteattr(self.entity_id)}>"
            f'<md:IDPSSODescriptor protocolSupportEnumeration="{_SAMLP}"'
            ' WantAuthnRequestsSigned="false"><md:KeyDescriptor use="signing">'
            f'<ds:KeyInfo xmlns:ds="{_DSIG}"><ds:X509Data><ds:X509Certificate>'
            f"{certificate}</ds:X509Certificate></ds:X509Data></ds:KeyInfo>"
            f"</md:KeyDescriptor><md:NameIDFormat>{_PERSISTENT}</md:NameIDFormat>"
            f"{endpoints}</md:IDPSSODescriptor></md:EntityDescriptor>\n"
        )

    def signed_response(
        self,
        person: SamlPerson,
        *,
        recipient: str,
        audience: str,
        now: datetime,
        in_response_to: str | None = None,
    ) -> str:
        """A ``SAMLResponse`` with a signed assertion that is valid for 5 minutes."""
        root = etree.fromstring(
            self._response(person, recipient, audience, now, in_response_to)
        )
        assertion = root[-1]
        context = xmlsec.SignatureContext()
        context.key = self._key
        context.register_id(assertion, "ID")
        context.sign(assertion[1])
        return base64.b64encode(etree.tostring(root)).decode("ascii")

    def _response(
        self,
        person: SamlPerson,
        recipient: str,
        audience: str,
        now: datetime,
        in_response_to: str | None,
    ) -> str:
        issued, end = _instant(now), _instant(now + _GOOD_FOR)
        assertion_id = _new_id()
        to = quoteattr(recipient)
        answered = (
            f" InResponseTo={quoteattr(in_response_to)}" if in_response_to else ""
        )
        issuer = f"<saml:Issuer>{escape(self.entity_id)}</saml:Issuer>"
        return (
            f'<samlp:Response xmlns:samlp="{_SAMLP}" xmlns:saml="{_SAML}"'
            f' ID="{_new_id()}" Version="2.0" IssueInstant="{issued}"'
            f" Destination={to}{answered}>{issuer}<samlp:Status><samlp:StatusCode"
            ' Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></samlp:Status>'
            f'<saml:Assertion ID="{assertion_id}" Version="2.0"'
            f' IssueInstant="{issued}">{issuer}{_signature(assertion_id)}'
            f"<saml:Subject><saml:NameID Format={quoteattr(person.name_id_format)}>"
            f"{escape(person.name_id)}</saml:NameID><saml:SubjectConfirmation"
            ' Method="urn:oasis:names:tc:SAML:2.0:cm:bearer">'
            f'<saml:SubjectConfirmationData NotOnOrAfter="{end}" Recipient={to}'
            f"{answered}/></saml:SubjectConfirmation></saml:Subject>"
            f'<saml:Conditions NotBefore="{issued}" NotOnOrAfter="{end}">'
            f"<saml:AudienceRestriction><saml:Audience>{escape(audience)}"
            "</saml:Audience></saml:AudienceRestriction></saml:Conditions>"
            f'<saml:AuthnStatement AuthnInstant="{issued}"'
            f' SessionIndex="{_new_id()}"><saml:AuthnContext>'
            "<saml:AuthnContextClassRef>"
            "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"
            "</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement>"
            f"<saml:AttributeStatement>{_attributes(person)}"
            "</saml:AttributeStatement></saml:Assertion></samlp:Response>"
        )


def _make_key(entity_id: str, now: datetime) -> tuple[bytes, bytes]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=_BITS)
    name = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, entity_id.partition("://")[2][:64])]
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=_CERTIFICATE_DAYS))
        .sign(key, hashes.SHA256())
    )
    return (
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        certificate.public_bytes(Encoding.PEM),
    )


def _signature(signed_id: str) -> str:
    return (
        f'<ds:Signature xmlns:ds="{_DSIG}"><ds:SignedInfo>'
        f'<ds:CanonicalizationMethod Algorithm="{_EXC_C14N}"/><ds:SignatureMethod'
        ' Algorithm="http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"/>'
        f'<ds:Reference URI="#{signed_id}"><ds:Transforms>'
        f'<ds:Transform Algorithm="{_DSIG}enveloped-signature"/>'
        f'<ds:Transform Algorithm="{_EXC_C14N}"/></ds:Transforms>'
        '<ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/>'
        "<ds:DigestValue/></ds:Reference></ds:SignedInfo><ds:SignatureValue/>"
        "</ds:Signature>"
    )


def _attributes(person: SamlPerson) -> str:
    attributes: dict[str, Sequence[str]] = {
        _AWS + "Role": person.roles,
        _AWS + "RoleSessionName": (person.session_name,),
    }
    if person.session_duration_seconds is not None:
        attributes[_AWS + "SessionDuration"] = (str(person.session_duration_seconds),)
    if person.source_identity is not None:
        attributes[_AWS + "SourceIdentity"] = (person.source_identity,)
    for key, value in person.tags.items():
        attributes[f"{_AWS}PrincipalTag:{key}"] = (value,)
    if person.transitive_keys:
        attributes[_AWS + "TransitiveTagKeys"] = person.transitive_keys
    attributes.update(person.attributes)
    return "".join(
        f"<saml:Attribute Name={quoteattr(name)}>"
        + "".join(
            f"<saml:AttributeValue>{escape(value)}</saml:AttributeValue>"
            for value in values
        )
        + "</saml:Attribute>"
        for name, values in attributes.items()
    )


def _new_id() -> str:
    return "_" + random_bytes(20).hex()


def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
