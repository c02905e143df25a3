"""SAML-23, 24: encryption is not authentication, and the opener is not an oracle."""

import base64
import copy
import re
from collections.abc import Callable
from typing import Any

import pytest
from lxml import etree

from broker.errors import BrokerError
from broker.proofs.saml import wire_error
from broker.protocols.saml.algorithms import AlgorithmPolicy
from broker.protocols.saml.conditions import SamlOptions
from broker.protocols.saml.errors import SamlReason as R
from broker.protocols.saml.errors import SamlRejected
from broker.protocols.saml.keys import DecryptionKey, parse_private_key
from tests.support.rows import cases
from tests.support.saml_check import reason, verify
from tests.support.saml_idp import (
    DS,
    MORE,
    NS,
    SAML,
    XENC,
    XENC11,
    assertion_xml,
    build_document,
    build_response,
    encode,
    encrypt_assertion,
    key_pair,
    response_xml,
    sign_element,
)

ALLOW_CBC = SamlOptions(algorithms=AlgorithmPolicy(allow_cbc=True))
OURS = key_pair("decryption")


@pytest.fixture(scope="module")
def key() -> DecryptionKey:
    return parse_private_key(OURS.private_pem)


def _encrypted(**knobs: Any) -> str:
    return build_response(encrypt_to=OURS.public_pem, **knobs)


@pytest.mark.parametrize("cipher", ["aes128-gcm", "aes256-gcm"])
@cases("transport")
@pytest.mark.parametrize("sign", ["assertion", "response", "both"])
def test_oaep_with_gcm_is_accepted(
    cipher: str, transport: dict[str, str], sign: str, key: DecryptionKey
) -> None:
    response = _encrypted(
        sign=sign, encryption={"cipher": XENC11 + cipher, **transport}
    )
    proved = verify(response, decryption_keys=(key,), encryption_required=True)
    assert proved.subject == "alice"
    assert proved.is_encrypted


@pytest.mark.parametrize("sibling", [True, False])
@pytest.mark.parametrize("type_", [None, XENC + "Element"])
def test_the_key_may_stand_beside_the_data(
    sibling: bool, type_: str | None, key: DecryptionKey
) -> None:
    response = _encrypted(encryption={"sibling_key": sibling, "type_": type_})
    assert reason(response, decryption_keys=(key,)) is None


def test_a_foreign_inner_prefix_is_no_obstacle(key: DecryptionKey) -> None:
    """python3-saml 1.16 re-parents the element and breaks the digest."""
    assertion = etree.fromstring(
        assertion_xml().replace("saml:", "ns1:").replace("xmlns:saml", "xmlns:ns1")
    )
    sign_element(assertion)
    encrypted = encrypt_assertion(etree.tostring(assertion).decode(), OURS.public_pem)
    response = encode(response_xml(encrypted))
    assert verify(response, decryption_keys=(key,)).subject == "alice"


IN_SCOPE = (
    ' xmlns:xs="http://www.w3.org/2001/XMLSchema"'
    ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
)


def _encrypted_in_place(
    change: Callable[[str], str] = lambda text: text,
    *,
    prefix: str = "saml:",
    sign: str = "assertion",
    prefixes: str | None = None,
) -> str:
    """As libxml2 writes an element down: without what its ancestors declare."""
    namespaces = IN_SCOPE if prefix else f'{IN_SCOPE} xmlns="{SAML}"'
    text = re.sub(r' xmlns:\w+="[^"]*"', "", assertion_xml(declare_xs=True))
    outside = f'<r xmlns:saml="{SAML}"{namespaces}>'
    root = etree.fromstring(f"{outside}{text.replace('saml:', prefix)}</r>")
    if sign == "assertion":
        sign_element(root[0], prefixes=prefixes)
    written = etree.tostring(root).decode().removeprefix(outside).removesuffix("</r>")
    encrypted = encrypt_assertion(change(written), OURS.public_pem)
    document = etree.fromstring(response_xml(encrypted, namespaces=namespaces))
    if sign == "response":
        sign_element(document)
    return encode(document)


