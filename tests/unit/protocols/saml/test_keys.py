"""Decryption keys: what AddPrivateKey takes."""

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from broker.protocols.saml.errors import PrivateKeyRejected
from broker.protocols.saml.keys import parse_private_key
from tests.support.saml_idp import key_pair

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
