import time

import jwt
import pytest
from joserfc import jwt as joserfc_jwt
from joserfc.jwk import import_key

from broker.protocols.oidc.jwks import parse_jwks
from broker.protocols.oidc.rejection import OidcReason
from broker.protocols.oidc.token import parse_token
from broker.protocols.oidc.verify import VerifyOptions, verify_token
from tests.support.oidc_issuer import OidcIssuer, make_key
from tests.support.oidc_verdict import accepted, reason_of, refused
from tests.support.rows import of_file

ALGORITHMS = of_file(__file__, "ALGORITHMS")
JOSERFC_NAMES = {"EdDSA": "Ed25519"}  # RFC 9864 retires the old name


def issuer_of(algorithm: str) -> OidcIssuer:
    issuer = OidcIssuer("https://idp.example/tenant")
    issuer.add_key("the-key", algorithm)
    return issuer


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_pyjwt_signs_and_we_verify(algorithm: str) -> None:
    issuer = issuer_of(algorithm)
    token = jwt.encode(
        issuer.claims(), make_key(algorithm), algorithm, headers={"kid": "the-key"}
    )
    assert accepted(token, issuer).subject == "alice"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_joserfc_signs_and_we_verify(algorithm: str) -> None:
    issuer = issuer_of(algorithm)
    kind = {"R": "RSA", "P": "RSA", "E": "EC"}[algorithm[0]]
    key = import_key(_pem(make_key(algorithm)), "OKP" if algorithm == "EdDSA" else kind)
    name = JOSERFC_NAMES.get(algorithm, algorithm)
    header = {"alg": name, "kid": "the-key", "typ": "JWT"}
    token = joserfc_jwt.encode(header, issuer.claims(), key, algorithms=[name])
    assert accepted(token, issuer).issuer == "https://idp.example/tenant"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_any_flipped_bit_of_the_signature_breaks_it(algorithm: str) -> None:
    issuer = issuer_of(algorithm)
    head, payload, signature = issuer.token(kid="the-key").split(".")
    for position in range(0, len(signature) - 1, len(signature) // 5):
        other = "A" if signature[position] != "A" else "B"
        changed = signature[:position] + other + signature[position + 1 :]
        token = f"{head}.{payload}.{changed}"
        assert reason_of(token, issuer) is OidcReason.BAD_SIGNATURE


def test_a_verified_token_carries_what_was_said() -> None:
    issuer = issuer_of("RS256")
    token = issuer.token(
        email="a@b.example",
        amr=["pwd", "otp", 3],
        jti="one",
        claims={
            "https://aws.amazon.com/source_identity": "alice",
            "https://aws.amazon.com/tags": {"principal_tags": {"Team": ["red"]}},
        },
    )
    verified = accepted(token, issuer)
    assert verified.email == "a@b.example"
    assert verified.authentication_methods == ("pwd", "otp")
    assert verified.token_id == "one"
    assert verified.source_identity == "alice"
    assert verified.session_tags.tags == {"Team": "red"}
    assert verified.allowed_roles is None
    assert "a@b.example" in str(verified.claims)


def test_a_provider_may_allow_fewer_algorithms() -> None:
    issuer = issuer_of("RS256")
    only_ec = VerifyOptions(algorithms=frozenset({"ES256"}))
    assert (
        reason_of(issuer.token(), issuer, options=only_ec)
        is OidcReason.ALGORITHM_NOT_ALLOWED
    )


def test_one_time_use_needs_a_token_id() -> None:
    issuer = issuer_of("RS256")
    options = VerifyOptions(require_token_id=True)
    assert accepted(issuer.token(jti="a"), issuer, options=options).token_id == "a"
    for token, reason in [
        (issuer.token(), OidcReason.MISSING_CLAIM),
        (issuer.token(jti=""), OidcReason.EMPTY_CLAIM),
        (issuer.token(jti=7), OidcReason.BAD_CLAIM),
        (issuer.token(jti=None), OidcReason.BAD_CLAIM),
    ]:
        assert reason_of(token, issuer, options=options) is reason


def test_an_unknown_key_is_told_from_a_wrong_one() -> None:
    issuer = issuer_of("RS256")
    token = issuer.token(header={"kid": "new"})
    assert reason_of(token, issuer) is OidcReason.UNKNOWN_KEY
    wrong = issuer.token(key=make_key("RS256", 9))
    assert reason_of(wrong, issuer) is OidcReason.BAD_SIGNATURE


def test_a_key_that_is_published_in_vain_says_why() -> None:
    issuer = OidcIssuer("https://idp.example")
    issuer.jwk_members["key-1"] = {"use": "enc"}
    assert "key 0: use is not sig" in refused(issuer.token(), issuer).detail


@pytest.mark.parametrize(("keys", "passes"), [(1, True), (2, False)])
def test_without_kid_only_a_single_published_key_serves(
    keys: int, passes: bool
) -> None:
    issuer = OidcIssuer("https://idp.example")
    if keys == 2:
        issuer.add_key("key-2", number=2)
    token = issuer.token(kid=None)
    if passes:
        assert accepted(token, issuer)
    else:
        assert reason_of(token, issuer) is OidcReason.UNKNOWN_KEY
    assert reason_of(issuer.token(header={"kid": ""}), issuer) is OidcReason.UNKNOWN_KEY


def test_a_token_that_was_peeked_at_need_not_be_read_again() -> None:
    from datetime import UTC, datetime, timedelta

    issuer = issuer_of("RS256")
    verified = verify_token(
        parse_token(issuer.token()),
        keys=parse_jwks(issuer.jwks_bytes()),
        issuer=issuer.url,
        client_ids=["client-1"],
        now=datetime.now(UTC),
        skew=timedelta(0),
    )
    assert verified.issued_at <= time.time() <= verified.expires_at


def _pem(key: object) -> bytes:
    from cryptography.hazmat.primitives import serialization

    return key.private_bytes(  # type: ignore[attr-defined] # every private key has it
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
