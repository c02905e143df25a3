"""SAML-06, 13, 18, 21, 22, 27: what never becomes a tree, or only a refused one."""

import base64
import gzip
import zlib
from urllib.parse import quote

import pytest
from lxml import etree

from broker.protocols.saml.errors import SamlReason as R
from broker.protocols.saml.peek import peek_response
from tests.support.effort import cpu_at_most
from tests.support.rows import cases, of_file
from tests.support.saml_check import reason, verify
from tests.support.saml_idp import (
    DS,
    NS,
    SAML,
    SAMLP,
    assertion_xml,
    aws_attributes,
    build_document,
    build_response,
    encode,
    response_xml,
    sign_element,
)

XML = etree.tostring(build_document()).decode()


@pytest.mark.parametrize(
    "split",
    ["admin@x<!-- -->.evil", "<!-- -->admin", "admin<?pi x?>.evil", "<?pi?>admin"],
)
@pytest.mark.parametrize("sign", ["assertion", "response"])
@cases("c14n")
def test_texts_split_by_nodes_are_refused(split: str, sign: str, c14n: str) -> None:
    """SAML-06: CVE-2017-11427 and its family; the signature is good."""
    transforms = ("http://www.w3.org/2000/09/xmldsig#enveloped-signature", c14n)
    response = build_response(
        sign=sign, subject=split, signature={"transforms": transforms, "c14n": c14n}
    )
    assert reason(response) is R.SPLIT_TEXT


def test_a_comment_put_in_after_signing_is_refused() -> None:
    changed = XML.replace(">alice<", ">ali<!-- -->ce<")
    assert reason(encode(changed)) is R.SPLIT_TEXT


def test_cdata_and_child_elements_give_the_whole_text() -> None:
    assert verify(build_response(subject="a<![CDATA[dm]]>in")).subject == "admin"
    value = (
        '<saml:Attribute Name="id"><saml:AttributeValue>a<x xmlns="urn:x">b</x>c'
        "</saml:AttributeValue></saml:Attribute>"
    )
    attributes = verify(build_response(attribute_xml=value)).attributes
    assert attributes["id"] == ("abc",)


def test_comments_between_elements_do_no_harm() -> None:
    commented = XML.replace("<samlp:Status>", "<!-- made by us --><samlp:Status>")
    assert reason(encode(commented)) is None


_ENTITIES = of_file(__file__, "_ENTITIES")


@pytest.mark.parametrize("doctype", _ENTITIES.values(), ids=_ENTITIES.keys())
@pytest.mark.parametrize("declaration", ["", "<?xml version='1.0'?>\n"])
def test_any_doctype_is_refused(doctype: str, declaration: str) -> None:
    """SAML-13, SAML-07."""
    assert reason(encode(declaration + doctype + XML)) is R.DOCTYPE


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_other_encodings_are_refused(codec: str) -> None:
    text = '<?xml version="1.0"?><!DOCTYPE r>' + XML
    assert reason(encode(text.encode(codec))) in {R.NOT_UTF8, R.MALFORMED_XML}


@pytest.mark.parametrize(
    "named", ["UTF-7", "utf-16", "ISO-8859-1", "EBCDIC-CP-US", "x", ""]
)
def test_a_declared_other_encoding_is_refused(named: str) -> None:
    assert (
        reason(encode(f'<?xml version="1.0" encoding="{named}"?>{XML}')) is R.NOT_UTF8
    )


def test_utf8_with_or_without_declaration_and_mark_is_accepted() -> None:
    for start in ("", '<?xml version="1.0" encoding="utf-8"?>', "\ufeff"):
        assert reason(encode(start + XML)) is None


def test_xinclude_is_just_an_element() -> None:
    include = (
        '<saml:Attribute Name="x"><saml:AttributeValue>'
        '<xi:include xmlns:xi="http://www.w3.org/2001/XInclude"'
        ' href="file:///etc/passwd" parse="text"/>'
        "</saml:AttributeValue></saml:Attribute>"
    )
    assert verify(build_response(attribute_xml=include)).attributes["x"] == ("",)


@pytest.mark.parametrize("name", ["schemaLocation", "noNamespaceSchemaLocation"])
def test_a_hint_at_another_schema_is_not_followed(name: str) -> None:
    """libxml2 would open the file that the instance names."""
    hint = (
        ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
        f' xsi:{name}="{"urn:x " if name[0] == "s" else ""}file:///etc/passwd"'
    )
    assert reason(build_response(extra_attributes=hint)) is None


