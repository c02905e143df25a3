"""xmlsec judges every signature that the broker judges, and neither passes alone.

xmlsec canonicalises, digests and verifies by itself, as it did in the broker once. The
documents are signed in every permitted way; the mutants change one to three places of
one, most of them so that nothing of what is signed changes or so that it nearly does not.
"""

import random
import re
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import xmlsec
from lxml import etree
from lxml.etree import _Element

from broker.protocols.saml.algorithms import AlgorithmPolicy
from broker.protocols.saml.conditions import SamlOptions
from broker.protocols.saml.errors import SamlReason, SamlRejected
from broker.protocols.saml.gate import parse_strictly
from broker.protocols.saml.metadata import IdpMetadata, parse_metadata
from broker.protocols.saml.response import read_envelope
from broker.protocols.saml.verify import _verify_plain
from tests.support.effort import examples
from tests.support.saml_check import expected
from tests.support.saml_idp import (
    DS,
    ENVELOPED,
    EXC_C14N,
    MORE,
    MORE_2007,
    NOW,
    NS,
    XENC,
    KeyPair,
    build_document,
    key_pair,
    metadata_xml,
)

KINDS = {
    "rsa2048": [
        *(f"{MORE}rsa-sha{bits}" for bits in (256, 384, 512)),
        *(f"{MORE_2007}sha{bits}-rsa-MGF1" for bits in (256, 384, 512)),
        f"{DS}rsa-sha1",
    ],
    **{
        curve: [f"{MORE}ecdsa-sha{bits}" for bits in (256, 384, 512)]
        for curve in ("p256", "p384", "p521")
    },
}
DIGESTS = [f"{XENC}sha256", f"{MORE}sha384", f"{XENC}sha512"]
METHODS = [(kind, name) for kind, names in KINDS.items() for name in names]
FORMS: dict[str, dict[str, Any]] = {
    "assertion": {},
    "response": {"sign": "response"},
    "both": {"sign": "both"},
    "prefixes": {"signature": {"prefixes": "xs #default saml"}, "declare_xs": True},
    "typed values": {"declare_xs": True},
    "with comments": {
        "signature": {
            "c14n": f"{EXC_C14N}WithComments",
            "transforms": (ENVELOPED, f"{EXC_C14N}WithComments"),
        }
    },
    "a comment": {"attribute_xml": "<!-- c --><saml:Attribute Name='x'/>"},
    "white space": {"attribute_xml": " \n\t<saml:Attribute Name='x'/>\r\n"},
    "other characters": {"attributes": {"x": ["\u00e9\U0001f600<&>\"'\t"]}},
}
OPTIONS = SamlOptions(algorithms=AlgorithmPolicy(allow_sha1=True))
MUTANTS_OF_A_DOCUMENT = 8


def sign(kind: str, algorithm: str, digest: str, form: str) -> str:
    knobs = {key: value for key, value in FORMS[form].items() if key != "signature"}
    signature = {"algorithm": algorithm, "digest": digest}
    signature |= FORMS[form].get("signature", {})
    root = build_document(
        signing_key=key_pair(f"oracle-{kind}", kind), signature=signature, **knobs
    )
    return etree.tostring(root, encoding="unicode")


def metadata_of(kind: str) -> IdpMetadata:
    pairs = [key_pair("another"), key_pair(f"oracle-{kind}", kind)]
    return parse_metadata(metadata_xml(*pairs), now=NOW)


def judge(text: str, metadata: IdpMetadata) -> tuple[SamlReason | None, str]:
    """Why the broker refuses the signatures, and else what it would read."""
    try:
        envelope = read_envelope(parse_strictly(text))
        signed, _ = _verify_plain(envelope, metadata, expected(options=OPTIONS))
    except SamlRejected as error:
        return error.reason, ""
    return None, etree.tostring(signed.element, method="c14n").decode()


def xmlsec_verifies(text: str, pair: KeyPair) -> bool:
    """Whether every signature of the Response and its assertion is good."""
    root = etree.fromstring(text.encode())
    elements = [root, *root.iterfind("saml:Assertion", NS)]
    signatures = [
        (element, signature)
        for element in elements
        for signature in element.iterfind("ds:Signature", NS)
    ]
    return bool(signatures) and all(
        _xmlsec_verifies(element, signature, pair) for element, signature in signatures
    )


def _xmlsec_verifies(element: _Element, signature: _Element, pair: KeyPair) -> bool:
    context = xmlsec.SignatureContext()
    context.key = xmlsec.Key.from_memory(
        pair.public_pem, xmlsec.constants.KeyDataFormatPem
    )
    context.register_id(element, "ID")
    try:
        context.verify(signature)
    except (xmlsec.Error, ValueError):
        return False
    return True


