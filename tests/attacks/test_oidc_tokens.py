"""Rows OIDC-01 to 06, 09 to 12 and 16 of the threat checklist: form, keys, signature.

Tokens are made by ``tests.support.oidc_issuer`` with ``cryptography``, never by the
code under test.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from broker.protocols.oidc.jwks import parse_jwks
from broker.protocols.oidc.rejection import OidcReason
from tests.support.effort import cpu_at_most
from tests.support.oidc_issuer import OidcIssuer, b64, compact, jwk_of, make_key, sign
from tests.support.oidc_verdict import accepted, reason_of
from tests.support.rows import rows

NOT_A_JWT = OidcReason.NOT_A_JWT
ISSUER = OidcIssuer("https://idp.example/tenant")
ISSUER.add_key("key-2", number=2)
ISSUER.add_key("ec", "ES256")
ISSUER.add_key("ec3", "ES384")
ISSUER.add_key("ed", "EdDSA")
KEY = make_key("RS256")


def unsigned(header: dict[str, object], signature: str = "AA") -> str:
    parts = [json.dumps(part).encode() for part in (header, ISSUER.claims())]
    return f"{b64(parts[0])}.{b64(parts[1])}.{signature}"


def with_header(**header: object) -> str:
    return ISSUER.token(header=header)


@pytest.mark.parametrize(
    "algorithm",
    [
        "none",
        "None",
        "NONE",
        "nOnE",
        "",
        "RS1",
        "rs256",
        "HS256",
        "RS256 ",
        "A128KW",
        "RSA-OAEP",
        "x" * 5000,
    ],
)
@pytest.mark.parametrize("signed", [True, False])
def test_oidc_01_an_algorithm_outside_the_list(algorithm: str, signed: bool) -> None:
    token = with_header(alg=algorithm) if signed else unsigned({"alg": algorithm})
    assert reason_of(token, ISSUER) is OidcReason.ALGORITHM_NOT_ALLOWED


@pytest.mark.parametrize("algorithm", [None, ["RS256"], {"RS256": 1}, 256, True])
def test_oidc_01_an_algorithm_that_is_no_string(algorithm: object) -> None:
    assert reason_of(with_header(alg=algorithm), ISSUER) is NOT_A_JWT


def test_oidc_01_no_algorithm_and_no_signature() -> None:
    assert reason_of(unsigned({"kid": "key-1"}), ISSUER) is NOT_A_JWT
    assert reason_of(unsigned({"alg": "none"}, ""), ISSUER) is NOT_A_JWT
    assert (
        reason_of(unsigned({"alg": "RS256", "kid": "key-1"}, ""), ISSUER) is NOT_A_JWT
    )


def public_texts() -> dict[str, bytes]:
    public = KEY.public_key()
    point = make_key("ES256").public_key()
    formats = serialization.PublicFormat
    pem, der = serialization.Encoding.PEM, serialization.Encoding.DER
    return {
        "pem": public.public_bytes(pem, formats.SubjectPublicKeyInfo),
        "pkcs1": public.public_bytes(pem, formats.PKCS1),
        "der": public.public_bytes(der, formats.SubjectPublicKeyInfo),
        "ec pem": point.public_bytes(pem, formats.SubjectPublicKeyInfo),
        "jwk": json.dumps(jwk_of(KEY, "key-1")).encode(),
        "modulus": base64.urlsafe_b64decode(jwk_of(KEY, "key-1")["n"] + "=="),
        "empty": b"",
        "kid": b"key-1",
        "client": b"client-1",
    }


@pytest.mark.parametrize("name", public_texts())
@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
@pytest.mark.parametrize("kid", ["key-1", "ec", None])
def test_oidc_02_hmac_with_public_data(
    name: str, algorithm: str, kid: str | None
) -> None:
    header = {"alg": algorithm} if kid is None else {"alg": algorithm, "kid": kid}
    text = unsigned(header).rpartition(".")[0]
    digest = getattr(hashlib, f"sha{algorithm[2:]}")
    mac = hmac.new(public_texts()[name], text.encode(), digest).digest()
    reason = reason_of(f"{text}.{b64(mac)}", ISSUER)
    assert reason is OidcReason.ALGORITHM_NOT_ALLOWED


def test_oidc_03_another_key_under_a_known_kid() -> None:
    token = ISSUER.token(key=make_key("RS256", 66))
    assert reason_of(token, ISSUER) is OidcReason.BAD_SIGNATURE


def test_oidc_03_the_kid_of_a_sibling_key() -> None:
    token = ISSUER.token(kid="key-1", header={"kid": "key-2"})
    assert reason_of(token, ISSUER) is OidcReason.BAD_SIGNATURE


def test_oidc_03_another_payload_or_another_token_s_signature() -> None:
    entry, two = ISSUER.token().split("."), ISSUER.token(sub="mallory").split(".")
    for parts in ([entry[0], two[1], entry[2]], [entry[0], entry[1], two[2]]):
        assert reason_of(".".join(parts), ISSUER) is OidcReason.BAD_SIGNATURE


EVIL = make_key("RS256", 66)


@pytest.mark.parametrize(
    "header",
    [
        {"jwk": jwk_of(EVIL, "evil")},
        {"jwk": jwk_of(EVIL, "evil"), "kid": "evil"},
        {"jwk": jwk_of(EVIL, "key-1"), "kid": "key-1"},
        {"jku": "https://evil.example/jwks", "kid": "evil"},
        {"jku": "https://evil.example/jwks", "kid": "key-1"},
        {"x5u": "https://evil.example/chain", "kid": "key-1"},
        {"x5c": ["AAAA"], "kid": "key-1"},
    ],
)
def test_oidc_04_a_key_in_the_header_is_never_used(header: dict[str, object]) -> None:
    token = ISSUER.token(kid=None, key=EVIL, header=header)
    assert reason_of(token, ISSUER) in {
        OidcReason.UNKNOWN_KEY,
        OidcReason.BAD_SIGNATURE,
    }


@rows("kid")
def test_oidc_05_a_kid_is_only_looked_up(kid: str) -> None:
    assert reason_of(with_header(kid=kid), ISSUER) is OidcReason.UNKNOWN_KEY


@pytest.mark.parametrize("kid", [["key-1"], {"a": 1}, 1, None, True, "x" * 257])
def test_oidc_05_a_kid_of_another_type_or_size(kid: object) -> None:
    assert reason_of(with_header(kid=kid), ISSUER) is NOT_A_JWT


@rows("header")
def test_oidc_06_a_header_that_changes_the_meaning(header: dict[str, object]) -> None:
    assert reason_of(with_header(**header), ISSUER) is NOT_A_JWT


GOOD = ISSUER.token()
HEAD, BODY, SIGNATURE = GOOD.split(".")
SHAPES: dict[str, str] = {
    "empty": "",
    "one segment": HEAD,
    "two segments": f"{HEAD}.{BODY}",
    "four segments": f"{GOOD}.AA",
    "five segments": f"{GOOD}.AA.AA",
    "a dot more": f"{GOOD}.",
    "a dot before": f".{GOOD}",
    "an empty payload": f"{HEAD}..{SIGNATURE}",
    "JSON serialisation": json.dumps(
        {"protected": HEAD, "payload": BODY, "signature": SIGNATURE}
    ),
    "padding": f"{HEAD}==.{BODY}.{SIGNATURE}",
    "padded signature": f"{HEAD}.{BODY}.{SIGNATURE}==",
    "junk in the header": f"{HEAD[:5]}!{HEAD[5:]}.{BODY}.{SIGNATURE}",
    "junk in the signature": f"{HEAD}.{BODY}.{SIGNATURE[:5]}\n{SIGNATURE[5:]}",
    "the other alphabet": GOOD.replace("-", "+").replace("_", "/") + "+",
    "a letter of another script": f"{HEAD}.{BODY}.{SIGNATURE[:-1]}\u0410",
    "digits of another script": f"{HEAD}.{BODY}.\u0661{SIGNATURE[1:]}",
    "a Bearer prefix": f"Bearer {GOOD}",
    "NUL": f"{GOOD}\x00",
    "a lone surrogate": f"{GOOD}\ud800",
    "a million dots": "." * 1_000_000,
    "megabytes": "A" * 5_000_000,
    "20,001 characters": GOOD + "A" * (20_001 - len(GOOD)),
}


@rows("token", SHAPES.values(), ids=SHAPES)
def test_oidc_09_and_16_a_text_of_another_shape(token: str) -> None:
    with cpu_at_most(100):
        assert reason_of(token, ISSUER) is NOT_A_JWT


def test_oidc_09_a_last_character_with_unused_bits() -> None:
    """Two texts of one signature would be two tokens to a naive replay rule."""
    for position, segment in enumerate(GOOD.split(".")):
        if len(segment) % 4 in {2, 3}:
            alphabet = (
                "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
            )
            twin = alphabet[alphabet.index(segment[-1]) ^ 1]
            parts = GOOD.split(".")
            parts[position] = segment[:-1] + twin
            assert reason_of(".".join(parts), ISSUER) is NOT_A_JWT


USUAL_HEADER = {"alg": "RS256", "kid": "key-1", "typ": "JWT"}
CLAIMS = json.dumps(ISSUER.claims())


@rows(
    "payload",
    [
        b"[]",
        b"null",
        b'"text"',
        b"1",
        b"",
        b"\xff\xfe{}",
        CLAIMS.encode("utf-16"),
        b"\xef\xbb\xbf" + CLAIMS.encode(),
        CLAIMS.encode() * 2,
        CLAIMS.encode() + b"x",
        CLAIMS[:-1].encode() + b',"sub":"mallory"}',
        CLAIMS[:-1].encode() + b',"x":{"y":1,"y":2}}',
        CLAIMS[:-1].encode() + b',"x":"\\ud800"}',
        CLAIMS[:-1].encode() + b',"\\udc00x":1}',
        CLAIMS[:-1].encode() + b',"x":NaN}',
        CLAIMS[:-1].encode() + b',"x":' + b"[" * 6000 + b"]" * 6000 + b"}",
        CLAIMS[:-1].encode() + b',"x":' + b"[" * 14000,
        CLAIMS[:-1].encode() + b',"x":' + b'{"a":' * 2500 + b"1" + b"}" * 2500 + b"}",
        CLAIMS[:-1].encode() + b',"x":' + b"1" * 9000 + b"}",
        ISSUER.token().encode(),
    ],
)
def test_oidc_09_a_signed_payload_of_another_shape(payload: bytes) -> None:
    token = compact(USUAL_HEADER, payload, KEY, "RS256")
    with cpu_at_most(100):
        assert reason_of(token, ISSUER) is NOT_A_JWT


@pytest.mark.parametrize(
    "header",
    [
        b"[]",
        b"null",
        b'{"alg":"RS256","kid":"key-1","alg":"none"}',
        b'{"alg":"none","kid":"key-1","alg":"RS256"}',
        b'{"alg":"RS256","kid":"key-1","kid":"key-2"}',
        b'{"alg":"RS256","kid":"key-1","x":' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"alg":"PBES2-HS256+A128KW","enc":"A128GCM","p2c":2147483647}',
    ],
)
def test_oidc_09_a_signed_header_of_another_shape(header: bytes) -> None:
    token = compact(header, CLAIMS.encode(), KEY, "RS256")
    assert reason_of(token, ISSUER) is NOT_A_JWT


def test_oidc_09_a_jwe_is_not_opened() -> None:
    from joserfc import jwe

    token = jwe.encrypt_compact(
        {"alg": "RSA-OAEP", "enc": "A256GCM", "kid": "key-1"},
        CLAIMS.encode(),
        _joserfc_public_key(),
    )
    assert reason_of(token, ISSUER) is NOT_A_JWT


def _joserfc_public_key() -> object:
    from joserfc.jwk import RSAKey

    jwk = {name: jwk_of(KEY, "key-1")[name] for name in ("kty", "n", "e")}
    return RSAKey.import_key(jwk)


P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ED_ORDER = 2**252 + 27742317777372353535851937790883648493


def ec_token(change: Callable[[bytes], bytes]) -> str:
    text = ISSUER.token(kid="ec")
    signing_input, _, signature = text.rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    return f"{signing_input}.{b64(change(raw))}"


def _der(_: bytes) -> bytes:
    signing_input = ISSUER.token(kid="ec").rpartition(".")[0]
    return make_key("ES256").sign(signing_input.encode(), ec.ECDSA(hashes.SHA256()))


def _plus_order(raw: bytes) -> bytes:
    s = int.from_bytes(raw[32:], "big") + P256_ORDER
    return raw[:32] + s.to_bytes(33, "big")


EC_SIGNATURES: dict[str, Callable[[bytes], bytes]] = {
    "zero": lambda _: bytes(64),
    "the order": lambda _: P256_ORDER.to_bytes(32, "big") * 2,
    "r zero": lambda raw: bytes(32) + raw[32:],
    "s zero": lambda raw: raw[:32] + bytes(32),
    "DER": _der,
    "s + n": _plus_order,
    "66 bytes": lambda raw: b"\0" + raw[:32] + b"\0" + raw[32:],
    "132 bytes": lambda raw: bytes(34) + raw[:32] + bytes(34) + raw[32:],
    "63 bytes": lambda raw: raw[1:],
    "one byte more": lambda raw: raw + b"\0",
}


@pytest.mark.parametrize("change", EC_SIGNATURES.values(), ids=EC_SIGNATURES)
def test_oidc_10_an_ecdsa_signature_that_is_none(
    change: Callable[[bytes], bytes],
) -> None:
    """CVE-2022-21449, "psychic signatures", and encodings beside the one allowed."""
    assert reason_of(ec_token(change), ISSUER) is OidcReason.BAD_SIGNATURE


def test_oidc_10_der_made_for_this_very_text_is_no_jws_signature() -> None:
    signing_input = ISSUER.token(kid="ec").rpartition(".")[0]
    der = make_key("ES256").sign(signing_input.encode(), ec.ECDSA(hashes.SHA256()))
    assert decode_dss_signature(der)
    token = f"{signing_input}.{b64(der)}"
    assert reason_of(token, ISSUER) is OidcReason.BAD_SIGNATURE


def test_oidc_10_the_twin_of_an_ecdsa_signature_also_verifies() -> None:
    """Why nothing may use the signature or the text of a token as a replay key."""

    def twin(raw: bytes) -> bytes:
        s = P256_ORDER - int.from_bytes(raw[32:], "big")
        return raw[:32] + s.to_bytes(32, "big")

    assert accepted(ec_token(twin), ISSUER).subject == "alice"


def ed_token(change: Callable[[bytes], bytes]) -> str:
    signing_input, _, signature = ISSUER.token(kid="ed").rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    return f"{signing_input}.{b64(change(raw))}"


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: (
            raw[:32]
            + (int.from_bytes(raw[32:], "little") + ED_ORDER).to_bytes(32, "little")
        ),
        lambda raw: bytes(32) + raw[32:],
        lambda raw: b"\x01" + bytes(31) + raw[32:],
        lambda _: b"\x01" + bytes(63),
        lambda _: bytes(64),
        lambda raw: raw + b"\0",
        lambda raw: raw[:-1],
    ],
)
def test_oidc_10_an_eddsa_signature_that_is_none(
    change: Callable[[bytes], bytes],
) -> None:
    assert reason_of(ed_token(change), ISSUER) is OidcReason.BAD_SIGNATURE


def test_oidc_10_an_eddsa_signature_with_a_small_order_r() -> None:
    """The key's owner can make one that plain verification takes (RFC 8032 5.1.7)."""
    key = make_key("EdDSA")
    seed = hashlib.sha512(key.private_bytes_raw()).digest()
    scalar = int.from_bytes(seed[:32], "little") & ((1 << 254) - 8) | (1 << 254)
    signing_input = ISSUER.token(kid="ed").rpartition(".")[0]
    identity = b"\x01" + bytes(31)
    public = key.public_key().public_bytes_raw()
    digest = hashlib.sha512(identity + public + signing_input.encode()).digest()
    s = int.from_bytes(digest, "little") * scalar % ED_ORDER
    crafted = identity + s.to_bytes(32, "little")
    key.public_key().verify(crafted, signing_input.encode())  # plain verification
    token = f"{signing_input}.{b64(crafted)}"
    assert reason_of(token, ISSUER) is OidcReason.BAD_SIGNATURE


