"""SAML-12, 13, 33: metadata that must not be registered."""

from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from broker.protocols.saml.errors import MetadataReason as M
from broker.protocols.saml.errors import MetadataRejected
from broker.protocols.saml.metadata import parse_metadata
from tests.support.certificates import of_version_2
from tests.support.rows import rows
from tests.support.saml_idp import (
    ENTITY_ID,
    NOW,
    KeyPair,
    key_pair,
    make_key_pair,
    metadata_xml,
)

MD = 'xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata"'
GOOD = metadata_xml()
EXPIRED = make_key_pair(not_after=NOW - timedelta(seconds=1))
UNPARSABLE = "Could not parse metadata"
NO_ISSUER = "SAML Providers must reference at least one SAML assertion issuer."


def _refusal(text: str, **changes: Any) -> MetadataRejected:
    with pytest.raises(MetadataRejected) as refusal:
        parse_metadata(text, **{"now": NOW, **changes})
    return refusal.value


def _ed25519() -> KeyPair:
    private = ed25519.Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(1)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=1))
        .sign(private, None)
    )
    return KeyPair(b"", certificate.public_bytes(Encoding.DER))


def _group(*entities: str) -> str:
    return f"<md:EntitiesDescriptor {MD}>{''.join(entities)}</md:EntitiesDescriptor>"


def _entity(number: int, *pairs: KeyPair) -> str:
    return metadata_xml(*pairs, entity_id=f"https://idp{number}.example", wrap=False)


SP_ONLY = (
    f'<md:EntityDescriptor {MD} entityID="https://sp.example"><md:SPSSODescriptor'
    ' protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol"/>'
    "</md:EntityDescriptor>"
)

CASES: dict[str, tuple[str, M, str]] = {
    "no xml": ("hello", M.UNPARSABLE, UNPARSABLE),
    "empty": ("", M.UNPARSABLE, UNPARSABLE),
    "doctype": ("<!DOCTYPE x>" + GOOD.partition("\n")[2], M.UNPARSABLE, UNPARSABLE),
    "entity": (
        '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
        + GOOD.partition("\n")[2],
        M.UNPARSABLE,
        UNPARSABLE,
    ),
    "byte order mark": ("\ufeff" + GOOD, M.UNPARSABLE, UNPARSABLE),
    "utf-16": (GOOD.replace("UTF-8", "UTF-16"), M.UNPARSABLE, UNPARSABLE),
    "other root": (f"<md:IDPSSODescriptor {MD}/>", M.UNPARSABLE, UNPARSABLE),
    "no entity id": (
        GOOD.replace(f' entityID="{ENTITY_ID}"', ""),
        M.UNPARSABLE,
        UNPARSABLE,
    ),
    "empty entity id": (GOOD.replace(ENTITY_ID, ""), M.UNPARSABLE, UNPARSABLE),
    "endless": (GOOD + " " * 10_000_000, M.UNPARSABLE, UNPARSABLE),
    "endless entity id": (
        GOOD.replace(ENTITY_ID, "https://" + "x" * 1020),
        M.UNPARSABLE,
        UNPARSABLE,
    ),
    "entity id twice": (_group(_entity(1), _entity(1)), M.UNPARSABLE, UNPARSABLE),
    "service provider": (SP_ONLY, M.NO_IDENTITY_PROVIDER, NO_ISSUER),
    "empty group": (_group(), M.NO_IDENTITY_PROVIDER, NO_ISSUER),
    "saml 1.1 only": (
        GOOD.replace("SAML:2.0:protocol", "SAML:1.1:protocol"),
        M.NO_IDENTITY_PROVIDER,
        NO_ISSUER,
    ),
    "encryption key only": (
        GOOD.replace('use="signing"', 'use="encryption"'),
        M.NO_SIGNING_KEY,
        "certificate",
    ),
    "unknown use": (GOOD.replace('use="signing"', 'use="x"'), M.UNPARSABLE, UNPARSABLE),
    "broken certificate": (
        GOOD.replace("<ds:X509Certificate>MII", "<ds:X509Certificate>AAA"),
        M.CERTIFICATE_BROKEN,
        "certificate",
    ),
    "certificate that is not base64": (
        GOOD.replace("<ds:X509Certificate>", "<ds:X509Certificate>!"),
        M.CERTIFICATE_BROKEN,
        "certificate",
    ),
    "certificate of version 2": (
        metadata_xml(KeyPair(b"", of_version_2(key_pair().certificate_der))),
        M.CERTIFICATE_BROKEN,
        "certificate",
    ),
    "expired": (metadata_xml(EXPIRED), M.CERTIFICATE_EXPIRED, "expired at 2026-03-01"),
    "one of two expired": (
        metadata_xml(key_pair(), EXPIRED),
        M.CERTIFICATE_EXPIRED,
        "expired",
    ),
    "rsa 1024": (metadata_xml(key_pair("weak", "rsa1024")), M.WEAK_KEY, "1024 bits"),
    "ed25519": (metadata_xml(_ed25519()), M.KEY_TYPE, "neither RSA nor"),
    "past valid until": (
        metadata_xml(attributes=' validUntil="2026-03-01T11:59:59Z"'),
        M.NOT_VALID_NOW,
        "2026-03-01T11:59:59Z",
    ),
    "malformed valid until": (
        metadata_xml(attributes=' validUntil="soon"'),
        M.UNPARSABLE,
        UNPARSABLE,
    ),
    "eleven providers": (
        _group(*(_entity(n) for n in range(11))),
        M.TOO_MANY,
        "more than 10",
    ),
    "eleven keys": (
        metadata_xml(*(make_key_pair("p256") for _ in range(11))),
        M.TOO_MANY,
        "more than 10",
    ),
}


