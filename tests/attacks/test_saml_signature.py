"""SAML-02, 07 to 12: signatures that are missing, odd, weak or someone else's."""

import base64
import copy
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from lxml import etree
from lxml.etree import _Element

from broker.protocols.saml.algorithms import AlgorithmPolicy
from broker.protocols.saml.conditions import SamlOptions
from broker.protocols.saml.errors import MetadataReason, MetadataRejected
from broker.protocols.saml.errors import SamlReason as R
from broker.protocols.saml.metadata import parse_metadata
from tests.support.rows import cases, rows
from tests.support.saml_check import idp, reason, verify
from tests.support.saml_idp import (
    DS,
    ENVELOPED,
    EXC_C14N,
    MORE,
    MORE_2007,
    NOW,
    NS,
    SHA256,
    XENC,
    build_document,
    build_response,
    encode,
    key_pair,
    make_key_pair,
    metadata_xml,
    sign_element,
)

ALLOW_SHA1 = SamlOptions(algorithms=AlgorithmPolicy(allow_sha1=True))


def _find(root: _Element, path: str) -> _Element:
    element = root.find(path, NS)
    assert element is not None
    return element


def _signed(change: Callable[[_Element], None]) -> str:
    root = build_document()
    change(root)
    return encode(root)


def test_no_signature_is_a_failure_not_a_skipped_check() -> None:
    """SAML-02."""
    assert reason(build_response(sign="none")) is R.UNSIGNED


@cases("path")
@pytest.mark.parametrize("sign", ["assertion", "response"])
def test_changed_content_is_refused(path: str, sign: str) -> None:
    root = build_document(sign=sign)
    _find(root, path).text = "admin"
    assert reason(encode(root)) is R.SIGNATURE_INVALID


def test_an_emptied_signature_is_refused() -> None:
    def clear(root: _Element) -> None:
        signature = _find(root, ".//ds:Signature")
        for child in list(signature):
            signature.remove(child)

    assert reason(_signed(clear)) is R.SIGNATURE_STRUCTURE


@pytest.mark.parametrize("path", ["ds:SignatureValue", "ds:SignedInfo/ds:Reference"])
def test_a_missing_piece_of_the_signature_is_refused(path: str) -> None:
    def drop(root: _Element) -> None:
        piece = _find(root, f".//ds:Signature/{path}")
        parent = piece.getparent()
        assert parent is not None
        parent.remove(piece)

    assert reason(_signed(drop)) is R.SIGNATURE_STRUCTURE


@pytest.mark.parametrize("name", ["SignatureValue", "DigestValue"])
@pytest.mark.parametrize("text", ["", " ", "@@@@", "AAAA", None])
def test_other_values_are_refused(name: str, text: str | None) -> None:
    def change(root: _Element) -> None:
        element = _find(root, f".//ds:{name}")
        element.text = text

    assert reason(_signed(change)) in {R.SIGNATURE_STRUCTURE, R.SIGNATURE_INVALID}


def test_one_flipped_bit_of_the_signature_is_refused() -> None:
    def flip(root: _Element) -> None:
        value = _find(root, ".//ds:SignatureValue")
        raw = bytearray(base64.b64decode(value.text or ""))
        raw[10] ^= 1
        value.text = base64.b64encode(bytes(raw)).decode()

    assert reason(_signed(flip)) is R.SIGNATURE_INVALID


@pytest.mark.parametrize("name", ["DigestValue", "SignatureValue"])
def test_nodes_inside_values_are_refused(name: str) -> None:
    """SAML-07: SAMLStorm hid a second digest behind a comment."""

    def comment(root: _Element) -> None:
        element = _find(root, f".//ds:{name}")
        hidden = etree.Comment("forged")
        hidden.tail, element.text = element.text, None
        element.append(hidden)

    def child(root: _Element) -> None:
        element = _find(root, f".//ds:{name}")
        etree.SubElement(element, "x").text = "QUJD"

    assert reason(_signed(comment)) is R.SPLIT_TEXT
    assert reason(_signed(child)) is R.SIGNATURE_STRUCTURE