@pytest.mark.parametrize(
    "broken",
    [
        "",
        " ",
        "<",
        "x",
        XML[:-10],
        XML + XML,
        XML + "x",
        XML.replace(' Version="2.0"', ' Version="2.0" Version="2.0"', 1),
        XML.replace("alice", "al\x00ice"),
        XML.replace("alice", "al&#0;ice"),
        XML.replace("alice", "&undefined;"),
        XML.replace("alice", "\x0b"),
        XML.replace("<saml:Subject>", "<nope:Subject>"),
        "<?xml version='1.1'?>" + XML,
    ],
)
def test_broken_xml_is_refused(broken: str) -> None:
    """SAML-18."""
    assert reason(encode(broken)) in {R.MALFORMED_XML, R.NOT_BASE64}


_HOSTILE = {
    "deep": "<a>" * 24_000,
    "deep closed": "<a>" * 10_000 + "</a>" * 10_000,
    "wide": f"<r>{'<a/>' * 18_000}</r>",
    "attributes": "<r " + " ".join(f'a{n}=""' for n in range(7_000)) + "/>",
    "namespaces": "<r " + " ".join(f'xmlns:a{n}="urn:a"' for n in range(3_200)) + "/>",
    "comments": f"<r>{'<!---->' * 10_000}</r>",
    "signatures": f'<r xmlns:d="{DS}">{"<d:Signature/>" * 4_000}</r>',
    "text": f"<r>{'a' * 74_000}</r>",
    "entities": f"<r>{'&amp;' * 14_000}</r>",
    "ids": "<r>" + "".join(f'<a ID="i{n}"/>' for n in range(4_500)) + "</r>",
    "namespace prefixes": "<r a='" + "xmlns:" * 3_990 + "a" * 50_000 + "'/>",
    "namespace spaces": "<r a='" + "xmlns  " * 3_990 + " " * 40_000 + "'/>",
    "spaces in a signature value": XML.replace(
        "</ds:SignatureValue>", " " * 60_000 + "!</ds:SignatureValue>"
    ),
    "namespaced elements": "<r {}>{}</r>".format(
        " ".join(f'xmlns:a{n}="urn:a{n}"' for n in range(1_500)), "<a1:b/>" * 4_000
    ),
}


@pytest.mark.parametrize("text", _HOSTILE.values(), ids=_HOSTILE.keys())
def test_hostile_shapes_are_refused_in_time(text: str) -> None:
    """SAML-21: as large as the parameter may be."""
    response = encode(text)
    assert len(response) <= 100_000
    with cpu_at_most(500):
        assert reason(response) is not None


def test_many_signatures_are_not_even_tried() -> None:
    root = build_document(sign="both")
    signature = root.find(".//ds:Signature", NS)
    assert signature is not None
    root.append(etree.fromstring(etree.tostring(signature)))
    assert reason(encode(root)) is R.TOO_COMPLEX


def test_namespaces_times_elements_under_a_good_form_stay_cheap() -> None:
    """SAML-21: canonicalisation of what an attacker shapes, before any key fits."""
    declarations = "".join(f' xmlns:a{n}="urn:a{n}"' for n in range(1_200))
    values = "<saml:AttributeValue/>" * 800
    root = build_document(
        attribute_xml=f'<saml:Attribute Name="x">{values}</saml:Attribute>',
        response={"namespaces": declarations},
        signature={"key_info": ""},
    )
    name_id = root.find(".//saml:NameID", NS)
    assert name_id is not None
    name_id.text = "admin"
    response = encode(root)
    assert len(response) <= 100_000
    with cpu_at_most(500):
        assert reason(response) is R.SIGNATURE_INVALID


def test_the_size_limit_is_the_parameters() -> None:
    assert reason("A" * 100_001) is R.TOO_LARGE
    assert reason("A" * 100_000) is not R.TOO_LARGE


_GOOD = build_response()
_RAW = base64.b64decode(_GOOD)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "=",
        XML,
        "!" + _GOOD,
        _GOOD + "!",
        _GOOD + "====",
        _GOOD + "QQ==",
        _GOOD.rstrip("=") + "=" * 3,
        quote(_GOOD, safe=""),
        _GOOD[: len(_GOOD) // 2] + "-_" + _GOOD[len(_GOOD) // 2 :],
        _GOOD[:8] + "\x00" + _GOOD[8:],
        _GOOD[:8] + "\u00a0" + _GOOD[8:],
        "\uff21" + _GOOD[1:],
    ],
)
def test_anything_but_strict_base64_is_refused(text: str) -> None:
    """SAML-22."""
    assert reason(text) is R.NOT_BASE64


