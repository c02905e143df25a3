from datetime import UTC, datetime

import pytest

from broker.protocols.oidc.rejection import OidcReason
from broker.protocols.oidc.verify import VerifyOptions
from tests.support.oidc_issuer import OidcIssuer
from tests.support.oidc_verdict import accepted, reason_of, refused

ISSUER = OidcIssuer("https://idp.example")
AWS = VerifyOptions(aws_profile=True)
NOW = 1_800_000_000
AT = datetime.fromtimestamp(NOW, UTC)


@pytest.mark.parametrize("claim", ["sub", "aud", "iat", "exp"])
def test_a_missing_claim_is_named(claim: str) -> None:
    refusal = refused(ISSUER.token(drop=(claim,)), ISSUER)
    assert refusal.reason is OidcReason.MISSING_CLAIM
    assert refusal.message == f"Missing a required claim: {claim}"


def test_one_of_several_audiences_matches_when_azp_speaks_for_it() -> None:
    token = ISSUER.token(aud=["other", "client-1"], azp="client-1")
    verified = accepted(token, ISSUER)
    assert verified.audience == "client-1"
    assert verified.replaced_audience == ("other", "client-1")


def test_the_second_registered_client_matches_too() -> None:
    token = ISSUER.token(aud="client-2")
    assert accepted(token, ISSUER, client_ids=("client-1", "client-2"))


def test_a_foreign_audience_does_not_pass_behind_a_known_azp() -> None:
    token = ISSUER.token(aud="other", azp="client-1")
    assert reason_of(token, ISSUER) is OidcReason.WRONG_AUDIENCE
    assert accepted(token, ISSUER, options=AWS).audience == "client-1"


def test_several_audiences_need_an_authorized_party() -> None:
    refusal = refused(ISSUER.token(aud=["client-1", "client-2"]), ISSUER)
    assert refusal.reason is OidcReason.NO_AUTHORIZED_PARTY
    assert refusal.message == (
        "Token audience contains more than one audience"
        " while authorized party is not present"
    )


@pytest.mark.parametrize("aud", [[], ""])
def test_an_empty_audience_is_called_empty(aud: object) -> None:
    refusal = refused(ISSUER.token(aud=aud), ISSUER)
    assert refusal.message == "Claim is not allowed to be empty: aud"


@pytest.mark.parametrize(("length", "fine"), [(1, True), (255, True), (256, False)])
def test_a_subject_has_up_to_255_characters(length: int, fine: bool) -> None:
    token = ISSUER.token(sub="x" * length)
    if fine:
        assert accepted(token, ISSUER).subject == "x" * length
    else:
        assert reason_of(token, ISSUER) is OidcReason.BAD_CLAIM
    assert accepted(token, ISSUER, options=AWS)


def test_the_aws_profile_takes_a_number_as_subject() -> None:
    assert reason_of(ISSUER.token(sub=5), ISSUER) is OidcReason.BAD_CLAIM
    assert accepted(ISSUER.token(sub=5), ISSUER, options=AWS).subject == "5"
    assert reason_of(ISSUER.token(sub=True), ISSUER, options=AWS)
    assert reason_of(ISSUER.token(sub=None), ISSUER, options=AWS)


def test_fractional_times_are_numbers() -> None:
    token = ISSUER.token(iat=NOW - 0.5, exp=NOW + 0.5, nbf=NOW - 1.25)
    assert accepted(token, ISSUER, now=AT).expires_at == NOW + 0.5


def test_numeric_strings_are_for_the_aws_profile() -> None:
    token = ISSUER.token(iat=str(NOW), exp=str(NOW + 60))
    assert reason_of(token, ISSUER, now=AT) is OidcReason.BAD_TIMESTAMP
    assert accepted(token, ISSUER, now=AT, options=AWS).expires_at == NOW + 60
    for text in ("9" * 5000, "soon", "", "-1", "1e9", "\u0661" * 10, "18e8"):
        bad = ISSUER.token(iat=NOW, exp=text)
        assert reason_of(bad, ISSUER, now=AT, options=AWS) is OidcReason.BAD_TIMESTAMP


@pytest.mark.parametrize(("profile", "skew"), [(VerifyOptions(), 60), (AWS, 300)])
def test_the_skew_counts_to_the_second(profile: VerifyOptions, skew: int) -> None:
    def token(**times: int) -> str:
        return ISSUER.token(**{"iat": NOW - 900, "exp": NOW + 900, **times})

    def verdict(**times: int) -> OidcReason:
        return reason_of(token(**times), ISSUER, now=AT, options=profile)

    for edge in ({"exp": NOW - skew + 1}, {"iat": NOW + skew}, {"nbf": NOW + skew}):
        assert accepted(token(**edge), ISSUER, now=AT, options=profile)
    assert verdict(exp=NOW - skew) is OidcReason.EXPIRED
    assert verdict(iat=NOW + skew + 1) is OidcReason.ISSUED_IN_FUTURE
    assert verdict(nbf=NOW + skew + 1) is OidcReason.NOT_YET_VALID


def test_the_times_in_the_texts_are_shifted_by_the_skew() -> None:
    expired = refused(ISSUER.token(iat=NOW - 999, exp=NOW - 99), ISSUER, now=AT)
    assert expired.message == (
        f"Token expired: current date/time {NOW - 60} must be before"
        f" the expiration date/time {NOW - 99}"
    )
    future = refused(ISSUER.token(iat=NOW + 99, exp=NOW + 999), ISSUER, now=AT)
    assert future.message == f"Token issued in the future: {NOW + 99}"
    early = refused(ISSUER.token(iat=NOW, exp=NOW + 9, nbf=NOW + 99), ISSUER, now=AT)
    assert early.message == (
        f"Token not yet valid: current date/time {NOW + 60} must be after or equal"
        f" to the not-before date/time {NOW + 99}"
    )


def test_refusals_tell_the_operator_what_was_found() -> None:
    refusal = refused(ISSUER.token(aud="wrong-client"), ISSUER)
    assert "wrong-client" in refusal.detail
    assert "wrong-client" not in refusal.message
