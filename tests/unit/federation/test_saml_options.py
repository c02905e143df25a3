"""The operator's options of a SAML provider."""

import pytest

from broker.federation.saml_options import SamlProviderOptions
from broker.protocols.saml.expected import Profile


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
            "MetadataUrl": "of another feature",
        }
    )
    assert parsed == SamlProviderOptions(
        profile=Profile.AWS,
        allow_sha1=True,
        allow_cbc=True,
        legacy_rsa=True,
        audiences=frozenset({"urn:a"}),
        recipients=frozenset({"https://b"}),
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
    ],
)
def test_a_wrong_value_names_its_key(key: str, value: object) -> None:
    with pytest.raises(ValueError, match=key):
        SamlProviderOptions.parse({key: value})