def test_stray_final_bits_are_refused() -> None:
    assert reason("QR==") is R.NOT_BASE64


@pytest.mark.parametrize(
    "raw",
    [
        base64.b64encode(_RAW),
        zlib.compress(_RAW),
        zlib.compress(_RAW)[2:-4],
        gzip.compress(_RAW),
        zlib.compress(b"<a>" * 1_000_000),
    ],
)
def test_nothing_is_inflated_or_decoded_twice(raw: bytes) -> None:
    """SAML-22: the POST binding knows no DEFLATE."""
    assert reason(encode(raw)) in {R.NOT_UTF8, R.MALFORMED_XML}


def test_white_space_inside_base64_is_dropped() -> None:
    wrapped = "\r\n".join(_GOOD[i : i + 76] for i in range(0, len(_GOOD), 76))
    assert reason(f"  {wrapped}\t\n") is None


@pytest.mark.parametrize(
    "document",
    [
        f'<samlp:LogoutResponse xmlns:samlp="{SAMLP}" ID="_r" Version="2.0"/>',
        f'<samlp:AuthnRequest xmlns:samlp="{SAMLP}" ID="_r" Version="2.0"/>',
        f'<samlp:ArtifactResponse xmlns:samlp="{SAMLP}">{XML}</samlp:ArtifactResponse>',
        '<p:Response xmlns:p="urn:oasis:names:tc:SAML:1.0:protocol" ResponseID="_r"/>',
        f'<Response xmlns="{SAML}" ID="_r" Version="2.0"/>',
        '<Response ID="_r" Version="2.0"/>',
        assertion_xml(),
    ],
)
def test_other_messages_are_refused(document: str) -> None:
    """SAML-27."""
    assert reason(encode(document)) is R.NOT_A_RESPONSE


def test_a_signed_bare_assertion_is_refused() -> None:
    root = etree.fromstring(assertion_xml())
    sign_element(root)
    assert reason(encode(root)) is R.NOT_A_RESPONSE


def test_a_response_without_assertion_is_refused() -> None:
    assert reason(encode(response_xml())) is R.ASSERTION_COUNT


def test_saml_1_1_versions_are_refused() -> None:
    assert reason(build_response(response={"version": "1.1"})) is R.NOT_A_RESPONSE
    assert reason(build_response(version="1.1")) is R.STRUCTURE


@cases("status")
@pytest.mark.parametrize("sign", ["assertion", "both"])
def test_any_status_but_success_is_refused(status: str | None, sign: str) -> None:
    """SAML-27: whatever else the Response carries."""
    response = build_response(sign=sign, response={"status": status})
    assert reason(response) is R.STATUS_NOT_SUCCESS


def test_two_statuses_are_refused() -> None:
    success = '<samlp:Status><samlp:StatusCode Value="urn:x"/></samlp:Status>'
    assert (
        reason(build_response(response={"extensions": success})) is R.STATUS_NOT_SUCCESS
    )


def test_a_foreign_child_of_the_response_is_refused() -> None:
    foreign = '<x:y xmlns:x="urn:x"/>'
    assert reason(build_response(response={"extensions": foreign})) is R.STRUCTURE


def test_only_twenty_providers_are_nominated() -> None:
    roles = [
        f"arn:aws:iam::{n:012d}:role/R,arn:aws:iam::{n:012d}:saml-provider/P"
        for n in range(30)
    ]
    response = build_response(
        attributes=aws_attributes(role=[*roles, roles[0], "junk"])
    )
    pairs = peek_response(response).role_pairs
    assert [pair.provider_arn[-30:] for pair in pairs] == [
        role.rpartition(",")[2][-30:] for role in roles[:20]
    ]


@pytest.mark.parametrize("text", ["<a>" * 24_000, "<a>" + "xmlns " * 4_001])
def test_tags_and_namespaces_are_counted_before_parsing(text: str) -> None:
    """SAML-21: neither text is even well-formed."""
    assert reason(encode(text)) is R.TOO_COMPLEX
