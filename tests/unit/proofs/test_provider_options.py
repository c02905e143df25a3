"""The options of providers, and what documents say of them."""

import re
from datetime import timedelta
from pathlib import Path

import pytest

from broker.model.entities import LdapProvider, OidcProvider, SamlProvider
from broker.proofs.provider_options import (
    OPTIONS,
    OPTIONS_OF,
    ProviderOptions,
    check_options,
)
from broker.protocols.oidc.algorithms import ALGORITHM_NAMES
from broker.protocols.saml.conditions import Profile
from tests.support.rows import rows
from tests.support.saml_idp import key_pair

URL = {"MetadataUrl": "https://idp.example/metadata"}
HTTP = {"MetadataUrl": "http://idp.example/metadata"}
KINDS = {"SAML": SamlProvider, "OpenID Connect": OidcProvider, "LDAP": LdapProvider}
TEXT = (Path(__file__).parents[3] / "docs/operating/providers.md").read_text("utf-8")
SECTION = TEXT.partition("## Provider options\n")[2].partition("\n## ")[0]


def test_no_options_are_the_strict_ones() -> None:
    assert ProviderOptions.parse({}) == ProviderOptions()
    protocol = ProviderOptions.parse({}).saml
    assert protocol.profile is Profile.STRICT
    assert not protocol.algorithms.allow_sha1
    assert not protocol.algorithms.allow_cbc
    tokens = ProviderOptions.parse({}).oidc
    assert tokens.algorithms == ALGORITHM_NAMES
    assert not tokens.aws_profile
    assert not tokens.require_token_id
    assert ProviderOptions.parse({}).static_jwks == ""


def test_every_option_is_read() -> None:
    parsed = ProviderOptions.parse(
        {
            "Profile": "aws",
            **dict.fromkeys(["AllowSha1", "AllowCbc", "LegacyRsa"], True),
            "Audiences": ["urn:a"],
            "Recipients": ["https://b"],
            **dict.fromkeys(["MintPerDoor", "ExchangeTwice"], True),
            "MetadataUrl": "https://idp.example/metadata",
            "MetadataCertificate": "PEM",
            "MetadataTrustTls": True,
            "Unknown": "of another feature",
        }
    )
    assert parsed == ProviderOptions(
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


@rows("key, value")
def test_a_wrong_value_names_its_key(key: str, value: object) -> None:
    with pytest.raises(ValueError, match=key):
        ProviderOptions.parse({key: value})


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
        ({"Watch": "RefreshToken"}, "set ClientId, too"),
        ({"WatchSeconds": 30, "ClientId": "a"}, "nothing without Watch"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    options: dict[str, object], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        check_options(options)


def test_options_of_published_metadata_that_do() -> None:
    certificate = key_pair().certificate_pem.decode()
    check_options({})
    check_options(URL)
    check_options({**URL, "MetadataCertificate": 2 * certificate})
    check_options({**URL, "MetadataTrustTls": True})


def test_a_provider_is_asked_as_often_as_its_options_say() -> None:
    options: dict[str, object] = {"ClientId": "a", "Watch": "RefreshToken"}
    check_options(options)
    assert ProviderOptions.parse(options).watch_interval == timedelta(minutes=5)
    often = ProviderOptions.parse({**options, "WatchSeconds": 30})
    assert often.watch_interval == timedelta(seconds=30)
    assert ProviderOptions.parse({"ClientId": "a"}).watch_interval is None


@pytest.mark.parametrize("truth", [True, "true", "True"])
def test_options_come_typed_or_as_text(truth: object) -> None:
    options = ProviderOptions.parse(
        {
            "OneTimeUse": truth,
            "StaticJwks": {"keys": []},
            "Algorithms": "RS256, ES256",
            "Profile": "aws",
            "GroupMapping": {"somebody": "else's"},
        }
    )
    assert options.one_time_use
    assert options.static_jwks == '{"keys": []}'
    assert options.algorithms == {"RS256", "ES256"}
    assert options.oidc.aws_profile
    assert options.oidc.require_token_id
    assert ProviderOptions.parse({"Algorithms": ["PS256"]}).algorithms == {"PS256"}


@pytest.mark.parametrize(
    "given", ["ref, https://a.example/x", ["ref", "https://a.example/x"]]
)
def test_claims_are_named_as_a_list_or_a_text(given: object) -> None:
    options = ProviderOptions.parse({"ClaimKeys": given})
    assert options.claim_keys == ("ref", "https://a.example/x")


def documented(heading: str) -> set[str]:
    rows = SECTION.partition(f"| {heading} | Effect |\n|---|---|\n")[2]
    firsts = (row.split(" | ")[0] for row in rows.partition("\n\n")[0].splitlines())
    return set(re.findall(r"`([A-Z][A-Za-z0-9]+)", " ".join(firsts)))


def test_each_option_is_documented() -> None:
    for heading, kind in KINDS.items():
        known = {text for text in OPTIONS_OF[kind] if not text.startswith("Metadata")}
        assert documented(heading) <= known <= documented(heading) | documented("All")
    assert all(f"`{option.name}" in TEXT for option in OPTIONS)


def test_exceptions_are_documented() -> None:
    listed = SECTION.partition("exceptions: ")[2].partition("\n\n")[0]
    named = re.findall(r"`([A-Za-z0-9]+)", listed)
    assert named == [option.name for option in OPTIONS if option.place.is_exception]
