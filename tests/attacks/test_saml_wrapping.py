"""SAML-01, 03, 04, 05: signed content moved away from where values are read."""

import copy
from collections.abc import Callable

import pytest
from lxml import etree
from lxml.etree import _Element

from broker.protocols.saml.errors import SamlReason as R
from tests.support.saml_check import reason, verify
from tests.support.saml_idp import (
    DS,
    NS,
    SAML,
    SAMLP,
    assertion_xml,
    build_document,
    build_response,
    encode,
    encrypt_assertion,
    key_pair,
    response_xml,
    sign_element,
)

REFUSED_SHAPES = {R.ASSERTION_COUNT, R.SIGNATURE_STRUCTURE, R.STRUCTURE, R.IDS}


def _find(root: _Element, path: str) -> _Element:
    element = root.find(path, NS)
    assert element is not None
    return element


def _forged(assertion: _Element, *, new_id: str | None = "_evil") -> _Element:
    forged = copy.deepcopy(assertion)
    for signature in forged.findall("ds:Signature", NS):
        forged.remove(signature)
    if new_id:
        forged.set("ID", new_id)
    _find(forged, "saml:Subject/saml:NameID").text = "admin"
    return forged


def _xsw1(root: _Element) -> _Element:
    """The signed Response inside the Signature of a forged Response."""
    original = copy.deepcopy(root)
    original.remove(_find(original, "ds:Signature"))
    root.set("ID", "_evil_response")
    _find(root, "saml:Assertion/saml:Subject/saml:NameID").text = "admin"
    holder = etree.SubElement(_find(root, "ds:Signature"), f"{{{DS}}}Object")
    holder.append(original)
    return root


def _xsw2(root: _Element) -> _Element:
    """The signed Response in front of the Signature of a forged Response."""
    original = copy.deepcopy(root)
    original.remove(_find(original, "ds:Signature"))
    root.set("ID", "_evil_response")
    _find(root, "saml:Assertion/saml:Subject/saml:NameID").text = "admin"
    _find(root, "ds:Signature").addprevious(original)
    return root


def _xsw3(root: _Element) -> _Element:
    """A forged assertion before the signed one."""
    assertion = _find(root, "saml:Assertion")
    assertion.addprevious(_forged(assertion))
    return root


def _xsw4(root: _Element) -> _Element:
    """The signed assertion inside a forged one."""
    assertion = _find(root, "saml:Assertion")
    forged = _forged(assertion)
    assertion.addprevious(forged)
    forged.append(assertion)
    return root


def _xsw5(root: _Element) -> _Element:
    """The forged assertion keeps the Signature, the original goes to the end."""
    assertion = _find(root, "saml:Assertion")
    original = copy.deepcopy(assertion)
    original.remove(_find(original, "ds:Signature"))
    assertion.set("ID", "_evil")
    _find(assertion, "saml:Subject/saml:NameID").text = "admin"
    root.append(original)
    return root


def _xsw6(root: _Element) -> _Element:
    """The original inside the forged assertion's Signature."""
    assertion = _find(root, "saml:Assertion")
    original = copy.deepcopy(assertion)
    original.remove(_find(original, "ds:Signature"))
    assertion.set("ID", "_evil")
    _find(assertion, "saml:Subject/saml:NameID").text = "admin"
    _find(assertion, "ds:Signature").append(original)
    return root


def _xsw7(root: _Element) -> _Element:
    """A forged copy in Extensions."""
    assertion = _find(root, "saml:Assertion")
    extensions = etree.Element(f"{{{SAMLP}}}Extensions")
    root.insert(0, extensions)
    extensions.append(_forged(assertion, new_id=None))
    return root


def _xsw8(root: _Element) -> _Element:
    """The original in an Object of the forged assertion's Signature."""
    assertion = _find(root, "saml:Assertion")
    original = copy.deepcopy(assertion)
    original.remove(_find(original, "ds:Signature"))
    assertion.set("ID", "_evil")
    _find(assertion, "saml:Subject/saml:NameID").text = "admin"
    etree.SubElement(_find(assertion, "ds:Signature"), f"{{{DS}}}Object").append(
        original
    )
    return root


