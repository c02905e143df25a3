"""Our own metadata, read back by other libraries."""

import base64
from datetime import timedelta

from cryptography import x509
from lxml import etree
from onelogin.saml2.settings import OneLogin_Saml2_Settings
from saml2.attribute_converter import ac_factory
from saml2.mdstore import InMemoryMetaData

from broker.protocols.saml.keys import encryption_certificate, parse_private_key
from broker.protocols.saml.sp_metadata import assertion_consumer_url, sp_metadata
from tests.support.saml_idp import NOW, key_pair

UUID = "SAMLSPAAAABBBBCCCCDDDD"
ENTITY = 'https://broker.example/?a=1&b="2"'


def test_the_consumer_url_is_global_or_the_providers() -> None:
    assert assertion_consumer_url("https://b.example/") == "https://b.example/saml"
    assert (
        assertion_consumer_url("https://b.example", UUID)
        == f"https://b.example/saml/acs/{UUID}"
    )


def test_python3_saml_finds_the_document_valid() -> None:
    text = sp_metadata(
        entity_id="urn:amazon:webservices", consumer_url="https://b.example/saml"
    )
    settings = OneLogin_Saml2_Settings(
        {
            "strict": True,
            "sp": {
                "entityId": "urn:amazon:webservices",
                "assertionConsumerService": {"url": "https://b.example/saml"},
            },
        },
        sp_validation_only=True,
    )
    assert settings.validate_metadata(text) == []


def test_pysaml2_reads_endpoints_and_both_encryption_keys() -> None:
    keys = [parse_private_key(key_pair(name).private_pem) for name in ("new", "old")]
    certificates = [
        encryption_certificate(key, common_name=UUID, not_before=NOW) for key in keys
    ]
    text = sp_metadata(
        entity_id=ENTITY,
        consumer_url="https://b.example/saml?a&b",
        encryption_certificates=certificates,
    )
    store = InMemoryMetaData(ac_factory())
    store.parse(text)
    (service,) = store.service(
        ENTITY, "spsso_descriptor", "assertion_consumer_service"
    )["urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"]
    assert service["location"] == "https://b.example/saml?a&b"
    results = [cert for _, cert in store.certs(ENTITY, "spsso", "encryption")]
    assert [base64.b64decode("".join(cert.split())) for cert in results] == certificates


def test_an_encryption_certificate_is_the_same_every_time() -> None:
    key = parse_private_key(key_pair("new").private_pem)
    first = encryption_certificate(key, common_name=UUID, not_before=NOW)
    again = encryption_certificate(key, common_name=UUID, not_before=NOW)
    assert first == again
    certificate = x509.load_der_x509_certificate(first)
    certificate.verify_directly_issued_by(certificate)
    assert certificate.not_valid_after_utc > NOW + timedelta(days=36_000)
    assert etree.fromstring(
        sp_metadata(entity_id="x", consumer_url="https://x").encode()
    ).tag.endswith("EntityDescriptor")
