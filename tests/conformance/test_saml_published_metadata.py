"""Metadata that pysaml2 and python3-saml signed is taken; what was changed is not."""

import warnings
from datetime import UTC, datetime
from pathlib import Path

import pytest
from onelogin.saml2.metadata import OneLogin_Saml2_Metadata

from broker.protocols.saml.errors import MetadataReason, MetadataRejected
from broker.protocols.saml.published_metadata import (
    PublishedMetadata,
    parse_signers,
    read_published_metadata,
)
from tests.support.saml_idp import ENTITY_ID, key_pair, make_key_pair, metadata_xml

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it uses what cryptography is about to drop
    from saml2 import BINDING_HTTP_REDIRECT
    from saml2.config import IdPConfig
    from saml2.metadata import entity_descriptor, sign_entity_descriptor
    from saml2.sigver import security_context
    from saml2.xmldsig import DIGEST_SHA256, SIG_RSA_SHA256

SIGNER = key_pair("publisher")
PYSAML2 = "https://pysaml2.example/metadata"


def by_python3_saml() -> str:
    signed = OneLogin_Saml2_Metadata.sign_metadata(
        metadata_xml(wrap=False),
        SIGNER.private_pem.decode(),
        SIGNER.certificate_pem.decode(),
    )
    return signed.decode() if isinstance(signed, bytes) else str(signed)


def by_pysaml2(folder: Path) -> str:
    (folder / "key.pem").write_bytes(SIGNER.private_pem)
    (folder / "cert.pem").write_bytes(SIGNER.certificate_pem)
    sso = [("https://pysaml2.example/sso", BINDING_HTTP_REDIRECT)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = IdPConfig().load(
            {
                "entityid": PYSAML2,
                "service": {"idp": {"endpoints": {"single_sign_on_service": sso}}},
                "key_file": str(folder / "key.pem"),
                "cert_file": str(folder / "cert.pem"),
                "xmlsec_binary": "/usr/bin/xmlsec1",
            }
        )
        _, document = sign_entity_descriptor(
            entity_descriptor(config),
            None,
            security_context(config),
            sign_alg=SIG_RSA_SHA256,
            digest_alg=DIGEST_SHA256,
        )
    return str(document)


def read(text: str, entity_id: str, pem: bytes) -> PublishedMetadata:
    return read_published_metadata(
        text,
        entity_ids={entity_id},
        signers=parse_signers(pem.decode()),
        now=datetime.now(UTC),
    )


@pytest.mark.parametrize("library", ["python3-saml", "pysaml2"])
def test_a_foreign_signature_verifies(library: str, tmp_path: Path) -> None:
    if library == "pysaml2":
        text, entity_id = by_pysaml2(tmp_path), PYSAML2
    else:
        text, entity_id = by_python3_saml(), ENTITY_ID
    published = read(text, entity_id, SIGNER.certificate_pem)
    (descriptor,) = published.metadata.descriptors
    assert descriptor.entity_id == entity_id
    assert descriptor.sso_endpoints
    for changed, pem in (
        (text.replace("/sso", "/SSO"), SIGNER.certificate_pem),
        (text, make_key_pair().certificate_pem),
    ):
        with pytest.raises(MetadataRejected) as refusal:
            read(changed, entity_id, pem)
        assert refusal.value.reason is MetadataReason.NOT_SIGNED