def test_a_second_signed_info_is_refused() -> None:
    """SAML-07: CVE-2025-29774."""

    def double(root: _Element) -> None:
        info = _find(root, ".//ds:SignedInfo")
        info.addprevious(copy.deepcopy(info))

    assert reason(_signed(double)) is R.SIGNATURE_STRUCTURE


@pytest.mark.parametrize("uri", ["1", "x/y", "", "&#49;"])
def test_relative_namespaces_are_refused(uri: str) -> None:
    """SAML-08: what cannot be canonicalised must not count as empty."""
    text = etree.tostring(build_document()).decode()
    changed = text.replace("<saml:Subject>", f'<saml:Subject xmlns:a="{uri}">', 1)
    assert reason(encode(changed)) in {R.NAMESPACE, R.MALFORMED_XML}


def test_the_digest_of_nothing_is_refused() -> None:
    def empty(root: _Element) -> None:
        _find(
            root, ".//ds:DigestValue"
        ).text = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="

    assert reason(_signed(empty)) is R.SIGNATURE_INVALID


def test_a_look_alike_signature_namespace_is_no_signature() -> None:
    text = etree.tostring(build_document()).decode()
    forged = text.replace(f'"{DS}"', '"http://www.w3.org/2000/09/xmldsig"')
    assert reason(encode(forged)) is R.UNSIGNED


@pytest.mark.parametrize(
    "transforms",
    [
        ("http://www.w3.org/TR/1999/REC-xslt-19991116",),
        (ENVELOPED, "http://www.w3.org/TR/1999/REC-xpath-19991116"),
        (ENVELOPED, "http://www.w3.org/2002/06/xmldsig-filter2"),
        (ENVELOPED, DS + "base64"),
        (ENVELOPED, "urn:unknown"),
        (ENVELOPED,),
        (EXC_C14N,),
        (EXC_C14N, ENVELOPED),
        ("http://www.w3.org/TR/1999/REC-xpath-19991116", EXC_C14N),
        (ENVELOPED, "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"),
        (ENVELOPED, *[EXC_C14N] * 200),
        (),
    ],
)
def test_other_transforms_are_refused(transforms: tuple[str, ...]) -> None:
    """SAML-09: refused by what they are, before anything executes them."""

    def change(root: _Element) -> None:
        holder = _find(root, ".//ds:Transforms")
        for child in list(holder):
            holder.remove(child)
        for name in transforms:
            etree.SubElement(holder, f"{{{DS}}}Transform", Algorithm=name)

    assert reason(_signed(change)) in {R.SIGNATURE_STRUCTURE, R.ALGORITHM_NOT_ALLOWED}


@rows("uri")
def test_other_references_are_refused(uri: str | None) -> None:
    """SAML-09."""

    def change(root: _Element) -> None:
        reference = _find(root, ".//ds:Reference")
        if uri is None:
            del reference.attrib["URI"]
        else:
            reference.set("URI", uri)

    assert reason(_signed(change)) is R.SIGNATURE_STRUCTURE


def test_a_really_signed_whole_document_reference_is_refused() -> None:
    """SAML-09: the signature is good, its form is not."""
    root = build_document(sign="none")
    sign_element(root, None, template=None, key_info="", with_certificate=False)
    good = encode(root)
    assert reason(good) is None
    from tests.support.saml_idp import signature_template

    root = build_document(sign="none")
    sign_element(root, template=signature_template(""))
    assert reason(encode(root)) is R.SIGNATURE_STRUCTURE


@pytest.mark.parametrize("name", ["SignedInfo", "Reference", "Transforms", "Transform"])
def test_comments_in_a_signed_info_are_refused(name: str) -> None:
    """The canonical bytes, which are read, would have none."""

    def comment(root: _Element) -> None:
        _find(root, f".//ds:{name}").append(etree.Comment("c"))

    assert reason(_signed(comment)) is R.SIGNATURE_STRUCTURE


