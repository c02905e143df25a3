"""SAML-33: published metadata brings in nobody whom its signature does not vouch for."""

from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from lxml import etree

from broker.protocols.saml.errors import MetadataReason as M
from broker.protocols.saml.errors import MetadataRejected
from broker.protocols.saml.metadata import parse_metadata
from broker.protocols.saml.published_metadata import (
    PublishedMetadata,
    is_equivalent,
    is_newer,
    parse_signers,
    read_published_metadata,
)
from tests.support.saml_idp import (
    ENTITY_ID,
    NOW,
    KeyPair,
    key_pair,
    make_key_pair,
    metadata_xml,
    saml_time,
    sign_element,
)
from tests.support.saml_publisher import group, sign_document, signed_metadata

OLD, NEW = key_pair(), key_pair("new")
FOREIGN = key_pair("other")


def signers(*pairs: KeyPair) -> Any:
    return parse_signers("".join(pair.certificate_pem.decode() for pair in pairs))


def read(text: str, *pairs: KeyPair, **changes: Any) -> PublishedMetadata:
    params: dict[str, Any] = {
        "entity_ids": {ENTITY_ID},
        "signers": signers(*pairs) if pairs else signers(OLD),
        "now": NOW,
    }
    return read_published_metadata(text, **(params | changes))


def refusal(text: str, *pairs: KeyPair, **changes: Any) -> MetadataRejected:
    with pytest.raises(MetadataRejected) as caught:
        read(text, *pairs, **changes)
    return caught.value


def spkis(published: PublishedMetadata) -> set[bytes]:
    (descriptor,) = published.metadata.descriptors
    return {key.spki for key in descriptor.signing_keys}


def test_a_document_of_a_trusted_signer_is_taken() -> None:
    published = read(signed_metadata(OLD, OLD, NEW))
    assert spkis(published) == {key.spki for key in signers(OLD, NEW)}
    again = parse_metadata(published.text, now=None)
    assert is_equivalent(again, published.metadata)
    assert "Signature" not in published.text


def test_what_the_signature_does_not_cover_is_not_taken() -> None:
    """Comments are outside of it, and stand for whatever else may be."""
    signed = signed_metadata(OLD, OLD)
    text = signed.replace("<md:IDPSSODescriptor", "<!-- added --><md:IDPSSODescriptor")
    assert text != signed
    assert "added" not in read(text).text


def test_a_certificate_that_was_only_renewed_is_news() -> None:
    key = load_pem_private_key(OLD.private_pem, None)
    assert isinstance(key, rsa.RSAPrivateKey)
    old = x509.load_der_x509_certificate(OLD.certificate_der)
    renewed = (
        x509.CertificateBuilder()
        .subject_name(old.subject)
        .issuer_name(old.issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(old.not_valid_before_utc)
        .not_valid_after(old.not_valid_after_utc + timedelta(days=365))
        .sign(key, hashes.SHA256())
    )
    again = KeyPair(OLD.private_pem, renewed.public_bytes(Encoding.DER))
    before, after = (
        read(signed_metadata(OLD, entry)).metadata for entry in (OLD, again)
    )
    assert before == after
    assert not is_equivalent(before, after)


def test_any_of_several_pinned_certificates_will_do() -> None:
    for signer in (OLD, NEW):
        assert read(signed_metadata(signer, NEW), OLD, NEW)


@pytest.mark.parametrize(
    "text",
    [
        metadata_xml(NEW),
        signed_metadata(FOREIGN, NEW),
        # Signed by the very key that it brings, which proves nothing.
        signed_metadata(NEW, NEW),
        signed_metadata(OLD, OLD).replace("https://idp.example.com/sso", "https://x.y"),
    ],
)
def test_an_unsigned_document_is_refused(text: str) -> None:
    assert refusal(text).reason is M.NOT_SIGNED


def test_a_signature_on_a_part_vouches_for_that_part_alone() -> None:
    """Wrapped: a good signed entity beside the attacker's, in an unsigned group."""
    good = signed_metadata(OLD, OLD)
    evil = metadata_xml(FOREIGN, wrap=False)
    assert refusal(group(evil, good)).reason is M.NOT_SIGNED
    outer = etree.fromstring(metadata_xml(FOREIGN, attributes=' ID="_x"', wrap=False))
    moved = etree.fromstring(good).find("{*}Signature")
    assert moved is not None
    outer.insert(0, moved)
    text = etree.tostring(outer, encoding="unicode")
    assert refusal(text).reason is M.NOT_SIGNED


def test_only_the_registered_entity_is_taken_out_of_a_federation() -> None:
    other = metadata_xml(FOREIGN, entity_id="https://other.example", wrap=False)
    text = sign_document(group(other, metadata_xml(NEW, wrap=False)), OLD)
    published = read(text)
    assert [d.entity_id for d in published.metadata.descriptors] == [ENTITY_ID]
    assert "other.example" not in published.text


def test_another_entity_or_the_same_one_twice_is_refused() -> None:
    other = signed_metadata(OLD, OLD, entity_id="https://other.example")
    assert refusal(other).reason is M.OTHER_ENTITY
    text, two = metadata_xml(OLD, wrap=False), metadata_xml(NEW, wrap=False)
    twice = sign_document(group(text, group(two, attributes="")), OLD)
    assert refusal(twice).reason is M.OTHER_ENTITY


def test_several_registered_entities_are_taken_together() -> None:
    second = "https://second.example"
    text = sign_document(
        group(
            metadata_xml(OLD, wrap=False),
            metadata_xml(NEW, entity_id=second, wrap=False),
        ),
        OLD,
    )
    published = read(text, entity_ids={ENTITY_ID, second})
    assert {d.entity_id for d in published.metadata.descriptors} == {ENTITY_ID, second}
    assert refusal(text, entity_ids={ENTITY_ID, "https://third"}).reason is (
        M.OTHER_ENTITY
    )


def test_the_earliest_end_of_the_groups_around_it_counts() -> None:
    late, soon = (saml_time(NOW + timedelta(days=days)) for days in (9, 2))
    entity = metadata_xml(OLD, attributes=f' validUntil="{late}"', wrap=False)
    around = f' ID="_g1" validUntil="{soon}" cacheDuration="PT6H"'
    published = read(sign_document(group(entity, attributes=around), OLD))
    assert published.metadata.valid_until == NOW + timedelta(days=2)
    assert published.cache_duration == timedelta(hours=6)
    assert parse_metadata(published.text, now=None).valid_until == (
        NOW + timedelta(days=2)
    )
    gone = f' ID="_g1" validUntil="{saml_time(NOW)}"'
    past = sign_document(group(entity, attributes=gone), OLD)
    assert refusal(past).reason is M.NOT_VALID_NOW


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("PT5M", 300), ("P1D", 86_400), ("P1Y2M3DT4H5M6.7S", 36_993_906), ("PT0S", 0)],
)
def test_durations(text: str, seconds: int) -> None:
    published = read(signed_metadata(OLD, OLD, attributes=f' cacheDuration="{text}"'))
    assert published.cache_duration == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "P", "PT", "-P1D", "1 day", "P99999Y", "PT1H1H"])
