"""Rows OIDC-07, 08, 13, 14 and 19 of the threat checklist: what a token says."""

import json
import time

import pytest

from broker.protocols.oidc.jwks import parse_jwks
from broker.protocols.oidc.rejection import OidcReason
from tests.support.oidc_issuer import OidcIssuer, compact, make_key
from tests.support.oidc_verdict import accepted, reason_of
from tests.support.rows import cases, of_file

ISSUER = OidcIssuer("https://idp.example/Tenant")
OTHER = OidcIssuer("https://other.example")
OTHER.add_key("key-1", number=8)


@pytest.mark.parametrize("claim", ["iss", "sub", "aud", "exp", "iat"])
def test_oidc_07_a_missing_claim(claim: str) -> None:
    token = ISSUER.token(drop=(claim,))
    assert reason_of(token, ISSUER) is OidcReason.MISSING_CLAIM


@pytest.mark.parametrize("claim", ["iss", "sub", "aud", "exp", "iat", "nbf"])
@pytest.mark.parametrize(
    "value", [None, True, False, {}, {"a": "client-1"}, [[]], "", "\u0000"]
)
def test_oidc_07_a_claim_of_another_type(claim: str, value: object) -> None:
    assert reason_of(ISSUER.token(**{claim: value}), ISSUER)


@cases("aud")
@pytest.mark.parametrize("azp", [None, "client-9"])
def test_oidc_07_an_audience_that_only_resembles(aud: object, azp: str | None) -> None:
    extra = {} if azp is None else {"azp": azp}
    assert reason_of(ISSUER.token(aud=aud, **extra), ISSUER)


@pytest.mark.parametrize(
    "azp", ["client-9", "", None, 1, ["client-1"], "client-1 ", "CLIENT-1"]
)
@pytest.mark.parametrize("aud", ["client-1", ["client-1", "x"]])
def test_oidc_07_a_foreign_authorized_party(azp: object, aud: object) -> None:
    token = ISSUER.token(aud=aud, azp=azp)
    assert reason_of(token, ISSUER) is OidcReason.WRONG_AUDIENCE


def test_oidc_07_a_provider_without_clients_accepts_no_one() -> None:
    assert reason_of(ISSUER.token(), ISSUER, client_ids=())
    assert reason_of(ISSUER.token(aud=""), ISSUER, client_ids=())


@pytest.mark.parametrize(
    "sub", ["", "x" * 256, "a\nb", "a\x1b[2J", "a\u2028b", "\uffff", 12, ["a"]]
)
def test_oidc_07_a_subject_that_cannot_be_one(sub: object) -> None:
    assert reason_of(ISSUER.token(sub=sub), ISSUER) is OidcReason.BAD_CLAIM


def test_gen_01_markup_in_a_subject_is_carried_as_text() -> None:
    assert (
        accepted(ISSUER.token(sub='"><script>]]>&amp;'), ISSUER).subject
        == '"><script>]]>&amp;'
    )


RAW_TIMES = of_file(__file__, "RAW_TIMES")


@pytest.mark.parametrize("raw", RAW_TIMES)
@pytest.mark.parametrize("claim", ["exp", "iat", "nbf"])
def test_oidc_08_a_time_that_is_none(claim: str, raw: str) -> None:
    claims = json.dumps(ISSUER.claims(drop=(claim,)))[:-1]
    payload = f'{claims},"{claim}":{raw}}}'.encode()
    header = {"alg": "RS256", "kid": "key-1"}
    token = compact(header, payload, make_key("RS256"), "RS256")
    assert reason_of(token, ISSUER) is OidcReason.BAD_TIMESTAMP


@pytest.mark.parametrize(
    "raw", ["Infinity", "-Infinity", "NaN", "9" * 5000, "0x7f", "01"]
)
def test_oidc_08_a_time_that_is_no_json(raw: str) -> None:
    claims = json.dumps(ISSUER.claims(drop=("exp",)))[:-1]
    payload = f'{claims},"exp":{raw}}}'.encode()
    token = compact(
        {"alg": "RS256", "kid": "key-1"}, payload, make_key("RS256"), "RS256"
    )
    assert reason_of(token, ISSUER) is OidcReason.NOT_A_JWT


def test_oidc_08_times_outside_the_window() -> None:
    now = int(time.time())
    for times, reason in [
        ({"exp": now - 61}, OidcReason.EXPIRED),
        ({"exp": 0}, OidcReason.EXPIRED),
        ({"exp": now + 40 * 365 * 86400}, OidcReason.BAD_TIMESTAMP),
        ({"iat": now + 120}, OidcReason.ISSUED_IN_FUTURE),
        ({"nbf": now + 120}, OidcReason.NOT_YET_VALID),
        ({"iat": now + 30, "exp": now + 20}, OidcReason.BAD_TIMESTAMP),
        ({"nbf": now + 30, "exp": now + 20}, OidcReason.BAD_TIMESTAMP),
    ]:
        assert reason_of(ISSUER.token(**times), ISSUER) is reason


LOOK_ALIKES = of_file(__file__, "LOOK_ALIKES")


@pytest.mark.parametrize("issuer", LOOK_ALIKES)
def test_oidc_13_an_issuer_that_only_resembles(issuer: str) -> None:
    """CVE-2024-53861: a part of the issuer matched."""
    assert reason_of(ISSUER.token(iss=issuer), ISSUER) is OidcReason.WRONG_ISSUER


@pytest.mark.parametrize("end", ["\n", "\0", "\x1b[2J", "\x9b2J", "\u2028"])
def test_oidc_13_an_issuer_with_control_characters(end: str) -> None:
    """No provider is looked for: PostgreSQL takes no NUL in a text."""
    token = ISSUER.token(iss=ISSUER.url + end)
    assert reason_of(token, ISSUER) is OidcReason.BAD_CLAIM


@pytest.mark.parametrize("issuer", [["https://idp.example/Tenant"], None, 1, {}])
def test_oidc_13_an_issuer_of_another_type(issuer: object) -> None:
    assert reason_of(ISSUER.token(iss=issuer), ISSUER) is OidcReason.BAD_CLAIM


def test_oidc_14_one_issuer_s_name_with_another_s_key() -> None:
    forged = OTHER.token(iss=ISSUER.url)
    assert reason_of(forged, ISSUER) is OidcReason.BAD_SIGNATURE
    keys = parse_jwks(OTHER.jwks_bytes())
    assert reason_of(OTHER.token(), ISSUER, keys=keys) is OidcReason.WRONG_ISSUER


def test_oidc_19_the_same_token_passes_again_within_its_life() -> None:
    """At the API only: workload SDKs read the same token file again."""
    token = ISSUER.token()
    assert accepted(token, ISSUER) == accepted(token, ISSUER)