def test_two_references_are_refused() -> None:
    def double(root: _Element) -> None:
        reference = _find(root, ".//ds:Reference")
        reference.addnext(copy.deepcopy(reference))

    assert reason(_signed(double)) is R.SIGNATURE_STRUCTURE


def test_a_signed_object_and_a_manifest_are_refused() -> None:
    def add(root: _Element) -> None:
        etree.SubElement(_find(root, ".//ds:Signature"), f"{{{DS}}}Object")

    def manifest(root: _Element) -> None:
        _find(root, ".//ds:Reference").set("Type", DS + "Manifest")

    assert reason(_signed(add)) is R.SIGNATURE_STRUCTURE
    assert reason(_signed(manifest)) is R.SIGNATURE_STRUCTURE


@pytest.mark.parametrize(
    "c14n", ["http://www.w3.org/TR/2001/REC-xml-c14n-20010315", "urn:x", ""]
)
def test_other_canonicalisations_are_refused(c14n: str) -> None:
    def change(root: _Element) -> None:
        _find(root, ".//ds:CanonicalizationMethod").set("Algorithm", c14n)

    assert reason(_signed(change)) is R.ALGORITHM_NOT_ALLOWED


@rows("key_info")
def test_the_attackers_key_in_key_info_counts_for_nothing(key_info: str | None) -> None:
    """SAML-10: None means the attacker's own certificate."""
    attacker = key_pair("attacker")
    knobs = {} if key_info is None else {"key_info": key_info}
    response = build_response(signing_key=attacker, signature=knobs)
    assert reason(response) is R.SIGNATURE_INVALID


def test_a_certificate_with_the_providers_names_counts_for_nothing() -> None:
    """SAML-10: keys are compared, not names."""
    response = build_response(signing_key=make_key_pair(common_name="idp"))
    assert reason(response) is R.SIGNATURE_INVALID


def test_key_info_that_names_another_key_does_no_harm() -> None:
    certificate = key_pair("attacker").certificate_base64
    key_info = (
        "<ds:KeyInfo><ds:X509Data><ds:X509Certificate>"
        f"{certificate}</ds:X509Certificate></ds:X509Data></ds:KeyInfo>"
    )
    assert reason(build_response(signature={"key_info": key_info})) is None


@rows("algorithm, digest")
def test_weak_algorithms_are_refused_though_the_signature_is_good(
    algorithm: str, digest: str
) -> None:
    """SAML-11."""
    try:
        response = build_response(signature={"algorithm": algorithm, "digest": digest})
    except Exception:  # noqa: BLE001  # this build of xmlsec cannot even sign so

        def rename(root: _Element) -> None:
            _find(root, ".//ds:SignatureMethod").set("Algorithm", algorithm)
            _find(root, ".//ds:DigestMethod").set("Algorithm", digest)

        response = _signed(rename)
    assert reason(response) is R.ALGORITHM_NOT_ALLOWED


@pytest.mark.parametrize(
    "algorithm", [DS + "hmac-sha1", MORE + "hmac-sha256", DS + "dsa-sha1", "", "urn:x"]
)
def test_hmac_and_unknown_methods_are_refused(algorithm: str) -> None:
    """SAML-11: a public key is not an HMAC secret."""

    def change(root: _Element) -> None:
        method = _find(root, ".//ds:SignatureMethod")
        method.set("Algorithm", algorithm)
        etree.SubElement(method, f"{{{DS}}}HMACOutputLength").text = "8"

    assert reason(_signed(change)) is R.ALGORITHM_NOT_ALLOWED


def test_parameters_of_a_signature_method_are_refused() -> None:
    def change(root: _Element) -> None:
        method = _find(root, ".//ds:SignatureMethod")
        etree.SubElement(method, f"{{{DS}}}HMACOutputLength").text = "8"

    assert reason(_signed(change)) is R.ALGORITHM_NOT_ALLOWED