@pytest.mark.parametrize("prefixes", [None, "xs", "xs xsi saml"])
def test_plaintext_may_use_the_prefixes_of_the_document(
    prefixes: str | None, key: DecryptionKey
) -> None:
    """XML Encryption, "Serializing XML": encrypted in place, read in place."""
    response = _encrypted_in_place(prefixes=prefixes)
    proved = verify(response, decryption_keys=(key,))
    assert proved.subject == "alice"


def test_plaintext_may_use_the_namespace_without_prefix(key: DecryptionKey) -> None:
    response = _encrypted_in_place(prefix="")
    assert verify(response, decryption_keys=(key,)).subject == "alice"


def test_under_a_signed_response_only_signed_prefixes_count(key: DecryptionKey) -> None:
    """What the signature does not cover must not say what a prefix means."""
    response = _encrypted_in_place(sign="response")
    assert reason(response, decryption_keys=(key,)) is R.DECRYPTION_FAILED
    plain = _encrypted_in_place(
        lambda text: text.replace(' xsi:type="xs:string"', ""), sign="response"
    )
    assert reason(plain, decryption_keys=(key,)) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text + text.replace("_a1", "_a2"),
        lambda text: "alice" + text,
        lambda text: text + "alice",
        lambda text: "</context>" + text + "<context>",
        lambda text: '<?xml version="1.0"?>' + text,
        lambda text: f"<saml:Advice>{text}</saml:Advice>",
        lambda text: text.replace("saml:Subject>", "nobody:Subject>"),
    ],
)
def test_in_the_document_plaintext_is_one_assertion_and_nothing_else(
    change: Callable[[str], str], key: DecryptionKey
) -> None:
    response = _encrypted_in_place(change)
    assert reason(response, decryption_keys=(key,)) is R.DECRYPTION_FAILED


def test_the_second_key_is_tried_and_no_third(key: DecryptionKey) -> None:
    other = parse_private_key(key_pair("other-decryption").private_pem)
    assert reason(_encrypted(), decryption_keys=(other, key)) is None
    assert (
        reason(_encrypted(), decryption_keys=(other, other, key)) is R.DECRYPTION_FAILED
    )


def test_required_encryption_refuses_a_plain_assertion(key: DecryptionKey) -> None:
    plain = build_response()
    assert (
        reason(plain, decryption_keys=(key,), encryption_required=True)
        is R.ENCRYPTION_REQUIRED
    )


def _plaintext(text: str) -> str:
    return encode(response_xml(encrypt_assertion(text, OURS.public_pem)))


def _signed_by(pair_name: str) -> str:
    assertion = etree.fromstring(assertion_xml())
    sign_element(assertion, key_pair(pair_name))
    return etree.tostring(assertion).decode()


def _tampered() -> str:
    return _signed_by("idp").replace("alice", "admin")


def _wrapped() -> str:
    inner = _signed_by("idp")
    return assertion_xml(assertion_id="_evil", subject="admin").replace(
        "</saml:Assertion>", f"<saml:Advice>{inner}</saml:Advice></saml:Assertion>"
    )


def _signed_response() -> str:
    root = etree.fromstring(response_xml(assertion_xml()))
    sign_element(root)
    return etree.tostring(root).decode()


def _advised() -> str:
    advice = f"<saml:Advice>{assertion_xml(assertion_id='_a2')}</saml:Advice>"
    outer = etree.fromstring(
        assertion_xml().replace("<saml:AuthnStatement", f"{advice}<saml:AuthnStatement")
    )
    sign_element(outer)
    return etree.tostring(outer).decode()


PLAINTEXTS = {
    "signed response": _signed_response(),
    "assertion in advice": _advised(),
    "unsigned": assertion_xml(),
    "attacker signed": _signed_by("attacker"),
    "tampered": _tampered(),
    "wrapped": _wrapped(),
    "two": _signed_by("idp") * 2,
    "doctype": "<!DOCTYPE r>" + _signed_by("idp"),
    "entity": '<!DOCTYPE r [<!ENTITY e "x">]><r>&e;</r>',
    "no xml": "hello",
    "blank": " ",
    "not an assertion": f'<saml:Advice xmlns:saml="{SAML}"/>',
    "response": response_xml(_signed_by("idp")),
    "other issuer": assertion_xml(issuer="https://other.example"),
    "encrypted again": encrypt_assertion(_signed_by("idp"), OURS.public_pem),
    "comment": _signed_by("idp").replace("alice", "al<!-- -->ice"),
    "utf-16": "<?xml version='1.0' encoding='utf-16'?>" + _signed_by("idp"),
}


