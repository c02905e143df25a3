"""What is read is what was signed."""

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
from broker.protocols.saml.verify import _only_child, _read
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


def test_the_signed_element_is_another_document() -> None:
    root = build_document()
    assertion, signed = _verified(root)
    assert signed.element.getroottree() is not root.getroottree()
    name_id = assertion.find("saml:Subject/saml:NameID", NS)
    assert name_id is not None
    name_id.text = "admin"
    assert signed.element.findtext("saml:Subject/saml:NameID", namespaces=NS) == "alice"


def test_the_signed_issuer_must_be_the_one_whose_keys_were_tried() -> None:
    root = build_document()
    envelope = read_envelope(root)
    other = idp(entity_id="https://other.example").descriptors[0]
    signed = _verified(root)[1]
    with pytest.raises(SamlRejected) as refusal:
        _read(signed, envelope, other, expected())
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