@pytest.mark.parametrize(
    "swapped",
    [MORE + "rsa-sha512", MORE + "ecdsa-sha256", MORE_2007 + "sha256-rsa-MGF1"],
)
def test_a_swapped_method_is_refused(swapped: str) -> None:
    def change(root: _Element) -> None:
        _find(root, ".//ds:SignatureMethod").set("Algorithm", swapped)

    assert reason(_signed(change)) is R.SIGNATURE_INVALID


def test_an_ecdsa_signature_of_zeros_is_refused() -> None:
    """SAML-11: CVE-2022-21449."""
    pair = key_pair("ec", "p256")
    metadata = parse_metadata(metadata_xml(pair), now=NOW)
    root = build_document(
        signing_key=pair, signature={"algorithm": MORE + "ecdsa-sha256"}
    )
    assert reason(encode(root), metadata=metadata) is None
    _find(root, ".//ds:SignatureValue").text = base64.b64encode(bytes(64)).decode()
    assert reason(encode(root), metadata=metadata) is R.SIGNATURE_INVALID


def test_sha1_passes_only_where_the_operator_allows_it() -> None:
    response = build_response(
        signature={"algorithm": DS + "rsa-sha1", "digest": DS + "sha1"}
    )
    assert reason(response) is R.ALGORITHM_NOT_ALLOWED
    assert reason(response, options=ALLOW_SHA1) is None


@cases("kind, algorithm")
@pytest.mark.parametrize("digest", [SHA256, MORE + "sha384", XENC + "sha512"])
def test_strong_algorithms_are_accepted(kind: str, algorithm: str, digest: str) -> None:
    pair = key_pair(f"strong-{kind}", kind)
    metadata = parse_metadata(metadata_xml(pair), now=NOW)
    response = build_response(
        signing_key=pair, signature={"algorithm": algorithm, "digest": digest}
    )
    assert verify(response, metadata=metadata).subject == "alice"


def test_either_of_several_registered_keys_verifies() -> None:
    """A roll-over needs both keys at once."""
    metadata = idp("idp", "next")
    for name in ("idp", "next"):
        response = build_response(signing_key=key_pair(name))
        assert reason(response, metadata=metadata) is None
    other = build_response(signing_key=key_pair("attacker"))
    assert reason(other, metadata=metadata) is R.SIGNATURE_INVALID


def test_a_weak_key_is_not_registered() -> None:
    """SAML-12."""
    text = metadata_xml(key_pair("weak", "rsa1024"))
    with pytest.raises(MetadataRejected) as refusal:
        parse_metadata(text, now=NOW)
    assert refusal.value.reason is MetadataReason.WEAK_KEY
    assert "1024" in refusal.value.message
    assert parse_metadata(text, now=NOW, legacy_rsa=True).descriptors


def test_xmlsec1_signs_what_is_accepted(tmp_path: Path) -> None:
    """The command-line program is a signer that shares nothing with the tests'."""
    from tests.support.saml_idp import signature_template

    pair = key_pair()
    root = build_document(sign="none")
    assertion = _find(root, "saml:Assertion")
    assertion.insert(1, etree.fromstring(signature_template("#_a1")))
    (tmp_path / "in.xml").write_bytes(etree.tostring(root))
    (tmp_path / "key.pem").write_bytes(pair.private_pem)
    subprocess.run(
        [
            "xmlsec1",
            "--sign",
            "--privkey-pem",
            tmp_path / "key.pem",
            "--id-attr:ID",
            "urn:oasis:names:tc:SAML:2.0:assertion:Assertion",
            "--output",
            tmp_path / "out.xml",
            tmp_path / "in.xml",
        ],
        check=True,
        capture_output=True,
    )
    assert reason(encode((tmp_path / "out.xml").read_bytes())) is None