def test_a_malformed_duration_is_refused(text: str) -> None:
    signed = signed_metadata(OLD, OLD, attributes=f' cacheDuration="{text}"')
    assert refusal(signed).reason is M.UNPARSABLE


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("nonsense", M.UNPARSABLE),
        ('<!DOCTYPE x SYSTEM "file:///etc/passwd"><x/>', M.UNPARSABLE),
        ("<x/>", M.NOT_SIGNED),
        (signed_metadata(OLD, key_pair("weak", "rsa1024")), M.WEAK_KEY),
        (
            signed_metadata(OLD, make_key_pair(not_after=NOW - timedelta(1))),
            M.CERTIFICATE_EXPIRED,
        ),
        (signed_metadata(OLD, OLD, sso_url="javascript:alert(1)"), M.ENDPOINT),
    ],
)
def test_the_rest_is_judged_as_at_registration(text: str, reason: M) -> None:
    assert refusal(text).reason is reason


def test_weak_digests_do_not_count() -> None:
    root = etree.fromstring(metadata_xml(OLD, attributes=' ID="_m"', wrap=False))
    sha1 = "http://www.w3.org/2000/09/xmldsig#"
    sign_element(root, OLD, algorithm=f"{sha1}rsa-sha1", digest=f"{sha1}sha1")
    assert refusal(etree.tostring(root, encoding="unicode")).reason is M.NOT_SIGNED


def test_without_a_signature_something_else_must_vouch() -> None:
    assert spkis(read(metadata_xml(NEW), signers=None)) == {
        key.spki for key in signers(NEW)
    }


@pytest.mark.parametrize("pem", ["", "x", 6 * OLD.certificate_pem.decode()])
def test_pins_must_be_some_certificates(pem: str) -> None:
    with pytest.raises(MetadataRejected):
        parse_signers(pem)


def _until(days: int | None, *keys: KeyPair) -> Any:
    end = (
        "" if days is None else f' validUntil="{saml_time(NOW + timedelta(days=days))}"'
    )
    return read(signed_metadata(OLD, *keys, attributes=end)).metadata


@pytest.mark.parametrize("earlier", [9, None])
def test_an_earlier_document_does_not_bring_withdrawn_keys_back(
    earlier: int | None,
) -> None:
    """It is signed and still valid; only its validUntil is behind."""
    known = _until(10, NEW)
    with pytest.raises(MetadataRejected) as caught:
        is_newer(_until(earlier, OLD, NEW), known)
    assert caught.value.reason is M.OLDER
    assert "by hand" in caught.value.message


@pytest.mark.parametrize(
    ("known", "published", "newer"),
    [
        (_until(10, OLD), _until(10, OLD), False),
        (_until(10, OLD), _until(10, OLD, NEW), True),
        (_until(10, OLD), _until(11, OLD), True),
        (_until(10, OLD), _until(9, OLD), False),
        (_until(None, OLD), _until(9, OLD, NEW), True),
        (_until(None, OLD), _until(None, OLD, NEW), True),
    ],
)
def test_what_says_something_else_and_is_not_behind_is_newer(
    known: Any, published: Any, newer: bool
) -> None:
    """One that says the same may be behind: a cache on the way."""
    assert is_newer(published, known) is newer
