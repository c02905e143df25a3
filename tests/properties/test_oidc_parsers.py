"""No input to a parser raises anything but the parser's own error."""

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.proofs.addresses import AddressRules, parse_internal_issuers
from broker.protocols.oidc.discovery import parse_discovery
from broker.protocols.oidc.jwks import parse_jwks
from broker.protocols.oidc.rejection import OidcRejected
from broker.protocols.oidc.token import parse_token
from broker.protocols.oidc.verify import verify_token
from tests.support.effort import examples
from tests.support.oidc_issuer import OidcIssuer, b64, jwk_of, make_key
from tests.support.rows import of_file

ISSUER = OidcIssuer("https://idp.example")
ISSUER.add_key("ec", "ES256")
KEYS = parse_jwks(ISSUER.jwks_bytes())
TOKENS = (ISSUER.token(), ISSUER.token(kid="ec"))
NOW = datetime.now(UTC)

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.sampled_from(["RSA", "EC", "OKP", "sig", "verify", "P-256", "AQAB", "key-1"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)


def verify(text: str) -> object:
    return verify_token(
        text,
        keys=KEYS,
        issuer=ISSUER.url,
        client_ids=("client-1",),
        now=NOW,
        skew=timedelta(hours=1),
    )


@settings(deadline=None)
@given(
    st.text(max_size=200) | st.binary(max_size=200).map(lambda b: b.decode("latin-1"))
)
def test_any_text_is_refused_or_read(text: str) -> None:
    with pytest.raises(OidcRejected):
        verify(text)


@settings(deadline=None)
@given(st.lists(st.binary(max_size=60), min_size=3, max_size=3))
def test_any_three_segments_are_refused_or_read(parts: list[bytes]) -> None:
    with pytest.raises(OidcRejected):
        verify(".".join(map(b64, parts)))


@settings(deadline=None)
@given(
    header=st.dictionaries(
        st.sampled_from(["alg", "kid", "typ", "crit", "x"]), json_values
    ),
    claims=st.dictionaries(st.sampled_from(["iss", "sub", "aud", "exp"]), json_values),
)
def test_any_header_and_payload_are_refused_or_read(
    header: dict[str, object], claims: dict[str, object]
) -> None:
    parts = (b64(json.dumps(part).encode()) for part in (header, claims))
    with suppress(OidcRejected):
        parse_token(".".join([*parts, "AAAA"]))


ALL_CLAIMS = of_file(__file__, "ALL_CLAIMS")


@settings(max_examples=examples(60), deadline=None)
@given(st.dictionaries(st.sampled_from(ALL_CLAIMS), json_values, max_size=3))
def test_any_signed_claims_are_refused_or_read(claims: dict[str, object]) -> None:
    with suppress(OidcRejected):
        verify(ISSUER.token(kid="ec", claims=claims))


@settings(max_examples=examples(300), deadline=None)
@given(
    token=st.sampled_from(TOKENS), position=st.integers(0), change=st.integers(1, 127)
)
def test_any_changed_character_breaks_a_token(
    token: str, position: int, change: int
) -> None:
    at = position % len(token)
    changed = token[:at] + chr(ord(token[at]) ^ change) + token[at + 1 :]
    if changed.rstrip() == token.rstrip():
        return
    with pytest.raises(OidcRejected):
        verify(changed)


@settings(deadline=None)
@given(st.binary(max_size=300) | json_values.map(lambda v: json.dumps(v).encode()))
def test_any_bytes_are_a_key_set_or_refused(data: bytes) -> None:
    with suppress(OidcRejected):
        parse_jwks(data)


@settings(deadline=None)
@given(
    st.sampled_from(["RS256", "ES256", "EdDSA"]),
    st.dictionaries(
        st.sampled_from(
            ["kty", "crv", "n", "e", "x", "y", "kid", "use", "key_ops", "alg", "x5c"]
        ),
        json_values,
        max_size=3,
    ),
)
def test_any_changed_key_is_read_or_skipped(
    algorithm: str, changes: dict[str, object]
) -> None:
    jwk = {**jwk_of(make_key(algorithm), "a"), **changes}
    good = jwk_of(make_key("RS256"), "good")
    keys = parse_jwks(json.dumps({"keys": [jwk, good]}).encode())
    assert "good" in keys.keys


@settings(deadline=None)
@given(st.binary(max_size=200) | json_values.map(lambda v: json.dumps(v).encode()))
def test_any_bytes_are_a_discovery_document_or_refused(data: bytes) -> None:
    with pytest.raises(OidcRejected):
        parse_discovery(data, "https://idp.example")


@settings(deadline=None)
@given(st.text("0123456789abcdef:./=[],- \n@x", max_size=40))
def test_any_text_is_a_list_of_internal_issuers_or_a_value_error(text: str) -> None:
    with suppress(ValueError):
        AddressRules(parse_internal_issuers(text))