def agree(text: str, kind: str, metadata: IdpMetadata) -> SamlReason | None:
    """The broker's judgement, which xmlsec shares as far as it has one."""
    reason, read = judge(text, metadata)
    comments = "WithComments" in text and "<!--" in text  # see below
    if reason in {None, SamlReason.SIGNATURE_INVALID} and not comments:
        verified = xmlsec_verifies(text, key_pair(f"oracle-{kind}", kind))
        assert verified is (reason is None), text
    if reason is None:
        # What is read is what stands in the one assertion, but for its signature.
        root = etree.fromstring(text.encode())
        (assertion,) = root.iterfind("saml:Assertion", NS)
        assert texts_of(etree.fromstring(read)) == texts_of(assertion), text
    return reason


def texts_of(assertion: _Element) -> list[tuple[str, str | None]]:
    return [
        (str(node.tag), node.text)
        for node in assertion.iter("{%s}*" % NS["saml"])  # noqa: UP031  # a brace each
    ]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("kind", "algorithm"), METHODS)
def test_every_permitted_signature_is_good_for_both(
    kind: str, algorithm: str, form: str
) -> None:
    metadata = metadata_of(kind)
    for digest in DIGESTS:
        text = sign(kind, algorithm, digest, form)
        assert agree(text, kind, metadata) is None


def test_a_comment_in_what_is_signed_with_comments_is_refused() -> None:
    """xmlsec leaves comments out and libxml2 keeps them: what was signed is unclear."""
    text = sign("rsa2048", KINDS["rsa2048"][0], DIGESTS[0], "with comments")
    commented = text.replace("<saml:Subject>", "<!-- c --><saml:Subject>")
    metadata, pair = metadata_of("rsa2048"), key_pair("oracle-rsa2048")
    assert commented != text
    assert judge(text, metadata)[0] is None
    assert judge(commented, metadata)[0] is SamlReason.SIGNATURE_INVALID
    assert xmlsec_verifies(commented, pair)


Mutation = Callable[[str, random.Random], str]
PIECES = re.compile(
    r"(?P<name>(?<=[<\s/])[A-Za-z]+:[A-Za-z]+)|(?P<value>\"[^\"]*\")|(?P<text>(?<=>)[^<>]+)"
)


def at_a_piece(change: Callable[[str, random.Random], str]) -> Mutation:
    """Change a name, an attribute's value or a text."""

    def mutate(text: str, draw: random.Random) -> str:
        pieces = [*PIECES.finditer(text)]
        start, end = draw.choice(pieces).span()
        return text[:start] + change(text[start:end], draw) + text[end:]

    return mutate


def _flip(piece: str, draw: random.Random) -> str:
    at = draw.randrange(len(piece))
    return piece[:at] + draw.choice("aAzZ09=+/ \n:_-#") + piece[at + 1 :]


def _refer(piece: str, draw: random.Random) -> str:
    at = draw.randrange(len(piece))
    letter = draw.choice([f"&#{ord(piece[at])};", f"&#x{ord(piece[at]):X};"])
    return piece[:at] + letter + piece[at + 1 :]


def _insert(*choices: str) -> Callable[[str, random.Random], str]:
    def change(piece: str, draw: random.Random) -> str:
        at = draw.randrange(len(piece) + 1)
        return piece[:at] + draw.choice(choices) + piece[at:]

    return change


def _in_a_tag(*choices: str) -> Mutation:
    def mutate(text: str, draw: random.Random) -> str:
        ends = [m.start() for m in re.finditer(r"(?<=[A-Za-z\"])/?>", text)]
        at = draw.choice(ends)
        return text[:at] + draw.choice(choices) + text[at:]

    return mutate


def _between_tags(*choices: str) -> Mutation:
    def mutate(text: str, draw: random.Random) -> str:
        at = draw.choice([m.start() for m in re.finditer("<", text)][1:])
        return text[:at] + draw.choice(choices) + text[at:]

    return mutate


def _an_element(change: Callable[[_Element, random.Random], None]) -> Mutation:
    def mutate(text: str, draw: random.Random) -> str:
        root = etree.fromstring(text.encode())
        change(draw.choice([*root.iter("*")][1:]), draw)
        return etree.tostring(root, encoding="unicode")

    return mutate


def _drop(element: _Element, _: random.Random) -> None:
    parent = element.getparent()
    if parent is not None:
        parent.remove(element)


