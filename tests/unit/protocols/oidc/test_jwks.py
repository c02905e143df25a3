import base64
import datetime as dt
import json
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey

from broker.protocols.oidc.jwks import (
    JWKS_BYTES_MAX,
    KEYS_PER_TYPE_MAX,
    is_small_order,
    parse_jwks,
)
from broker.protocols.oidc.jwks import KeySet as OurKeySet
from broker.protocols.oidc.rejection import OidcReason, OidcRejected
from tests.support.certificates import of_version_2
from tests.support.oidc_issuer import b64, jwk_of, make_key, octets
from tests.support.rows import rows

RSA = make_key("RS256")
OTHER = make_key("RS256", 1)
EC = make_key("ES256")


def parse(*jwks: object) -> OurKeySet:
    return parse_jwks(json.dumps({"keys": list(jwks)}).encode())


def of_another_version(text: str) -> str:
    return base64.b64encode(of_version_2(base64.b64decode(text))).decode()


def certificate(key: Any) -> str:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "idp")])
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + dt.timedelta(days=900))
        .sign(key, hashes.SHA256())
    )
    return base64.b64encode(built.public_bytes(serialization.Encoding.DER)).decode()


def test_joserfc_publishes_and_we_read() -> None:
    published = KeySet(
        [
            RSAKey.generate_key(2048, {"kid": "r", "use": "sig"}),
            ECKey.generate_key("P-256", {"kid": "e", "key_ops": ["verify"]}),
            ECKey.generate_key("P-384", {"kid": "e3"}),
            ECKey.generate_key("P-521", {"kid": "e5", "alg": "ES512"}),
            OKPKey.generate_key("Ed25519", {"kid": "o"}),
        ]
    ).as_dict(private=False)
    keys = parse_jwks(json.dumps(published).encode())
    assert keys.skipped == ()
    assert {kid: sorted(key.algorithms) for kid, key in keys.keys.items()} == {
        "r": ["PS256", "PS384", "PS512", "RS256", "RS384", "RS512"],
        "e": ["ES256"],
        "e3": ["ES384"],
        "e5": ["ES512"],
        "o": ["Ed25519", "EdDSA"],
    }


def test_a_token_without_kid_may_use_the_one_key_that_is_published() -> None:
    keys = parse(jwk_of(RSA, "a"))
    assert keys.find(None) is keys.keys["a"]
    assert parse(jwk_of(RSA, "a"), jwk_of(EC, "b")).find(None) is None
    assert parse(jwk_of(RSA, "a"), jwk_of(EC, "b", use="enc")).find(None) is None


def test_of_two_keys_with_one_kid_the_later_counts() -> None:
    keys = parse(jwk_of(RSA, "a"), jwk_of(OTHER, "a"))
    assert keys.keys["a"].key == OTHER.public_key()
    assert keys.only_key is None


def test_an_algorithm_in_the_key_narrows_what_it_verifies() -> None:
    assert parse(jwk_of(RSA, "a", alg="PS384")).keys["a"].algorithms == {"PS384"}


def test_a_certificate_that_agrees_does_no_harm() -> None:
    assert parse(jwk_of(RSA, "a", x5c=[certificate(RSA)])).keys