def _flip(name: str, which: int, position: int) -> str:
    root = build_document(encrypt_to=OURS.public_pem)
    value = root.findall(".//xenc:CipherValue", NS)[which]
    raw = bytearray(base64.b64decode(value.text or ""))
    raw[position] ^= 1
    value.text = base64.b64encode(bytes(raw)).decode()
    assert name
    return encode(root)


CIPHERTEXTS = {
    "wrong key": build_response(encrypt_to=key_pair("somebody").public_pem),
    "key bit": _flip("key bit", 0, 20),
    "nonce bit": _flip("nonce bit", 1, 0),
    "data bit": _flip("data bit", 1, 100),
    "tag bit": _flip("tag bit", 1, -1),
}

FAILURES = {name: _plaintext(text) for name, text in PLAINTEXTS.items()} | CIPHERTEXTS


@pytest.mark.parametrize("response", FAILURES.values(), ids=FAILURES.keys())
def test_every_failure_after_the_key_was_used_looks_the_same(
    response: str, key: DecryptionKey
) -> None:
    """SAML-23, SAML-24: one reason and one wire text."""
    with pytest.raises(SamlRejected) as refusal:
        verify(response, decryption_keys=(key,))
    assert refusal.value.reason is R.DECRYPTION_FAILED
    seen: BrokerError = wire_error(refusal.value)
    assert (seen.code, seen.message) == (
        "InvalidIdentityToken",
        "Response signature invalid",
    )


def test_no_private_key_looks_like_the_wrong_one() -> None:
    assert reason(_encrypted()) is R.DECRYPTION_FAILED


def test_a_response_signature_over_the_ciphertext_is_checked_first(
    key: DecryptionKey,
) -> None:
    response = _encrypted(sign="response", signing_key=key_pair("attacker"))
    assert reason(response, decryption_keys=(key,)) is R.SIGNATURE_INVALID
    assert (
        reason(
            _encrypted(sign="response", response={"issuer": None}),
            decryption_keys=(key,),
        )
        is R.ISSUER_UNKNOWN
    )


def test_a_swapped_ciphertext_breaks_the_response_signature(key: DecryptionKey) -> None:
    root = build_document(encrypt_to=OURS.public_pem, sign="response")
    other = encrypt_assertion(assertion_xml(subject="admin"), OURS.public_pem)
    encrypted = root.find("saml:EncryptedAssertion", NS)
    assert encrypted is not None
    root.replace(encrypted, etree.fromstring(other))
    assert reason(encode(root), decryption_keys=(key,)) is R.SIGNATURE_INVALID


@cases("encryption")
def test_weak_encryption_is_refused_before_any_key_is_used(
    encryption: dict[str, str], key: DecryptionKey
) -> None:
    """SAML-24: by what the message itself shows."""
    root = build_document(encrypt_to=OURS.public_pem)
    text = etree.tostring(root).decode()
    text = text.replace(
        XENC11 + "aes256-gcm", encryption.get("cipher", XENC11 + "aes256-gcm")
    ).replace(
        XENC + "rsa-oaep-mgf1p", encryption.get("transport", XENC + "rsa-oaep-mgf1p")
    )
    assert reason(encode(text), decryption_keys=(key,)) is R.ALGORITHM_NOT_ALLOWED


@pytest.mark.parametrize("cipher", ["aes128-cbc", "aes256-cbc"])
def test_cbc_needs_the_switch_and_a_signature_over_it(
    cipher: str, key: DecryptionKey
) -> None:
    encryption = {"cipher": XENC + cipher}
    for sign, accepted in (("assertion", False), ("response", True), ("both", True)):
        response = _encrypted(sign=sign, encryption=encryption)
        assert reason(response, decryption_keys=(key,)) is R.ALGORITHM_NOT_ALLOWED
        saml_reason = reason(response, decryption_keys=(key,), options=ALLOW_CBC)
        assert saml_reason is (None if accepted else R.ALGORITHM_NOT_ALLOWED)