def _repeat(element: _Element, _: random.Random) -> None:
    element.addnext(etree.fromstring(etree.tostring(element, with_tail=False)))


def _reorder_attributes(element: _Element, draw: random.Random) -> None:
    items = [(str(name), str(value)) for name, value in element.attrib.items()]
    element.attrib.clear()
    for name, value in draw.sample(items, len(items)):
        element.set(name, value)


def _swap_value(text: str, draw: random.Random) -> str:
    values = [
        f"{DS}enveloped-signature",
        EXC_C14N,
        f"{EXC_C14N}WithComments",
        "http://www.w3.org/TR/2001/REC-xml-c14n-20010315",
        *DIGESTS,
        *(algorithm for _, algorithm in METHODS),
    ]
    present = [value for value in values if f'"{value}"' in text]
    old = draw.choice(present)
    return text.replace(f'"{old}"', f'"{draw.choice(values)}"', draw.choice((1, -1)))


def _fold_base64(text: str, draw: random.Random) -> str:
    def fold(match: re.Match[str]) -> str:
        at = draw.randrange(len(match[2]) + 1)
        return f"{match[1]}{match[2][:at]}{draw.choice((' ', chr(10), '&#13;', '='))}{match[2][at:]}<"

    return re.sub(r"(<ds:(?:Digest|Signature)Value>)([^<]*)<", fold, text)


def _quote_otherwise(text: str, draw: random.Random) -> str:
    values = [*re.finditer(r"\"[^\"']*\"", text)]
    start, end = draw.choice(values).span()
    return f"{text[:start]}'{text[start + 1 : end - 1]}'{text[end:]}"


def _rename_prefix(text: str, _: random.Random) -> str:
    return text.replace("ds:", "dsig:").replace("xmlns:ds=", "xmlns:dsig=")


MUTATIONS: dict[str, Mutation] = {
    "a character": at_a_piece(_flip),
    "a character reference": at_a_piece(_refer),
    "white space": at_a_piece(_insert(" ", "\n", "\t", "&#13;", "&#xA;")),
    "a comment in a text": at_a_piece(_insert("<!-- -->", "<![CDATA[]]>")),
    "space in a tag": _in_a_tag(" ", "\n\t"),
    "a namespace": _in_a_tag(
        ' xmlns:z="urn:z"', ' xmlns=""', f' xmlns:saml="{NS["saml"]}"', ' xmlns="urn:z"'
    ),
    "an attribute": _in_a_tag(' xml:lang="en"', ' xml:space="preserve"', ' z="1"'),
    "between tags": _between_tags("<!-- c -->", " ", "\n", "z", "<z/>", "<?z?>"),
    "without an element": _an_element(_drop),
    "an element twice": _an_element(_repeat),
    "attributes in another order": _an_element(_reorder_attributes),
    "another algorithm": _swap_value,
    "folded base64": _fold_base64,
    "other quotes": _quote_otherwise,
    "another prefix": _rename_prefix,
}


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("mutation", MUTATIONS)
def test_mutants_are_judged_alike(mutation: str) -> None:
    """Whatever only the broker refuses, it refuses for the form of the document."""
    draw, judgements = random.Random(mutation), []
    for kind, form in product(KINDS, FORMS):
        metadata = metadata_of(kind)
        text = sign(kind, draw.choice(KINDS[kind]), draw.choice(DIGESTS), form)
        for _ in range(examples(MUTANTS_OF_A_DOCUMENT)):
            mutant = MUTATIONS[mutation](text, draw)
            for _ in range(draw.choice((0, 0, 1, 2))):
                more = MUTATIONS[draw.choice([*MUTATIONS])]
                try:
                    mutant = more(mutant, draw)
                except (etree.XMLSyntaxError, IndexError):
                    continue
            judgements.append(agree(mutant, kind, metadata))
    assert len(judgements) == len(KINDS) * len(FORMS) * examples(MUTANTS_OF_A_DOCUMENT)


def test_the_mutants_are_neither_all_good_nor_all_bad() -> None:
    draw, text = (
        random.Random(1),
        sign("rsa2048", *(KINDS["rsa2048"][0], DIGESTS[0]), "both"),
    )
    reasons = {
        agree(mutate(text, draw), "rsa2048", metadata_of("rsa2048"))
        for mutate in MUTATIONS.values()
        for _ in range(20)
    }
    assert {
        None,
        SamlReason.SIGNATURE_INVALID,
        SamlReason.SIGNATURE_STRUCTURE,
    } < reasons
