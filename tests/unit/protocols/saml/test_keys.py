"""Keys: what verifies a signature, and what AddPrivateKey takes."""

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from broker.protocols.saml.algorithms import SIGNATURE_METHODS
from broker.protocols.saml.errors import PrivateKeyRejected
from broker.protocols.saml.keys import SigningKey, parse_certificate, parse_private_key
from tests.support.saml_idp import MORE, MORE_2007, KeyPair, key_pair

PEM = key_pair("decryption").private_pem


def _rewritten(form: PrivateFormat, password: bytes | None = None) -> bytes:
    key = load_pem_private_key(PEM, None)
    assert isinstance(key, rsa.RSAPrivateKey)
    lock = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, form, lock)


def test_both_forms_of_pem_are_read_and_hidden() -> None:
    for pem in (PEM, _rewritten(PrivateFormat.TraditionalOpenSSL)):
        assert repr(parse_private_key(pem)) == "DecryptionKey()"


@pytest.mark.parametrize(
    "pem",
    [
        b"",
        b"hello",
        PEM[:-40],
        PEM + PEM,
        PEM + _rewritten(PrivateFormat.TraditionalOpenSSL),
        _rewritten(PrivateFormat.PKCS8, b"secret"),
        key_pair("ec", "p256").private_pem,
        key_pair("weak", "rsa1024").private_pem,
        Ed25519PrivateKey.generate().private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        ),
        key_pair("decryption").public_pem,
    ],
)
def test_other_keys_are_refused_with_aws_text(pem: bytes) -> None:
    with pytest.raises(PrivateKeyRejected) as refusal:
        parse_private_key(pem)
    assert refusal.value.message == "Invalid private key."
    assert "BEGIN" not in refusal.value.detail


TEXT = b"SignedInfo"
SHA256 = hashes.SHA256()


def signing_key(pair: KeyPair) -> SigningKey:
    return parse_certificate(pair.certificate_base64, now=None, min_rsa=2048)


def test_an_ecdsa_signature_is_two_numbers_of_the_curves_length() -> None:
    pair = key_pair("ecdsa-form", "p256")
    private = load_pem_private_key(pair.private_pem, None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    encoded = private.sign(TEXT, ec.ECDSA(SHA256))
    r, s = (number.to_bytes(32, "big") for number in decode_dss_signature(encoded))
    key, method = signing_key(pair), SIGNATURE_METHODS[f"{MORE}ecdsa-sha256"]
    assert key.verifies(r + s, TEXT, method)
    for other in (encoded, r + b"\0" + s, b"\0" + r + s, s + r, r, b""):
        assert not key.verifies(other, TEXT, method)


@pytest.mark.parametrize("salt", [0, 20, 64, padding.PSS.MAX_LENGTH])
def test_a_pss_salt_has_the_digests_length(salt: int) -> None:
    pair = key_pair("pss-form")
    private = load_pem_private_key(pair.private_pem, None)
    assert isinstance(private, rsa.RSAPrivateKey)
    key, method = signing_key(pair), SIGNATURE_METHODS[f"{MORE_2007}sha256-rsa-MGF1"]
    for length, is_good in ((SHA256.digest_size, True), (salt, False)):
        scheme = padding.PSS(padding.MGF1(SHA256), length)
        signature = private.sign(TEXT, scheme, SHA256)
        assert key.verifies(signature, TEXT, method) is is_good


def test_a_key_verifies_nothing_under_a_method_of_another_kind() -> None:
    pair = key_pair("pss-form")
    private = load_pem_private_key(pair.private_pem, None)
    assert isinstance(private, rsa.RSAPrivateKey)
    signature = private.sign(TEXT, padding.PKCS1v15(), SHA256)
    key = signing_key(pair)
    for name, is_good in (("rsa-sha256", True), ("ecdsa-sha256", False)):
        method = SIGNATURE_METHODS[f"{MORE}{name}"]
        assert key.verifies(signature, TEXT, method) is is_good
