import pytest

from broker.protocols.oidc.rejection import OidcReason, OidcRejected
from broker.protocols.oidc.token import TOKEN_CHARACTERS_MAX, parse_token
from tests.support.oidc_issuer import OidcIssuer

ISSUER = OidcIssuer("https://idp.example")


def test_a_token_says_who_it_claims_to_be_from() -> None:
    token = parse_token(ISSUER.token())
    assert token.issuer == "https://idp.example"
    assert (token.kid, token.algorithm) == ("key-1", "RS256")
    assert token.unverified_claims["sub"] == "alice"


def test_a_token_is_not_shown_in_full() -> None:
    token = parse_token(ISSUER.token(secret="in the claims"))
    assert "in the claims" not in repr(token)
    assert repr(token.signature) not in repr(token)


@pytest.mark.parametrize("end", ["\n", "\r\n", " \t\n"])
def test_the_end_of_a_token_file_is_dropped(end: str) -> None:
    token = ISSUER.token()
    assert parse_token(token + end) == parse_token(token)


@pytest.mark.parametrize("make", [lambda t: "\n" + t, lambda t: t.replace(".", ".\n")])
def test_white_space_elsewhere_is_refused(make: object) -> None:
    with pytest.raises(OidcRejected) as caught:
        parse_token(make(ISSUER.token()))  # type: ignore[operator] # a lambda
    assert caught.value.reason is OidcReason.NOT_A_JWT


def test_the_size_limit_is_the_api_s() -> None:
    room = TOKEN_CHARACTERS_MAX - len(ISSUER.token(pad=""))
    fitting = ISSUER.token(pad="x" * (room * 3 // 4 - 3))
    assert TOKEN_CHARACTERS_MAX - 8 < len(fitting) <= TOKEN_CHARACTERS_MAX
    assert parse_token(fitting)
    with pytest.raises(OidcRejected) as caught:
        parse_token(ISSUER.token(pad="x" * room))
    assert "characters" in caught.value.detail


def test_a_missing_issuer_is_named() -> None:
    with pytest.raises(OidcRejected, match="Missing a required claim: iss"):
        parse_token(ISSUER.token(drop=("iss",)))


@pytest.mark.parametrize("type_", ["JWT", "jwt", "application/jwt"])
def test_the_type_jwt_is_taken_in_its_spellings(type_: str) -> None:
    assert parse_token(ISSUER.token(header={"typ": type_}))