def test_oidc_10_a_published_small_order_key_verifies_nothing() -> None:
    """With such a key, 64 fixed bytes are a signature of every message."""
    jwk = {"kty": "OKP", "crv": "Ed25519", "kid": "weak", "x": b64(b"\x01" + bytes(31))}
    keys = parse_jwks(json.dumps({"keys": [jwk]}).encode())
    token = unsigned({"alg": "EdDSA", "kid": "weak"}, b64(b"\x01" + bytes(63)))
    assert reason_of(token, ISSUER, keys=keys) is OidcReason.UNKNOWN_KEY


@rows("algorithm, kid")
def test_oidc_11_an_algorithm_of_another_key_type(algorithm: str, kid: str) -> None:
    key = ISSUER.keys[kid][0]
    header = {"alg": algorithm, "kid": kid}
    text = compact(header, ISSUER.claims(), key, ISSUER.keys[kid][1])
    assert reason_of(text, ISSUER) is OidcReason.KEY_DOES_NOT_FIT


def test_oidc_11_a_key_that_names_another_algorithm() -> None:
    keys = parse_jwks(
        json.dumps({"keys": [jwk_of(KEY, "key-1", alg="RS512")]}).encode()
    )
    assert reason_of(ISSUER.token(), ISSUER, keys=keys) is OidcReason.KEY_DOES_NOT_FIT


def test_oidc_11_rsa_signatures_of_one_scheme_are_none_of_the_other() -> None:
    signing_input = ISSUER.token(header={"alg": "PS256"}).rpartition(".")[0]
    wrong = sign(KEY, "RS256", signing_input.encode())
    token = f"{signing_input}.{b64(wrong)}"
    assert reason_of(token, ISSUER) is OidcReason.BAD_SIGNATURE


@rows("type_")
def test_oidc_12_a_token_of_another_type(type_: object) -> None:
    assert reason_of(with_header(typ=type_), ISSUER) is NOT_A_JWT