def _hidden_in(path: str) -> Callable[[_Element], _Element]:
    def wrap(root: _Element) -> _Element:
        assertion = _find(root, "saml:Assertion")
        forged = _forged(assertion)
        root.replace(assertion, forged)
        _find(root, path).append(assertion)
        return root

    return wrap


def _with_new_home(tag: str, parent: str) -> Callable[[_Element], _Element]:
    def wrap(root: _Element) -> _Element:
        assertion = _find(root, "saml:Assertion")
        forged = _forged(assertion)
        root.replace(assertion, forged)
        etree.SubElement(_find(root, parent), tag).append(assertion)
        return root

    return wrap


def _same_id(root: _Element) -> _Element:
    assertion = _find(root, "saml:Assertion")
    assertion.addnext(_forged(assertion, new_id=None))
    return root


def _moved_signature(root: _Element) -> _Element:
    """The Signature stands in the forged assertion and names the original's ID."""
    assertion = _find(root, "saml:Assertion")
    forged = _forged(assertion)
    forged.insert(1, _find(assertion, "ds:Signature"))
    extensions = etree.Element(f"{{{SAMLP}}}Extensions")
    root.replace(assertion, forged)
    root.insert(1, extensions)
    extensions.append(assertion)
    return root


def _look_alike(root: _Element) -> _Element:
    """The original stays valid under another element's name."""
    assertion = _find(root, "saml:Assertion")
    forged = _forged(assertion)
    root.replace(assertion, forged)
    other = etree.SubElement(root, "{urn:other}Assertion")
    other.append(assertion)
    return root


ASSERTION_SIGNED = [_xsw3, _xsw4, _xsw5, _xsw6, _xsw7, _xsw8]
HIDING_PLACES = [
    _hidden_in("samlp:Status"),
    _with_new_home(f"{{{SAMLP}}}StatusDetail", "samlp:Status"),
    _with_new_home(f"{{{SAML}}}Advice", "saml:Assertion"),
    _hidden_in(
        "saml:Assertion/saml:Subject/saml:SubjectConfirmation/saml:SubjectConfirmationData"
    ),
    _hidden_in(
        "saml:Assertion/saml:AttributeStatement/saml:Attribute/saml:AttributeValue"
    ),
    _same_id,
    _moved_signature,
    _look_alike,
]


@pytest.mark.parametrize("wrap", [*ASSERTION_SIGNED, *HIDING_PLACES])
@pytest.mark.parametrize("sign", ["assertion", "both"])
def test_a_wrapped_assertion_is_refused(
    wrap: Callable[[_Element], _Element], sign: str
) -> None:
    assert reason(encode(wrap(build_document(sign=sign)))) in REFUSED_SHAPES


@pytest.mark.parametrize("wrap", [_xsw1, _xsw2])
def test_a_wrapped_response_is_refused(wrap: Callable[[_Element], _Element]) -> None:
    document = build_document(sign="response")
    assert reason(encode(wrap(document))) in REFUSED_SHAPES


def test_a_signature_must_name_the_element_it_stands_in() -> None:
    """SAML-01: even when the named element carries a good digest."""
    root = build_document(sign="none")
    status = _find(root, "samlp:Status")
    status.set("ID", "_status")
    signature = sign_element(status)
    _find(root, "saml:Assertion").insert(1, signature)
    assert reason(encode(root)) is R.SIGNATURE_STRUCTURE


@pytest.mark.parametrize(
    "others",
    [
        assertion_xml(assertion_id="_a2", subject="admin"),
        '<x:Assertion xmlns:x="urn:x"/>',
        f'<saml:EncryptedAssertion xmlns:saml="{SAML}"/>',
    ],
)
def test_several_assertions_are_refused(others: str) -> None:
    """SAML-04: signed plus unsigned, look-alike or encrypted, in any order."""
    first = build_document()
    for position in (2, 3):
        root = copy.deepcopy(first)
        root.insert(position, etree.fromstring(others))
        assert reason(encode(root)) is R.ASSERTION_COUNT


