import json

import pytest

from broker.protocols.oidc.discovery import (
    DISCOVERY_BYTES_MAX,
    Discovery,
    discovery_url,
    parse_discovery,
)
from broker.protocols.oidc.rejection import OidcReason, OidcRejected
from tests.support.oidc_issuer import OidcIssuer

ISSUER = OidcIssuer("https://idp.example/tenant")
DOCUMENT = ISSUER.discovery()


def parse(issuer: str = ISSUER.url, **changes: object) -> Discovery:
    return parse_discovery(json.dumps({**DOCUMENT, **changes}).encode(), issuer)


def test_the_document_names_keys_and_endpoints() -> None:
    discovery = parse()
    assert discovery.jwks_uri == "https://idp.example/tenant/jwks"
    assert discovery.token_endpoint == "https://idp.example/tenant/token"


@pytest.mark.parametrize("issuer", ["https://a.example/t", "https://a.example/t/"])
def test_a_closing_slash_of_the_issuer_is_not_doubled(issuer: str) -> None:
    expected = "https://a.example/t/.well-known/openid-configuration"
    assert discovery_url(issuer) == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": "https://idp.example/tenant/"},
        {"issuer": "https://IDP.example/tenant"},
        {"issuer": None},
        {"issuer": [ISSUER.url]},
        {"jwks_uri": ""},
        {"jwks_uri": None},
        {"jwks_uri": ["https://idp.example/jwks"]},
        {"jwks_uri": "https://idp.example/" + "x" * 2048},
        {"token_endpoint": 1},
        {"pad": "x" * DISCOVERY_BYTES_MAX},
    ],
)
def test_a_document_that_does_not_fit_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(OidcRejected) as caught:
        parse(**changes)
    assert caught.value.reason is OidcReason.BAD_DISCOVERY


@pytest.mark.parametrize(
    "data", [b"", b"<html>", b"[]", b"\xff", b'{"issuer":1,"issuer":2}']
)
def test_a_value_that_is_not_an_object_is_refused(data: bytes) -> None:
    with pytest.raises(OidcRejected):
        parse_discovery(data, ISSUER.url)