@rows(("text", "kind", "message"), CASES.values(), ids=CASES.keys())
def test_metadata_is_refused(text: str, kind: M, message: str) -> None:
    refusal = _refusal(text)
    assert refusal.reason is kind
    assert message in refusal.message


@rows("url")
def test_endpoints_that_are_not_https_are_refused(url: str) -> None:
    """CVE-2023-45683: a script as the address of a sign-in page."""
    refusal = _refusal(metadata_xml(sso_url=url))
    assert refusal.reason is M.ENDPOINT
    registered_before = parse_metadata(metadata_xml(sso_url=url), now=None)
    assert registered_before.descriptors[0].sso_endpoints == ()


@rows("url, http_hosts")
def test_https_loopback_and_named_hosts_are_accepted(
    url: str, http_hosts: tuple[str, ...]
) -> None:
    parsed = parse_metadata(metadata_xml(sso_url=url), now=NOW, http_hosts=http_hosts)
    assert {end.location for end in parsed.descriptors[0].sso_endpoints} == {url}


def test_a_key_outlives_its_certificate_once_registered() -> None:
    text = metadata_xml(EXPIRED)
    (key,) = parse_metadata(text, now=None).descriptors[0].signing_keys
    assert key.not_after < NOW


def test_a_chains_authority_is_no_signing_key() -> None:
    """SAML-10: only the first certificate of an X509Data is the signer's."""
    chain = (
        "</ds:X509Certificate><ds:X509Certificate>"
        f"{key_pair('authority').certificate_base64}</ds:X509Certificate>"
    )
    text = GOOD.replace("</ds:X509Certificate>", chain)
    (key,) = parse_metadata(text, now=NOW).descriptors[0].signing_keys
    assert key == parse_metadata(GOOD, now=NOW).descriptors[0].signing_keys[0]


def test_groups_nest_and_hold_several_providers() -> None:
    second = key_pair("second")
    text = _group(_entity(1), SP_ONLY, _group(_entity(2, second, key_pair())))
    parsed = parse_metadata(text, now=NOW)
    results = {d.entity_id: len(d.signing_keys) for d in parsed.descriptors}
    assert results == {"https://idp1.example": 1, "https://idp2.example": 2}


def test_a_repeated_extension_is_refused() -> None:
    """REC-S saml-validation; the DER is built by hand, because no library writes it."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    from cryptography.hazmat.primitives.asymmetric import ec

    private = ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(1)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=1))
        .add_extension(
            x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4.5"), b"\x05\x00"),
            critical=False,
        )
        .add_extension(
            x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4.6"), b"\x05\x00"),
            critical=False,
        )
    )
    der = builder.sign(private, hashes.SHA256()).public_bytes(Encoding.DER)
    repeated = der.replace(b"\x2a\x03\x04\x06", b"\x2a\x03\x04\x05")
    assert repeated != der
    text = metadata_xml(KeyPair(b"", repeated))
    assert _refusal(text).reason is M.CERTIFICATE_BROKEN