def _changed(old: str, new: str) -> str:
    text = etree.tostring(build_document(encrypt_to=OURS.public_pem)).decode()
    assert old in text
    return encode(text.replace(old, new, 1))


@cases("old, new")
def test_odd_shapes_of_encryption_are_refused(
    old: str, new: str, key: DecryptionKey
) -> None:
    assert reason(_changed(old, new), decryption_keys=(key,)) is R.DECRYPTION_FAILED


def test_unknown_parameters_of_the_key_transport_are_refused(
    key: DecryptionKey,
) -> None:
    for extra in (
        f'<ds:DigestMethod xmlns:ds="{DS}" Algorithm="{MORE}md5"/>',
        f'<ds:DigestMethod xmlns:ds="{DS}" Algorithm="{DS}sha1"/>' * 2,
        '<xenc:OAEPparams xmlns:xenc="http://www.w3.org/2001/04/xmlenc#">QQ==</xenc:OAEPparams>',
        f'<m:MGF xmlns:m="{XENC11}" Algorithm="{XENC11}mgf1sha256"/>',
    ):
        response = _changed(
            f'<xenc:EncryptionMethod Algorithm="{XENC}rsa-oaep-mgf1p"/>',
            f'<xenc:EncryptionMethod Algorithm="{XENC}rsa-oaep-mgf1p">{extra}'
            "</xenc:EncryptionMethod>",
        )
        assert reason(response, decryption_keys=(key,)) is R.ALGORITHM_NOT_ALLOWED, (
            extra
        )


def test_plain_text_next_to_the_data_is_refused(key: DecryptionKey) -> None:
    root = build_document(encrypt_to=OURS.public_pem)
    root.append(etree.fromstring(_signed_by("idp")))
    assert reason(encode(root), decryption_keys=(key,)) is R.ASSERTION_COUNT


def _with_data(change: Callable[[etree._Element], None]) -> str:
    root = build_document(encrypt_to=OURS.public_pem)
    change(root)
    return encode(root)


def _find(root: etree._Element, path: str) -> etree._Element:
    element = root.find(path, NS)
    assert element is not None
    return element


def _displace_key(root: etree._Element) -> None:
    data = _find(root, ".//xenc:EncryptedData")
    properties = etree.SubElement(data, f"{{{XENC}}}EncryptionProperties")
    properties.append(_find(root, ".//xenc:EncryptedKey"))


def _add_child_to_value(root: etree._Element) -> None:
    etree.SubElement(_find(root, ".//xenc:CipherValue"), "x")


def _inject(root: etree._Element) -> None:
    value = _find(root, ".//xenc:CipherValue")
    value.text = "</xenc:CipherValue><x>" + (value.text or "")


def _drop_method(root: etree._Element) -> None:
    data = _find(root, ".//xenc:EncryptedData")
    data.remove(_find(data, "xenc:EncryptionMethod"))


def _double_method(root: etree._Element) -> None:
    data = _find(root, ".//xenc:EncryptedData")
    data.append(copy.deepcopy(_find(data, "xenc:EncryptionMethod")))


@pytest.mark.parametrize(
    "change",
    [_displace_key, _add_child_to_value, _inject, _drop_method, _double_method],
)
def test_displaced_and_injected_parts_are_refused(
    change: Callable[[etree._Element], None], key: DecryptionKey
) -> None:
    assert reason(_with_data(change), decryption_keys=(key,)) is R.DECRYPTION_FAILED


def test_a_signature_elsewhere_beside_ciphertext_is_refused(key: DecryptionKey) -> None:
    root = build_document(encrypt_to=OURS.public_pem)
    status = _find(root, "samlp:Status")
    status.set("ID", "_status")
    sign_element(status)
    assert reason(encode(root), decryption_keys=(key,)) is R.SIGNATURE_STRUCTURE
