"""pysaml2's identity provider, given our metadata, signs and encrypts; we verify."""

import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from broker.protocols.saml.errors import SamlReason
from broker.protocols.saml.keys import (
    DecryptionKey,
    encryption_certificate,
    parse_private_key,
)
from broker.protocols.saml.metadata import IdpMetadata, parse_metadata
from broker.protocols.saml.sp_metadata import sp_metadata
from tests.support.saml_check import reason, verify
from tests.support.saml_idp import (
    ACS,
    AUDIENCE,
    NOW,
    NS,
    encode,
    encrypt_assertion,
    key_pair,
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it uses what cryptography is about to drop
    from saml2 import BINDING_HTTP_REDIRECT
    from saml2.config import IdPConfig
    from saml2.metadata import entity_descriptor
    from saml2.saml import NAMEID_FORMAT_PERSISTENT, NameID
    from saml2.server import Server

ENTITY_ID = "https://pysaml2.example/metadata"


@pytest.fixture(scope="module")
def key() -> DecryptionKey:
    return parse_private_key(key_pair("decryption").private_pem)


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, key: DecryptionKey
) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("pysaml2")
    pair = key_pair("pysaml2")
    (folder / "key.pem").write_bytes(pair.private_pem)
    (folder / "cert.pem").write_bytes(pair.certificate_pem)
    certificate = encryption_certificate(key, common_name="broker", not_before=NOW)
    (folder / "sp.xml").write_text(
        sp_metadata(
            entity_id=AUDIENCE, consumer_url=ACS, encryption_certificates=[certificate]
        )
    )
    config = IdPConfig().load(
        {
            "entityid": ENTITY_ID,
            "service": {
                "idp": {
                    "endpoints": {
                        "single_sign_on_service": [
                            ("https://pysaml2.example/sso", BINDING_HTTP_REDIRECT)
                        ]
                    },
                    "policy": {"default": {"lifetime": {"minutes": 15}}},
                }
            },
            "key_file": str(folder / "key.pem"),
            "cert_file": str(folder / "cert.pem"),
            "metadata": {"local": [str(folder / "sp.xml")]},
            "xmlsec_binary": "/usr/bin/xmlsec1",
        }
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield Server(config=config)


@pytest.fixture(scope="module")
def metadata(server: Server) -> IdpMetadata:
    return parse_metadata(str(entity_descriptor(server.config)), now=datetime.now(UTC))


def _respond(server: Server, **knobs: Any) -> str:
    return str(
        server.create_authn_response(
            identity={"mail": ["alice@example.com"]},
            in_response_to=None,
            destination=ACS,
            sp_entity_id=AUDIENCE,
            name_id=NameID(format=NAMEID_FORMAT_PERSISTENT, text="alice"),
            authn={"class_ref": "urn:oasis:names:tc:SAML:2.0:ac:classes:Password"},
            sign_alg="http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
            digest_alg="http://www.w3.org/2001/04/xmlenc#sha256",
            **knobs,
        )
    )


@pytest.mark.parametrize(
    ("sign_assertion", "sign_response"), [(True, False), (False, True), (True, True)]
)
def test_what_pysaml2_signs_is_accepted(
    server: Server, metadata: IdpMetadata, *, sign_assertion: bool, sign_response: bool
) -> None:
    response = _respond(
        server, sign_assertion=sign_assertion, sign_response=sign_response
    )
    proved = verify(encode(response), metadata=metadata, now=datetime.now(UTC))
    assert proved.subject == "alice"
    assert proved.issuer == ENTITY_ID


def test_its_signed_assertion_may_come_encrypted_with_its_own_prefixes(
    server: Server, metadata: IdpMetadata, key: DecryptionKey
) -> None:
    root = etree.fromstring(
        _respond(server, sign_assertion=True, sign_response=False).encode()
    )
    assertion = root.find("saml:Assertion", NS)
    assert assertion is not None
    assert assertion.prefix != "saml"
    encrypted = encrypt_assertion(
        etree.tostring(assertion, with_tail=False).decode(),
        key_pair("decryption").public_pem,
    )
    root.replace(assertion, etree.fromstring(encrypted))
    proved = verify(
        encode(root), metadata=metadata, now=datetime.now(UTC), decryption_keys=(key,)
    )
    assert (proved.subject, proved.is_encrypted) == ("alice", True)


def test_its_own_triple_des_is_refused(
    server: Server, metadata: IdpMetadata, key: DecryptionKey
) -> None:
    """pysaml2 7.5 knows no other content encryption; AWS does not take it either."""
    response = _respond(
        server, sign_assertion=True, sign_response=True, encrypt_assertion=True
    )
    saml_reason = reason(
        encode(response),
        metadata=metadata,
        now=datetime.now(UTC),
        decryption_keys=(key,),
    )
    assert saml_reason is SamlReason.ALGORITHM_NOT_ALLOWED
