"""Our own metadata as a service provider: global, and per provider with its keys."""

import base64
from collections.abc import Sequence
from xml.sax.saxutils import quoteattr

from broker.protocols.saml.names import (
    DSIG,
    METADATA,
    POST_BINDING,
    REDIRECT_BINDING,
    SAMLP,
    XENC,
    XENC11,
)

_NAME_ID_FORMATS = (
    "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent",
    "urn:oasis:names:tc:SAML:2.0:nameid-format:transient",
    "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress",
    "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified",
    "urn:oasis:names:tc:SAML:1.1:nameid-format:X509SubjectName",
    "urn:oasis:names:tc:SAML:1.1:nameid-format:WindowsDomainQualifiedName",
    "urn:oasis:names:tc:SAML:2.0:nameid-format:kerberos",
    "urn:oasis:names:tc:SAML:2.0:nameid-format:entity",
)
_REQUESTED = ("Role", "RoleSessionName")


def assertion_consumer_url(public_url: str, provider_uuid: str | None = None) -> str:
    """Where responses are posted: the global address, or a provider's own."""
    own = f"/acs/{provider_uuid}" if provider_uuid else ""
    return f"{public_url.rstrip('/')}/saml{own}"


def single_logout_url(public_url: str, provider_uuid: str) -> str:
    """Where a provider's LogoutRequests go."""
    return f"{public_url.rstrip('/')}/saml/slo/{provider_uuid}"


def sp_metadata(
    *,
    entity_id: str,
    consumer_url: str,
    logout_url: str = "",
    encryption_certificates: Sequence[bytes] = (),
    signing_certificates: Sequence[bytes] = (),
) -> str:
    """The EntityDescriptor to give to an identity provider.

    ``logout_url`` takes LogoutRequests, empty for none. ``encryption_certificates`` are DER, the one to use first;
    ``signing_certificates`` those of the keys that our requests are signed with.

    Source: SAML 2.0 Metadata 2.4.4.
    """
    keys = "".join(_signing_descriptor(der) for der in signing_certificates)
    keys += "".join(_key_descriptor(der) for der in encryption_certificates)
    requests_signed = "true" if signing_certificates else "false"
    logout = "".join(
        f'<md:SingleLogoutService Binding="{binding}" Location={quoteattr(logout_url)}/>'
        for binding in (REDIRECT_BINDING, POST_BINDING)
        if logout_url
    )
    formats = "".join(
        f"<md:NameIDFormat>{name}</md:NameIDFormat>" for name in _NAME_ID_FORMATS
    )
    requested = "".join(
        "<md:RequestedAttribute"
        f' Name="https://aws.amazon.com/SAML/Attributes/{name}" FriendlyName="{name}"'
        ' NameFormat="urn:oasis:names:tc:SAML:2.0:attrname-format:uri"'
        ' isRequired="true"/>'
        for name in _REQUESTED
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<md:EntityDescriptor xmlns:md="{METADATA}" entityID={quoteattr(entity_id)}>'
        f'<md:SPSSODescriptor protocolSupportEnumeration="{SAMLP}"'
        f' AuthnRequestsSigned="{requests_signed}" WantAssertionsSigned="true">'
        f"{keys}{logout}{formats}"
        f'<md:AssertionConsumerService Binding="{POST_BINDING}"'
        f' Location={quoteattr(consumer_url)} index="1" isDefault="true"/>'
        '<md:AttributeConsumingService index="1">'
        '<md:ServiceName xml:lang="en">Sign-in</md:ServiceName>'
        f"{requested}</md:AttributeConsumingService>"
        "</md:SPSSODescriptor></md:EntityDescriptor>\n"
    )


def _signing_descriptor(der: bytes) -> str:
    certificate = base64.b64encode(der).decode("ascii")
    return (
        '<md:KeyDescriptor use="signing">'
        f'<ds:KeyInfo xmlns:ds="{DSIG}"><ds:X509Data><ds:X509Certificate>{certificate}'
        "</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>"
    )


def _key_descriptor(der: bytes) -> str:
    certificate = base64.b64encode(der).decode("ascii")
    return (
        '<md:KeyDescriptor use="encryption">'
        f'<ds:KeyInfo xmlns:ds="{DSIG}"><ds:X509Data><ds:X509Certificate>{certificate}'
        "</ds:X509Certificate></ds:X509Data></ds:KeyInfo>"
        f'<md:EncryptionMethod Algorithm="{XENC11}aes256-gcm"/>'
        f'<md:EncryptionMethod Algorithm="{XENC11}aes128-gcm"/>'
        f'<md:EncryptionMethod Algorithm="{XENC}rsa-oaep-mgf1p"/>'
        "</md:KeyDescriptor>"
    )