def test_two_signed_assertions_are_refused() -> None:
    root = etree.fromstring(
        response_xml(assertion_xml(), assertion_xml(assertion_id="_a2", subject="bob"))
    )
    for assertion in root.findall("saml:Assertion", NS):
        sign_element(assertion)
    assert reason(encode(root)) is R.ASSERTION_COUNT


def test_a_second_encrypted_assertion_is_refused() -> None:
    root = build_document()
    encrypted = encrypt_assertion(assertion_xml(), key_pair("enc").public_pem)
    root.append(etree.fromstring(encrypted))
    assert reason(encode(root)) is R.ASSERTION_COUNT


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("Id", "_x"),
        ("id", "_x"),
        ("{http://www.w3.org/XML/1998/namespace}id", "_x"),
        ("{urn:other}ID", "_x"),
    ],
)
def test_another_spelling_of_id_is_refused(attribute: str, value: str) -> None:
    """SAML-05."""
    root = build_document(
        change_assertion=lambda assertion: assertion.set(attribute, value)
    )
    assert reason(encode(root)) is R.IDS


@pytest.mark.parametrize("assertion_id", ["", "1", "a b", "é", "x" * 300])
def test_a_malformed_id_is_refused(assertion_id: str) -> None:
    root = build_document(sign="none")
    assertion = _find(root, "saml:Assertion")
    assertion.set("ID", "_ok")
    sign_element(assertion)
    assertion.set("ID", assertion_id)
    _find(assertion, ".//ds:Reference").set("URI", f"#{assertion_id}")
    assert reason(encode(root)) is R.IDS


def test_a_missing_id_is_refused() -> None:
    root = build_document()
    del _find(root, "saml:Assertion").attrib["ID"]
    assert reason(encode(root)) is R.IDS
    root = build_document()
    del root.attrib["ID"]
    assert reason(encode(root)) is R.IDS


def test_equal_ids_are_refused_wherever_they_are() -> None:
    root = build_document(sign="none")
    _find(root, "saml:Assertion").set("ID", "_r1")
    sign_element(_find(root, "saml:Assertion"))
    assert reason(encode(root)) is R.IDS


@pytest.mark.parametrize("sign", ["assertion", "response", "both"])
def test_each_way_of_signing_is_accepted(sign: str) -> None:
    """SAML-03: a signature of the Response covers the assertion."""
    assert verify(build_response(sign=sign)).subject == "alice"


@pytest.mark.parametrize("broken", ["samlp:Response", "saml:Assertion"])
def test_one_broken_signature_of_two_refuses(broken: str) -> None:
    """SAML-03: every signature that is present must verify."""
    root = build_document(sign="none")
    assertion = _find(root, "saml:Assertion")
    wrong, right = key_pair("attacker"), key_pair()
    sign_element(assertion, wrong if broken == "saml:Assertion" else right)
    sign_element(root, wrong if broken == "samlp:Response" else right)
    assert reason(encode(root)) is R.SIGNATURE_INVALID


def test_two_signatures_in_one_assertion_are_refused() -> None:
    root = build_document()
    sign_element(_find(root, "saml:Assertion"))
    assert reason(encode(root)) is R.SIGNATURE_STRUCTURE


def test_a_signature_elsewhere_covers_nothing() -> None:
    """SAML-03: a signed Status does not sign the assertion."""
    root = build_document(sign="none")
    status = _find(root, "samlp:Status")
    status.set("ID", "_status")
    sign_element(status)
    assert reason(encode(root)) is R.SIGNATURE_STRUCTURE


def test_the_only_assertion_must_be_a_child_of_the_response() -> None:
    root = build_document()
    extensions = etree.Element(f"{{{SAMLP}}}Extensions")
    extensions.append(_find(root, "saml:Assertion"))
    root.insert(1, extensions)
    assert reason(encode(root)) is R.ASSERTION_COUNT
