"""What is read is what was signed, even if xmlsec and lxml should ever disagree."""

import copy

import pytest
from lxml.etree import _Element

from broker.protocols.saml.algorithms import AlgorithmPolicy
from broker.protocols.saml.errors import SamlReason, SamlRejected
from broker.protocols.saml.names import ASSERTION
from broker.protocols.saml.response import read_envelope
from broker.protocols.saml.signature import (
    SignedElement,
    find_signature,
    verify_signature,
)
from broker.protocols.saml.verify import _only_child, _read, _SignedAssertion
from tests.support.saml_check import expected, idp
from tests.support.saml_idp import NS, build_document


def _verified(root: _Element) -> tuple[_Element, SignedElement]:
    assertion = root.find("saml:Assertion", NS)
    assert assertion is not None
    signature = find_signature(assertion)
    assert signature is not None
    signed = verify_signature(
        assertion,
        signature,
        keys=idp().descriptors[0].signing_keys,
        policy=AlgorithmPolicy(),
    )
    return assertion, signed


def test_the_detached_element_is_another_document() -> None:
    root = build_document()
    assertion, signed = _verified(root)
    detached = signed.detach()
    assert detached.getroottree() is not root.getroottree()
    name_id = assertion.find("saml:Subject/saml:NameID", NS)
    assert name_id is not None
    name_id.text = "admin"
    assert detached.findtext("saml:Subject/saml:NameID", namespaces=NS) == "alice"


def test_bytes_that_do_not_hash_to_the_signed_digest_are_never_read() -> None:
    assertion, signed = _verified(build_document())
    name_id = assertion.find("saml:Subject/saml:NameID", NS)
    assert name_id is not None
    name_id.text = "admin"
    with pytest.raises(SamlRejected) as refusal:
        signed.detach()
    assert refusal.value.reason is SamlReason.SIGNATURE_INVALID


def test_the_signed_issuer_must_be_the_one_whose_keys_were_tried() -> None:
    root = build_document()
    envelope = read_envelope(root)
    other = idp(entity_id="https://other.example").descriptors[0]
    signed = _verified(root)[1]
    verified = _SignedAssertion(signed.detach(), signed.key)
    with pytest.raises(SamlRejected) as refusal:
        _read(verified, envelope, other, expected())
    assert refusal.value.reason is SamlReason.ISSUER_MISMATCH


@pytest.mark.parametrize("count", [0, 2])
def test_signed_bytes_hold_one_assertion_whatever_was_received(count: int) -> None:
    signed = build_document(sign="none")
    (assertion,) = signed.findall(ASSERTION)
    signed.remove(assertion)
    signed.extend(copy.deepcopy(assertion) for _ in range(count))
    with pytest.raises(SamlRejected) as refusal:
        _only_child(signed, ASSERTION)
    assert refusal.value.reason is SamlReason.ASSERTION_COUNT
