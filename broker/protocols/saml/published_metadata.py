"""Metadata as an identity provider publishes it: signed, dated, perhaps of many.

The result is a new document: the entities that are already registered, from exactly the
bytes that the signature covers. It cannot add an entity, nor anything that is not
signed.

Source: SAML 2.0 Metadata 2.2.1, 2.3, 3; Metadata Interoperability Profile 2.
"""

import re
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from itertools import chain

from lxml import etree
from lxml.etree import _Element
from msgspec import Struct
from msgspec.structs import replace

from broker.protocols.saml.algorithms import AlgorithmPolicy
from broker.protocols.saml.errors import MetadataReason, MetadataRejected, SamlRejected
from broker.protocols.saml.keys import RSA_BITS_MIN, SigningKey, parse_certificate
from broker.protocols.saml.metadata import (
    IdpMetadata,
    find_entities,
    find_valid_until,
    parse_document,
    parse_metadata,
)
from broker.protocols.saml.names import METADATA
from broker.protocols.saml.signature import find_signature, verify_signature

SIGNERS_MAX = 5

_ENTITIES = f"{{{METADATA}}}EntitiesDescriptor"
_DURATION = re.compile(
    r"P(?:(\d{1,4})Y)?(?:(\d{1,4})M)?(?:(\d{1,5})D)?"
    r"(?:T(?:(\d{1,6})H)?(?:(\d{1,8})M)?(?:(\d{1,9})(?:\.\d{1,9})?S)?)?",
    re.ASCII,
)
_UNIT_SECONDS = (365 * 86_400, 30 * 86_400, 86_400, 3_600, 60, 1)
_CERTIFICATE = re.compile(
    r"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----", re.ASCII
)


class PublishedMetadata(Struct, frozen=True):
    """What a published document says of the registered entities.

    ``text`` is to be registered in place of what was; ``cache_duration`` is how long
    the publisher wants it kept before the next look.
    """

    text: str
    metadata: IdpMetadata
    cache_duration: timedelta | None


def read_published_metadata(
    text: str,
    *,
    entity_ids: Collection[str],
    signers: Sequence[SigningKey] | None,
    now: datetime,
    legacy_rsa: bool = False,
    http_hosts: Collection[str] = (),
) -> PublishedMetadata:
    """Verify a document and take the registered entities out of it.

    The signature is the root element's; ``signers`` are the keys that may have made
    it, or None when something else vouches for the document. The rest is judged as
    at registration, see `parse_metadata`.

    Raises:
        MetadataRejected: the document is refused; the message says what to change.
    """
    root = parse_document(text)
    if signers is not None:
        root = _verified(root, signers)
    entities = []
    for entity_id in sorted(entity_ids):
        elements = [e for e in find_entities(root) if e.get("entityID") == entity_id]
        if len(elements) != 1:
            raise MetadataRejected(
                MetadataReason.OTHER_ENTITY,
                f"The published metadata has the entity {entity_id[:300]}"
                f" {len(elements)} times; it must have it once.",
            )
        entities += elements
    kept = _document(entities)
    return PublishedMetadata(
        text=kept,
        metadata=parse_metadata(
            kept, now=now, legacy_rsa=legacy_rsa, http_hosts=http_hosts
        ),
        cache_duration=_cache_duration(entities),
    )


def parse_signers(pem: str) -> tuple[SigningKey, ...]:
    """The keys of pinned certificates, one PEM block after the other.

    A pinned key keeps its worth when its certificate expires.

    Raises:
        MetadataRejected: a certificate cannot be used, or there is none.
    """
    blocks = _CERTIFICATE.findall(pem)
    if not 0 < len(blocks) <= SIGNERS_MAX:
        raise MetadataRejected(
            MetadataReason.CERTIFICATE_BROKEN,
            f"There must be one to {SIGNERS_MAX} certificates in PEM.",
        )
    return tuple(
        parse_certificate(block, now=None, min_rsa=RSA_BITS_MIN) for block in blocks
    )


