"""Logout tokens: what makes one, and that everything else is refused."""

import time
from datetime import UTC, datetime
from typing import Any

import pytest

from broker.protocols.oidc.claims import AWS_SKEW
from broker.protocols.oidc.jwks import parse_jwks
from broker.protocols.oidc.logout import EVENT, LogoutToken, peek_logout, verify_logout
from broker.protocols.oidc.rejection import OidcReason, OidcRejected
from broker.protocols.oidc.verify import VerifyOptions
from tests.support.oidc_issuer import OidcIssuer, make_key
from tests.support.oidc_verdict import SKEW, reason_of
from tests.support.rows import rows

ISSUER = OidcIssuer("https://idp.example/tenant")
USUAL: dict[str, Any] = {"jti": "one", "sid": "s1", "events": {EVENT: {}}}
HEADER = {"typ": "logout+jwt"}


def logout_token(*, drop: tuple[str, ...] = (), **claims: Any) -> str:
    header = claims.pop("header", HEADER)
    params = {name: value for name, value in USUAL.items() if name not in drop}
    params |= {"exp": int(time.time()) + 120} | claims
    key, algorithm = params.pop("key", None), params.pop("algorithm", None)
    return ISSUER.token(
        header=header, drop=drop, claims=params, key=key, algorithm=algorithm
    )


def verify(token: str, **options: Any) -> LogoutToken:
    return verify_logout(
        peek_logout(token),
        keys=parse_jwks(ISSUER.jwks_bytes()),
        issuer=ISSUER.url,
        client_id="client-1",
        now=datetime.now(UTC),
        skew=SKEW,
        **options,
    )


def reason(token: str, **options: Any) -> OidcReason:
    with pytest.raises(OidcRejected) as caught:
        verify(token, **options)
    return caught.value.reason


def test_a_logout_token_says_whose_session_ended() -> None:
    told = verify(logout_token())
    assert (told.subject, told.session_id, told.token_id) == ("alice", "s1", "one")
    assert verify(logout_token(drop=("sub",))).subject is None
    assert verify(logout_token(drop=("sid",))).session_id is None


@pytest.mark.parametrize("typ", ["logout+jwt", "application/logout+JWT", "JWT"])
def test_its_type_may_say_what_it_is(typ: str) -> None:
    assert verify(logout_token(header={"typ": typ})).token_id == "one"


def test_one_without_expiry_is_good_for_two_minutes() -> None:
    """LemonLDAP::NG sends none."""
    now = int(time.time())
    assert verify(logout_token(drop=("exp",), iat=now - 150)).good_until == now + 90
    assert reason(logout_token(drop=("exp",), iat=now - 200)) is OidcReason.EXPIRED


NOW = int(time.time())
REFUSED: dict[str, tuple[dict[str, Any], OidcReason]] = {
    "no jti": ({"drop": ("jti",)}, OidcReason.MISSING_CLAIM),
    "an empty jti": ({"jti": ""}, OidcReason.BAD_CLAIM),
    "a null jti": ({"jti": None}, OidcReason.BAD_CLAIM),
    "a long jti": ({"jti": "x" * 256}, OidcReason.BAD_CLAIM),
    "no events": ({"drop": ("events",)}, OidcReason.MISSING_CLAIM),
    "another event": ({"events": {"urn:x": {}}}, OidcReason.BAD_CLAIM),
    "an event that is not an object": ({"events": {EVENT: True}}, OidcReason.BAD_CLAIM),
    "events as a list": ({"events": [EVENT]}, OidcReason.BAD_CLAIM),
    "a nonce": ({"nonce": "n"}, OidcReason.BAD_CLAIM),
    "a null nonce": ({"nonce": None}, OidcReason.BAD_CLAIM),
    "nobody": ({"drop": ("sub", "sid")}, OidcReason.MISSING_CLAIM),
    "a numeric sid": ({"sid": 7}, OidcReason.BAD_CLAIM),
    "an empty sid": ({"sid": ""}, OidcReason.BAD_CLAIM),
    "a long sub": ({"sub": "x" * 256}, OidcReason.BAD_CLAIM),
    "no iat": ({"drop": ("iat",)}, OidcReason.MISSING_CLAIM),
    "an iat that is not a number": (
        {"iat": "1", "drop": ("exp",)},
        OidcReason.BAD_TIMESTAMP,
    ),
    "an iat that is not a float": (
        {"iat": 10**400, "drop": ("exp",)},
        OidcReason.BAD_TIMESTAMP,
    ),
    "an iat to come": ({"iat": NOW + 3600}, OidcReason.ISSUED_IN_FUTURE),
    "the past": ({"iat": NOW - 900, "exp": NOW - 600}, OidcReason.EXPIRED),
    "a long life": ({"exp": NOW + 7200}, OidcReason.BAD_CLAIM),
    "no aud": ({"drop": ("aud",)}, OidcReason.MISSING_CLAIM),
    "another client": ({"aud": "client-2"}, OidcReason.WRONG_AUDIENCE),
    "no iss": ({"drop": ("iss",)}, OidcReason.MISSING_CLAIM),
    "another issuer": ({"iss": "https://idp.example"}, OidcReason.WRONG_ISSUER),
    "another key": ({"key": make_key("RS256", 7)}, OidcReason.BAD_SIGNATURE),
    "an unknown kid": ({"header": {"kid": "other"}}, OidcReason.UNKNOWN_KEY),
    "an access token's type": ({"header": {"typ": "at+jwt"}}, OidcReason.NOT_A_JWT),
    "no algorithm": ({"header": {"alg": "none"}}, OidcReason.ALGORITHM_NOT_ALLOWED),
    "an HMAC": ({"header": {"alg": "HS256"}}, OidcReason.ALGORITHM_NOT_ALLOWED),
}


@rows("case", REFUSED)
def test_a_malformed_logout_token_is_refused(case: str) -> None:
    changes, expected = REFUSED[case]
    assert reason(logout_token(**changes)) is expected


def test_a_providers_algorithms_count() -> None:
    only = VerifyOptions(frozenset({"ES256"}))
    assert reason(logout_token(), options=only) is OidcReason.ALGORITHM_NOT_ALLOWED


def test_an_id_token_ends_nothing() -> None:
    assert reason(ISSUER.token(jti="one")) is OidcReason.MISSING_CLAIM


@pytest.mark.parametrize("typ", ["JWT", "logout+jwt"])
def test_a_logout_token_opens_nothing(typ: str) -> None:
    """Not even one that has a subject and no type of its own."""
    kind = reason_of(logout_token(header={"typ": typ}), ISSUER)
    assert kind in {OidcReason.BAD_CLAIM, OidcReason.NOT_A_JWT}


def test_a_provider_of_aws_s_profile_says_it_as_in_its_id_tokens() -> None:
    """Else a person who signed in with such a token could not be signed out."""
    now = int(time.time())
    token = logout_token(sub=4711, iat=str(now), exp=str(now + 60))
    told = verify(token, options=VerifyOptions(aws_profile=True))
    assert told.subject == "4711"
    assert told.good_until == now + 60 + 2 * AWS_SKEW.total_seconds()
    long = verify(logout_token(sub="x" * 300), options=VerifyOptions(aws_profile=True))
    assert long.subject == "x" * 300
    empty = logout_token(sub="")
    assert (
        reason(empty, options=VerifyOptions(aws_profile=True)) is OidcReason.BAD_CLAIM
    )
    assert reason(token) is OidcReason.BAD_TIMESTAMP