@pytest.mark.parametrize("prefixes", ["xs", "xs xsi", "#default xs", "saml"])
@pytest.mark.parametrize("sign", ["assertion", "response", "both"])
def test_inclusive_namespaces_of_ancestors_are_honoured(
    prefixes: str, sign: str
) -> None:
    """Shibboleth declares ``xs`` at the top and lists it."""
    response = build_response(
        sign=sign,
        signature={"prefixes": prefixes},
        response={
            "namespaces": ' xmlns:xs="http://www.w3.org/2001/XMLSchema"'
            ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
        },
        attribute_xml='<saml:Attribute Name="mail"><saml:AttributeValue'
        ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
        ' xmlns:xs="http://www.w3.org/2001/XMLSchema"'
        ' xsi:type="xs:string">a@b</saml:AttributeValue></saml:Attribute>',
    )
    assert verify(response).attributes["mail"] == ("a@b",)


@pytest.mark.parametrize("prefixes", ["xs", "saml", "other", "#default", "#default xs"])
@pytest.mark.parametrize("sign", ["assertion", "response", "both"])
def test_prefixes_that_share_a_namespace_stay_apart(prefixes: str, sign: str) -> None:
    """What is signed holds prefixes, not only what they stand for."""
    response = build_response(
        sign=sign,
        signature={"prefixes": prefixes},
        response={
            "namespaces": ' xmlns="urn:oasis:names:tc:SAML:2.0:assertion"'
            ' xmlns:other="urn:oasis:names:tc:SAML:2.0:assertion"'
            ' xmlns:xs="http://www.w3.org/2001/XMLSchema"'
            ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
        },
        attribute_xml='<Attribute Name="mail"><s:AttributeValue'
        ' xmlns:s="urn:oasis:names:tc:SAML:2.0:assertion"'
        ' xmlns:t="http://www.w3.org/2001/XMLSchema-instance"'
        ' xmlns:xsd="http://www.w3.org/2001/XMLSchema"'
        ' t:type="xsd:string">a&#13;@b</s:AttributeValue></Attribute>',
    )
    assert verify(response).attributes["mail"] == ("a\r@b",)


@pytest.mark.parametrize("sign", ["assertion", "response"])
def test_white_space_behind_a_signature_stays_signed(sign: str) -> None:
    """Pretty-printed documents keep the text that follows the Signature."""

    def indent(assertion: _Element) -> None:
        etree.indent(assertion)

    root = build_document(sign="none", change_assertion=indent)
    target = root if sign == "response" else _find(root, "saml:Assertion")
    signature = sign_element(target)
    assert reason(encode(root)) is None
    signature.tail = "\n  "
    assert reason(encode(root)) is R.SIGNATURE_INVALID


def test_content_of_a_transform_is_refused() -> None:
    def xpath(root: _Element) -> None:
        transform = _find(root, ".//ds:Transform")
        etree.SubElement(transform, f"{{{DS}}}XPath").text = "self::x"

    assert reason(_signed(xpath)) is R.ALGORITHM_NOT_ALLOWED


@pytest.mark.parametrize("path", [".//ds:CanonicalizationMethod", ".//ds:Transform[2]"])
@cases("content")
def test_other_content_of_a_canonicalisation_is_refused(
    path: str, content: str
) -> None:
    def fill(root: _Element) -> None:
        _find(root, path).extend(etree.fromstring(f"<r>{content}</r>"))

    assert reason(_signed(fill)) is R.SIGNATURE_STRUCTURE


@pytest.mark.parametrize("name", ["SignatureValue", "DigestValue"])
def test_junk_in_base64_values_is_refused_before_any_key_is_tried(name: str) -> None:
    def add(root: _Element) -> None:
        value = _find(root, f".//ds:{name}")
        value.text = (value.text or "") + "@"

    assert reason(_signed(add)) is R.SIGNATURE_STRUCTURE


def test_content_of_a_digest_method_is_refused() -> None:
    def fill(root: _Element) -> None:
        etree.SubElement(_find(root, ".//ds:DigestMethod"), "x")

    assert reason(_signed(fill)) is R.ALGORITHM_NOT_ALLOWED
