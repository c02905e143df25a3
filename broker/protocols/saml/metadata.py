"""Reads a provider's metadata: its entities, signing keys and endpoints.

Everything else is skipped. The document's own signature is not checked: the
administrator who registers the document vouches for it.
"""

import ipaddress
from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from urllib.parse import urlsplit

from lxml.etree import _Element
from msgspec import Struct

from broker.protocols.saml.errors import MetadataReason, MetadataRejected, SamlRejected
from broker.protocols.saml.gate import XmlLimits, parse_strictly, text_of
from broker.protocols.saml.keys import (
    LEGACY_RSA_BITS,
    RSA_BITS_MIN,
    SigningKey,
    parse_certificate,
)
from broker.protocols.saml.names import DSIG, METADATA, SAMLP
from broker.protocols.saml.texts import parse_instant

CHARACTERS_MAX = 10_000_000
DESCRIPTORS_MAX = 10
KEYS_MAX = 10

_LIMITS = XmlLimits(
    depth=64,
    elements=200_000,
    attributes_per_element=256,
    namespace_declarations=200_000,
    signatures=1_000,
)
_ENTITY = f"{{{METADATA}}}EntityDescriptor"
_ENTITIES = f"{{{METADATA}}}EntitiesDescriptor"
_IDP = f"{{{METADATA}}}IDPSSODescriptor"
_KEY_DESCRIPTOR = f"{{{METADATA}}}KeyDescriptor"
_SSO = f"{{{METADATA}}}SingleSignOnService"
_SLO = f"{{{METADATA}}}SingleLogoutService"
_X509_DATA = f"{{{DSIG}}}X509Data"
_X509_CERTIFICATE = f"{{{DSIG}}}X509Certificate"
_ENTITY_ID_LENGTH_MAX = 1024
_URL_LENGTH_MAX = 2048

_UNPARSABLE = "Could not parse metadata"
_NO_ISSUER = "SAML Providers must reference at least one SAML assertion issuer."


class SsoEndpoint(Struct, frozen=True):
    """Where an AuthnRequest goes: a binding's URN and an https URL."""

    binding: str
    location: str


class SloEndpoint(Struct, frozen=True):
    """Where a LogoutResponse goes: a binding's URN and an https URL."""

    binding: str
    response_location: str


class IdpDescriptor(Struct, frozen=True, kw_only=True):
    """One entity that may issue assertions."""

    entity_id: str
    signing_keys: tuple[SigningKey, ...]
    sso_endpoints: tuple[SsoEndpoint, ...]
    slo_endpoints: tuple[SloEndpoint, ...] = ()


class IdpMetadata(Struct, frozen=True):
    """The registered entities of a provider; never empty.

    ``valid_until`` is the earliest ``validUntil`` that the document names for its
    identity providers. It counts at registration, and for what a URL is read for.
    """

    descriptors: tuple[IdpDescriptor, ...]
    valid_until: datetime | None = None

    def find_descriptor(self, entity_id: str) -> IdpDescriptor | None:
        """The entity with exactly this id."""
        for descriptor in self.descriptors:
            if descriptor.entity_id == entity_id:
                return descriptor
        return None


def parse_metadata(
    text: str,
    *,
    now: datetime | None,
    legacy_rsa: bool = False,
    http_hosts: Collection[str] = (),
) -> IdpMetadata:
    """Read a metadata document.

    With ``now`` a document is judged for registration: expired certificates, a
    ``validUntil`` in the past and endpoints that are not https are refused. With
    ``now`` None a registered one is read again: a certificate's expiry does not take
    its key away, and such endpoints are left out. Loopback hosts and the
    ``host[:port]`` entries of ``http_hosts`` may have plain http. ``legacy_rsa``
    takes RSA keys from 1024 bits.

    Raises:
        MetadataRejected: with a text for the administrator.

    Source: SAML 2.0 Metadata 2; texts as recorded (REC-S saml-validation).
    """
    entities = find_entities(parse_document(text))
    descriptors: dict[str, IdpDescriptor] = {}
    ends: list[datetime] = []
    for entity in entities:
        roles = [
            role
            for role in entity.findall(_IDP)
            if SAMLP in (role.get("protocolSupportEnumeration") or "").split()
        ]
        entity_id = entity.get("entityID")
        if not entity_id or len(entity_id) > _ENTITY_ID_LENGTH_MAX:
            raise _rejected(
                MetadataReason.UNPARSABLE, _UNPARSABLE, "no usable entityID"
            )
        if not roles:
            continue
        if entity_id in descriptors:
            raise _rejected(
                MetadataReason.UNPARSABLE, _UNPARSABLE, "an entityID that comes twice"
            )
        if len(descriptors) == DESCRIPTORS_MAX:
            raise _rejected(
                MetadataReason.TOO_MANY,
                f"The metadata has more than {DESCRIPTORS_MAX} identity providers.",
            )
        end = find_valid_until([entity, *entity.iterancestors(), *roles])
        if end is not None:
            ends.append(end)
            if now is not None and now >= end:
                raise _rejected(
                    MetadataReason.NOT_VALID_NOW,
                    f"The metadata was valid until {end:%Y-%m-%dT%H:%M:%SZ} only.",
                )
        descriptors[entity_id] = IdpDescriptor(
            entity_id=entity_id,
            signing_keys=_read_keys(roles, now=now, legacy_rsa=legacy_rsa),
            sso_endpoints=tuple(
                _read_endpoints(roles, is_new=now is not None, http_hosts=http_hosts)
            ),
            slo_endpoints=tuple(_read_logout_endpoints(roles, http_hosts)),
        )
    if not descriptors:
        raise _rejected(MetadataReason.NO_IDENTITY_PROVIDER, _NO_ISSUER)
    return IdpMetadata(tuple(descriptors.values()), min(ends, default=None))