NO_POINT = jwk_of(EC, "a", y=octets(1, 32))
SKIPPED = {
    "no kid": jwk_of(RSA, None),
    "an empty kid": jwk_of(RSA, ""),
    "a kid that no token may name": jwk_of(RSA, "a" * 257),
    "a kid that is a number": {**jwk_of(RSA, "a"), "kid": 1},
    "no object": "key",
    "symmetric": {"kty": "oct", "kid": "a", "k": "AAAA"},
    "no type": {**jwk_of(RSA, "a"), "kty": None},
    "a type that is a list": {**jwk_of(RSA, "a"), "kty": ["RSA"]},
    "for encryption": jwk_of(RSA, "a", use="enc"),
    "a use of null": {**jwk_of(RSA, "a"), "use": None},
    "key_ops without verify": jwk_of(RSA, "a", key_ops=["sign"]),
    "key_ops empty": jwk_of(RSA, "a", key_ops=[]),
    "key_ops a string": jwk_of(RSA, "a", key_ops="verify"),
    "another family's alg": jwk_of(RSA, "a", alg="ES256"),
    "an encryption alg": jwk_of(RSA, "a", alg="RSA-OAEP"),
    "an HMAC alg": jwk_of(RSA, "a", alg="HS256"),
    "an alg that is not a string": jwk_of(RSA, "a", alg=["RS256"]),
    "the private key": jwk_of(RSA, "a", d=b64(b"x")),
    "only x5c": {"kty": "RSA", "kid": "a", "x5c": [certificate(RSA)]},
    "x5c of another key": jwk_of(RSA, "a", x5c=[certificate(OTHER)]),
    "x5c that is not an array": jwk_of(RSA, "a", x5c=certificate(RSA)),
    "x5c of numbers": jwk_of(RSA, "a", x5c=[5]),
    "x5c empty": jwk_of(RSA, "a", x5c=[]),
    "x5c no base64": jwk_of(RSA, "a", x5c=["!"]),
    "x5c no certificate": jwk_of(RSA, "a", x5c=["AAAA"]),
    "x5c of version 2": jwk_of(RSA, "a", x5c=[of_another_version(certificate(RSA))]),
    "RSA of 1024 bits": jwk_of(make_key("RS256", 0, 1024), "a"),
    "RSA of 16384 bits": {**jwk_of(RSA, "a"), "n": octets((1 << 16383) + 1)},
    "RSA with e = 1": {**jwk_of(RSA, "a"), "e": octets(1)},
    "RSA with even e": {**jwk_of(RSA, "a"), "e": octets(65536)},
    "RSA with a huge e": {**jwk_of(RSA, "a"), "e": octets((1 << 64) + 1)},
    "RSA with an even modulus": {**jwk_of(RSA, "a"), "n": octets(1 << 2047)},
    "RSA with a small factor": {**jwk_of(RSA, "a"), "n": octets(((1 << 2047) + 1) * 3)},
    "n that is not a string": {**jwk_of(RSA, "a"), "n": 5},
    "n with padding": {**jwk_of(RSA, "a"), "n": jwk_of(RSA, "a")["n"] + "=="},
    "a point off the curve": NO_POINT,
    "a short coordinate": jwk_of(EC, "a", x=octets(1, 31)),
    "a long coordinate x": jwk_of(
        EC, "a", x=octets(EC.public_key().public_numbers().x, 33)
    ),
    "a long coordinate y": jwk_of(
        EC, "a", y=octets(EC.public_key().public_numbers().y, 33)
    ),
    "secp256k1": jwk_of(EC, "a", crv="secp256k1"),
    "a curve that is a list": jwk_of(EC, "a", crv=["P-256"]),
    "X25519": {"kty": "OKP", "crv": "X25519", "kid": "a", "x": b64(b"\x09" * 32)},
    "Ed25519 of small order": {
        "kty": "OKP",
        "crv": "Ed25519",
        "kid": "a",
        "x": b64(bytes(32)),
    },
    "Ed25519 too short": {"kty": "OKP", "crv": "Ed25519", "kid": "a", "x": b64(b"xx")},
}


@rows("jwk", SKIPPED.values(), ids=SKIPPED)
def test_a_bad_key_is_skipped_and_the_good_one_serves(jwk: object) -> None:
    keys = parse(jwk, jwk_of(RSA, "good"))
    assert set(keys.keys) == {"good"}
    assert len(keys.skipped) == 1


def test_a_leading_zero_is_no_obstacle_and_a_thousand_are() -> None:
    """Some programs write the sign byte of their big numbers."""
    modulus = RSA.public_key().public_numbers().n
    assert set(parse(jwk_of(RSA, "a", n=octets(modulus, 257))).keys) == {"a"}
    [why] = parse(jwk_of(RSA, "a", n=octets(modulus, 1026))).skipped
    assert "n is too long" in why


def test_a_key_that_names_a_member_twice_is_skipped() -> None:
    good = json.dumps(jwk_of(RSA, "good"))
    twice = json.dumps(jwk_of(OTHER, "a"))[:-1] + ',"kid":"good"}'
    keys = parse_jwks(f'{{"keys":[{twice},{good}]}}'.encode())
    assert set(keys.keys) == {"good"}


def test_more_than_a_hundred_keys_of_a_type_spoil_that_type_only() -> None:
    crowd = [jwk_of(RSA, f"k{n}") for n in range(KEYS_PER_TYPE_MAX + 1)]
    assert set(parse(*crowd, jwk_of(EC, "e")).keys) == {"e"}
    assert len(parse(*crowd[1:], jwk_of(EC, "e")).keys) == KEYS_PER_TYPE_MAX + 1


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"keys":{}}',
        b'{"keys":null}',
        b'{"keys":[],"keys":[]}',
        b'{"keys":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
        b'{"keys":[]}' + b" " * JWKS_BYTES_MAX,
    ],
)
def test_a_malformed_key_set_is_refused_whole(data: bytes) -> None:
    with pytest.raises(OidcRejected) as caught:
        parse_jwks(data)
    assert caught.value.reason is OidcReason.BAD_KEY_SET


def test_an_empty_key_set_is_one_without_keys() -> None:
    assert parse().find("a") is None
    assert parse().find(None) is None


def test_the_small_order_points_of_ed25519_are_known() -> None:
    assert is_small_order(bytes(32))
    assert is_small_order(bytes(31) + b"\x80")
    assert is_small_order(b"\x01" + bytes(31))
    assert not is_small_order(make_key("EdDSA").public_key().public_bytes_raw())


@rows("name, phrase")
def test_the_operator_reads_why_a_key_was_skipped(name: str, phrase: str) -> None:
    [why] = parse(SKIPPED[name]).skipped
    assert phrase in why
