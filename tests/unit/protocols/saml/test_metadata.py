"""What is read of a provider's metadata."""

import pytest

from broker.protocols.saml.algorithms import KeyFamily
from broker.protocols.saml.metadata import SsoEndpoint, parse_metadata
from tests.support.saml_idp import ENTITY_ID, NOW, key_pair, metadata_xml


def test_entity_keys_endpoints_and_wishes_are_read() -> None:
    ec = key_pair("ec", "p256")
    text = metadata_xml(key_pair(), ec, key_pair(), want_signed=True)
    assert len(text) >= 1000
    (descriptor,) = parse_metadata(text, now=NOW).descriptors
    assert descriptor.entity_id == ENTITY_ID
    assert [key.family for key in descriptor.signing_keys] == [
        KeyFamily.RSA,
        KeyFamily.EC,
    ]
    binding = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-"
    assert descriptor.sso_endpoints == (
        SsoEndpoint(binding + "Redirect", "https://idp.example.com/sso"),
        SsoEndpoint(binding + "POST", "https://idp.example.com/sso"),
    )


def test_an_entity_is_found_by_its_exact_id() -> None:
    metadata = parse_metadata(metadata_xml(), now=NOW)
    assert metadata.find_descriptor(ENTITY_ID) is metadata.descriptors[0]
    for other in (ENTITY_ID + "/", ENTITY_ID.upper(), ENTITY_ID[:-1], ""):
        assert metadata.find_descriptor(other) is None


@pytest.mark.parametrize("use", ["", ' use="signing"'])
def test_a_key_without_use_signs(use: str) -> None:
    text = metadata_xml().replace(' use="signing"', use)
    assert len(parse_metadata(text, now=NOW).descriptors[0].signing_keys) == 1


def test_several_roles_of_one_entity_add_up() -> None:
    role = metadata_xml().partition("<md:IDPSSODescriptor")[2]
    second = metadata_xml(key_pair("second")).partition("<md:IDPSSODescriptor")[2]
    body = role.partition("</md:EntityDescriptor>")[0]
    text = metadata_xml().replace(
        body, body + "<md:IDPSSODescriptor" + second.partition("</md:Entity")[0]
    )
    (descriptor,) = parse_metadata(text, now=NOW).descriptors
    assert len(descriptor.signing_keys) == 2