def parse_document(text: str) -> _Element:
    """The root element of a metadata document, not yet validated.

    Raises:
        MetadataRejected: UNPARSABLE.
    """
    if len(text) > CHARACTERS_MAX or text.startswith("\ufeff"):
        raise _rejected(MetadataReason.UNPARSABLE, _UNPARSABLE, "too long, or a BOM")
    try:
        return parse_strictly(text, limits=_LIMITS)
    except SamlRejected as error:
        raise _rejected(MetadataReason.UNPARSABLE, _UNPARSABLE, str(error)) from error


def find_entities(root: _Element) -> list[_Element]:
    """Every EntityDescriptor, in groups of groups too.

    Raises:
        MetadataRejected: UNPARSABLE, for another root element.
    """
    if root.tag == _ENTITY:
        return [root]
    if root.tag != _ENTITIES:
        raise _rejected(MetadataReason.UNPARSABLE, _UNPARSABLE, "another root element")
    elements: list[_Element] = []
    groups = [root]
    while groups:
        group = groups.pop()
        elements.extend(group.findall(_ENTITY))
        groups.extend(group.findall(_ENTITIES))
    return elements


def find_valid_until(elements: Iterable[_Element]) -> datetime | None:
    """The earliest ``validUntil`` of these elements.

    Raises:
        MetadataRejected: UNPARSABLE, for one that is not an instant.
    """
    ends = []
    for element in elements:
        valid_until = element.get("validUntil")
        if valid_until is None:
            continue
        try:
            ends.append(parse_instant(valid_until, "validUntil"))
        except SamlRejected as error:
            raise _rejected(
                MetadataReason.UNPARSABLE, _UNPARSABLE, error.detail
            ) from error
    return min(ends, default=None)


def _read_keys(
    roles: list[_Element], *, now: datetime | None, legacy_rsa: bool
) -> tuple[SigningKey, ...]:
    keys: dict[bytes, SigningKey] = {}
    for role in roles:
        for descriptor in role.findall(_KEY_DESCRIPTOR):
            use = descriptor.get("use")
            if use == "encryption":
                continue
            if use not in {None, "signing"}:
                raise _rejected(
                    MetadataReason.UNPARSABLE, _UNPARSABLE, "an unknown key use"
                )
            for data in descriptor.iter(_X509_DATA):
                # Certificates after the first are its chain, and a CA signs no
                # assertions.
                certificate = data.find(_X509_CERTIFICATE)
                if certificate is None:
                    continue
                key = parse_certificate(
                    text_of(certificate),
                    now=now,
                    min_rsa=LEGACY_RSA_BITS if legacy_rsa else RSA_BITS_MIN,
                )
                keys.setdefault(key.spki, key)
    if not keys:
        raise _rejected(
            MetadataReason.NO_SIGNING_KEY,
            "The metadata has no certificate to verify signatures with.",
        )
    if len(keys) > KEYS_MAX:
        raise _rejected(
            MetadataReason.TOO_MANY,
            f"The metadata has more than {KEYS_MAX} signing keys for one entity.",
        )
    return tuple(keys.values())


def _read_endpoints(
    roles: list[_Element], *, is_new: bool, http_hosts: Collection[str]
) -> Iterator[SsoEndpoint]:
    for role in roles:
        for element in role.iter():
            for attribute in ("Location", "ResponseLocation"):
                location = element.get(attribute)
                if location is None:
                    continue
                if not _is_acceptable_url(location, http_hosts):
                    if is_new:
                        raise _rejected(
                            MetadataReason.ENDPOINT,
                            "The metadata has an endpoint that is not https.",
                            location[:200],
                        )
                elif element.tag == _SSO and attribute == "Location":
                    yield SsoEndpoint(element.get("Binding") or "", location)


def _read_logout_endpoints(
    roles: list[_Element], http_hosts: Collection[str]
) -> Iterator[SloEndpoint]:
    """Source: SAML 2.0 Metadata 2.2.2: ResponseLocation, or else Location."""
    for role in roles:
        for element in role.findall(_SLO):
            location = element.get("ResponseLocation") or element.get("Location") or ""
            if _is_acceptable_url(location, http_hosts):
                yield SloEndpoint(element.get("Binding") or "", location)


def _is_acceptable_url(url: str, http_hosts: Collection[str]) -> bool:
    if len(url) > _URL_LENGTH_MAX or not url.isascii() or not url.isprintable():
        return False
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return False
    if not host or " " in url or parts.username is not None:
        return False
    if parts.scheme == "https":
        return True
    return parts.scheme == "http" and (
        _is_loopback(host) or host in http_hosts or f"{host}:{port}" in http_hosts
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _rejected(
    reason: MetadataReason, message: str, detail: str = ""
) -> MetadataRejected:
    return MetadataRejected(reason, message, detail=detail)
