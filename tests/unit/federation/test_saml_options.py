"""The operator's options of a SAML provider."""

import pytest

from broker.federation.saml_options import SamlProviderOptions, check_saml_options
from broker.protocols.saml.expectations import Profile
from tests.support.saml_idp import key_pair

URL = {"MetadataUrl": "https://idp.example/metadata"}
HTTP = {"MetadataUrl": "http://idp.example/metadata"}


def test_no_options_are_the_strict_ones() -> None:
    assert SamlProviderOptions.parse({}) == SamlProviderOptions()
    protocol = SamlProviderOptions.parse({}).protocol
    assert protocol.profile is Profile.STRICT
    assert not protocol.algorithms.allow_sha1
    assert not protocol.algorithms.allow_cbc


def test_every_option_is_read() -> None:
    parsed = SamlProviderOptions.parse(
        {
            "Profile": "aws",
            "AllowSha1": True,
            "AllowCbc": True,
            "LegacyRsa": True,
            "Audiences": ["urn:a"],
            "Recipients": ["https://b"],
            "MintPerDoor": True,
            "ExchangeTwice": True,
            "MetadataUrl": "https://idp.example/metadata",
            "MetadataCertificate": "PEM",
            "MetadataTrustTls": True,
            "Unknown": "of another feature",
        }
    )
    assert parsed == SamlProviderOptions(
        profile=Profile.AWS,
        allow_sha1=True,
        allow_cbc=True,
        legacy_rsa=True,
        audiences=frozenset({"urn:a"}),
        recipients=frozenset({"https://b"}),
        mint_per_door=True,
        exchange_twice=True,
        metadata_url="https://idp.example/metadata",
        metadata_certificate="PEM",
        metadata_trust_tls=True,
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("Profile", "lax"),
        ("Profile", None),
        ("AllowSha1", "true"),
        ("AllowCbc", 1),
        ("LegacyRsa", None),
        ("Audiences", "urn:a"),
        ("Audiences", ["urn:a", "urn:a"]),
        ("Recipients", [""]),
        ("Recipients", [1]),
        ("MintPerDoor", 1),
        ("ExchangeTwice", 1),
        ("MetadataUrl", 1),
        ("MetadataCertificate", ["PEM"]),
        ("MetadataTrustTls", "yes"),
    ],
)
def test_a_wrong_value_names_its_key(key: str, value: object) -> None:
    with pytest.raises(ValueError, match=key):
        SamlProviderOptions.parse({key: value})


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"MetadataUrl": "ftp://idp.example/"}, "https URL"),
        ({"MetadataUrl": "https:///metadata"}, "https URL"),
        ({"MetadataUrl": "https://a:b@idp.example/"}, "https URL"),
        ({"MetadataUrl": f"https://idp.example/{'x' * 2048}"}, "https URL"),
        ({"MetadataTrustTls": True}, "set that, too"),
        ({"MetadataCertificate": "x"}, "set that, too"),
        ({**URL, "MetadataCertificate": "nonsense"}, "certificates in PEM"),
        ({**URL, "MetadataCertificate": "x", "MetadataTrustTls": True}, "exclude"),
        (HTTP, "with http needs MetadataCertificate"),
        ({**HTTP, "MetadataTrustTls": True}, "with http needs MetadataCertificate"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    options: dict[str, object], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        check_saml_options(options)


def test_options_of_published_metadata_that_do() -> None:
    certificate = key_pair().certificate_pem.decode()
    check_saml_options({})
    check_saml_options(URL)
    check_saml_options({**URL, "MetadataCertificate": 2 * certificate})
    check_saml_options({**URL, "MetadataTrustTls": True})