def is_equivalent(metadata: IdpMetadata, other: IdpMetadata) -> bool:
    """Whether nothing differs that counts: keys, their ends, endpoints, validity."""
    return metadata == other and _ends(metadata) == _ends(other)


def is_newer(published: IdpMetadata, known: IdpMetadata) -> bool:
    """Whether ``published`` is to take the place of ``known``.

    Signed documents stay good until their ``validUntil``, so who stands in the way
    could bring back an earlier one and with it keys that were withdrawn. Publishers
    move ``validUntil`` on; a document that is behind in it is an earlier one.

    Raises:
        MetadataRejected: OLDER, for an earlier one that says something else.
    """
    if is_equivalent(published, known):
        return False
    end, known_end = published.valid_until, known.valid_until
    if known_end is None or (end is not None and end >= known_end):
        return True
    if end is not None and is_equivalent(
        replace(published, valid_until=known_end), known
    ):
        return False
    ends = "without end" if end is None else f"until {end:%Y-%m-%dT%H:%M:%SZ}"
    raise MetadataRejected(
        MetadataReason.OLDER,
        f"The published metadata is valid {ends}, what is registered until "
        f"{known_end:%Y-%m-%dT%H:%M:%SZ}: it seems to be an earlier document. "
        "Register it by hand if it is meant.",
    )


def _ends(metadata: IdpMetadata) -> list[datetime]:
    return [
        key.not_after
        for descriptor in metadata.descriptors
        for key in descriptor.signing_keys
    ]


def _verified(root: _Element, signers: Sequence[SigningKey]) -> _Element:
    signature = find_signature(root)
    if signature is None:
        raise MetadataRejected(
            MetadataReason.NOT_SIGNED, "The published metadata is not signed."
        )
    try:
        return verify_signature(
            root, signature, keys=signers, policy=AlgorithmPolicy()
        ).element
    except SamlRejected as error:
        raise MetadataRejected(
            MetadataReason.NOT_SIGNED,
            "The published metadata is not signed by a trusted certificate.",
            detail=str(error),
        ) from error


def _document(entities: Sequence[_Element]) -> str:
    """A document of these entities, with what the groups around them say of time."""
    kept = []
    for entity in entities:
        end = find_valid_until([entity, *entity.iterancestors()])
        copy = etree.fromstring(etree.tostring(entity, with_tail=False))
        # Neither counts any more, and a document would be news by them alone.
        for name in ("ID", "cacheDuration"):
            copy.attrib.pop(name, None)
        signature = find_signature(copy)
        if signature is not None:
            copy.remove(signature)
        if end is not None:
            copy.set("validUntil", f"{end:%Y-%m-%dT%H:%M:%SZ}")
        kept.append(copy)
    if len(kept) == 1:
        return etree.tostring(kept[0], encoding="unicode")
    group = etree.Element(_ENTITIES, nsmap={"md": METADATA})
    group.extend(kept)
    return etree.tostring(group, encoding="unicode")


def _cache_duration(entities: Sequence[_Element]) -> timedelta | None:
    """The shortest that the entities or the groups around them ask for."""
    timedeltas = []
    for element in chain.from_iterable(
        (entity, *entity.iterancestors()) for entity in entities
    ):
        text = element.get("cacheDuration")
        if text is not None:
            timedeltas.append(_parse_duration(text))
    return min(timedeltas, default=None)


def _parse_duration(text: str) -> timedelta:
    match = _DURATION.fullmatch(text)
    numbers = match.groups() if match else ()
    if not any(numbers):
        raise MetadataRejected(
            MetadataReason.UNPARSABLE,
            "The published metadata has a cacheDuration that is not a duration.",
            detail=text[:60],
        )
    return timedelta(
        seconds=sum(
            int(number) * unit
            for number, unit in zip(numbers, _UNIT_SECONDS, strict=True)
            if number
        )
    )
