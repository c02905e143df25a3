"""See what is signed, and look once: a verified signature yields a new document.

The signed element and SignedInfo are canonicalised once each. Those bytes are digested,
compared, verified, and then parsed: whatever reads values reads what came of them, so no
position in the received tree can matter.
"""

import hmac
import re
from binascii import a2b_base64
from collections.abc import Sequence
from hashlib import new as new_digest
from itertools import islice

from lxml import etree
from lxml.etree import _Comment, _Element
from msgspec import Struct

from broker.protocols.saml.algorithms import (
    CANONICALISATIONS,
    ENVELOPED,
    AlgorithmPolicy,
    SignatureMethod,
)
from broker.protocols.saml.errors import SamlReason, SamlRejected
from broker.protocols.saml.gate import require_id
from broker.protocols.saml.keys import SigningKey
from broker.protocols.saml.names import DSIG, EXC_C14N, SIGNATURE

_SIGNED_INFO = f"{{{DSIG}}}SignedInfo"
_SIGNATURE_VALUE = f"{{{DSIG}}}SignatureValue"
_KEY_INFO = f"{{{DSIG}}}KeyInfo"
_CANONICALIZATION_METHOD = f"{{{DSIG}}}CanonicalizationMethod"
_SIGNATURE_METHOD = f"{{{DSIG}}}SignatureMethod"
_REFERENCE = f"{{{DSIG}}}Reference"
_TRANSFORMS = f"{{{DSIG}}}Transforms"
_TRANSFORM = f"{{{DSIG}}}Transform"
_DIGEST_METHOD = f"{{{DSIG}}}DigestMethod"
_DIGEST_VALUE = f"{{{DSIG}}}DigestValue"
_INCLUSIVE_NAMESPACES = f"{{{EXC_C14N}}}InclusiveNamespaces"
_SIGNATURE_FORMS = (
    [_SIGNED_INFO, _SIGNATURE_VALUE],
    [_SIGNED_INFO, _SIGNATURE_VALUE, _KEY_INFO],
)
_REFERENCE_NAMES = frozenset({"URI", "Id"})

_BASE64_TEXT = re.compile(r"[A-Za-z0-9+/\s]+(?:=\s*){0,2}", re.ASCII)
_NODES_MAX = 11
"""Of a SignedInfo of the permitted form: both methods may hold a list of prefixes."""

_PREFIXES_MAX = 16
_WORK_OF_A_NODE = 2
"""What it costs without prefixes, as a multiple of what a prefix adds to it."""

RESPONSE_WORK = 20_000
"""Nodes times prefixes that a Response is worth: some milliseconds."""

_PARSER = etree.XMLParser(
    resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False
)


class _Canonicalisation(Struct, frozen=True):
    """How an element becomes the bytes that are digested."""

    keeps_comments: bool
    inclusive_prefixes: tuple[str, ...]


class _SignedInfo(Struct, frozen=True, kw_only=True):
    """What a SignedInfo of the one permitted form says."""

    method: SignatureMethod
    digest: str
    digest_value: bytes
    canonicalisation: _Canonicalisation


class SignedElement(Struct, frozen=True):
    """A document of signed bytes, by its root or an element in it, and who signed."""

    element: _Element
    key: SigningKey


def find_signature(element: _Element) -> _Element | None:
    """The element's own Signature, its first child of that name."""
    return next(element.iterchildren(SIGNATURE), None)


def verify_signature(
    element: _Element,
    signature: _Element,
    *,
    keys: Sequence[SigningKey],
    policy: AlgorithmPolicy,
    most_work: int | None = None,
) -> "SignedElement":
    """Verify the element's enveloped signature with one of the registered keys.

    The result is the root of a new document, parsed from the very bytes that were
    signed. KeyInfo is never looked at. Takes the Signature out of the received tree, so
    an outer element is to be verified before an inner one. ``most_work`` bounds what
    strangers may ask for: each prefix of the signature's list is looked for at each node.

    Raises:
        SamlRejected: SIGNATURE_STRUCTURE, ALGORITHM_NOT_ALLOWED, SIGNATURE_INVALID,
            TOO_COMPLEX or IDS.

    Source: SAML 2.0 Core 5.4; W3C XML Signature Best Practices.
    """
    signed_id = require_id(element)
    signed_info, value = _read_parts(signature)
    octets = _canonical_octets(signed_info, _read_own_canonicalisation(signed_info))
    info = _read_signed_info(_parse(octets), signed_id, policy)
    if most_work is not None:
        _check_work(element, info.canonicalisation, most_work)
    key = next((key for key in keys if key.verifies(value, octets, info.method)), None)
    if key is None:
        fitting = sum(key.family is info.method.family for key in keys)
        raise SamlRejected(
            SamlReason.SIGNATURE_INVALID,
            f"none of the provider's {len(keys)} registered keys "
            f"({fitting} of them {info.method.family}) verifies the signature",
        )
    return SignedElement(_detach(element, signature, info), key)


def _detach(element: _Element, signature: _Element, info: _SignedInfo) -> _Element:
    """The element without its Signature, as the signed digest has it."""
    _remove_keeping_tail(signature)
    if info.canonicalisation.keeps_comments and _has_comments(element):
        # A reference by ID has none, whatever the transform says. Source: W3C XML
        # Signature 1.1, 4.4.3.3.
        raise SamlRejected(
            SamlReason.SIGNATURE_INVALID, "comments in what is signed with comments"
        )
    octets = _canonical_octets(element, info.canonicalisation)
    digest = new_digest(info.digest, octets, usedforsecurity=True).digest()
    if not hmac.compare_digest(digest, info.digest_value):
        raise SamlRejected(
            SamlReason.SIGNATURE_INVALID,
            "the digest of the signed element is not the one in the signature",
        )
    return _parse(octets)


def _has_comments(element: _Element) -> bool:
    return next(element.iter(etree.Comment), None) is not None


def _check_work(
    element: _Element, canonicalisation: _Canonicalisation, most_work: int
) -> None:
    prefixes = len(canonicalisation.inclusive_prefixes)
    if not prefixes:
        return  # bounded by the document's size
    nodes = sum(1 + len(node.attrib) for node in element.iter("*"))
    if nodes * (_WORK_OF_A_NODE + prefixes) > most_work:
        raise SamlRejected(
            SamlReason.TOO_COMPLEX,
            f"{nodes} signed elements and attributes and {prefixes} prefixes are too"
            " much work",
        )


def _canonical_octets(element: _Element, to: _Canonicalisation) -> bytes:
    if to.inclusive_prefixes:
        # Namespaces that only an ancestor declares count when the signer says so.
        # lxml writes them down here; it would change prefixes in a copied tree.
        element = _parse(etree.tostring(element, with_tail=False))
        if "#default" in to.inclusive_prefixes:
            # lxml leaves out a word that its dictionary lacks; XML has no such name.
            etree.HTML("<p #default>")
    try:
        # What it cannot write it refuses: nothing is never digested (CVE-2025-66568).
        return etree.tostring(
            element,
            method="c14n",
            exclusive=True,
            with_comments=to.keeps_comments,
            inclusive_ns_prefixes=list(to.inclusive_prefixes) or None,
        )
    except (etree.LxmlError, ValueError) as error:
        raise SamlRejected(
            SamlReason.SIGNATURE_INVALID, "the element cannot be canonicalised"
        ) from error


def _parse(octets: bytes) -> _Element:
    return etree.fromstring(octets, _PARSER)


def _remove_keeping_tail(node: _Element) -> None:
    parent = node.getparent()
    if parent is None:
        return
    tail = node.tail
    if tail:
        before = node.getprevious()
        if before is None:
            parent.text = (parent.text or "") + tail
        else:
            before.tail = (before.tail or "") + tail
    parent.remove(node)


def _read_parts(signature: _Element) -> tuple[_Element, bytes]:
    """A Signature's SignedInfo and value; only the form that SAML prescribes passes."""
    children = list(signature)
    if [child.tag for child in children] not in _SIGNATURE_FORMS:
        raise _misshapen("Signature holds other than SignedInfo, value and KeyInfo")
    return children[0], _read_base64(children[1])


def _read_own_canonicalisation(signed_info: _Element) -> _Canonicalisation:
    """How the SignedInfo, as received, says that it became the signed bytes."""
    nodes = list(islice(signed_info.iter(), _NODES_MAX + 1))
    if len(nodes) > _NODES_MAX or any(isinstance(node, _Comment) for node in nodes):
        raise _misshapen("unexpected content of SignedInfo")
    method, *_ = _children(
        signed_info, _CANONICALIZATION_METHOD, _SIGNATURE_METHOD, _REFERENCE
    )
    return _read_canonicalisation(method, "canonicalisation")


def _read_canonicalisation(element: _Element, which: str) -> _Canonicalisation:
    keeps_comments = CANONICALISATIONS.get(element.get("Algorithm") or "")
    if keeps_comments is None:
        raise _not_allowed(which, element)
    return _Canonicalisation(keeps_comments, _prefixes(element))


def _read_signed_info(
    signed_info: _Element, signed_id: str, policy: AlgorithmPolicy
) -> _SignedInfo:
    """Take a SignedInfo apart; only the form that SAML prescribes passes."""
    _, method, reference = _children(
        signed_info, _CANONICALIZATION_METHOD, _SIGNATURE_METHOD, _REFERENCE
    )
    signature_method = policy.find_signature_method(method.get("Algorithm") or "")
    if signature_method is None or len(method):
        raise _not_allowed("signature method", method)
    if reference.get("URI") != f"#{signed_id}" or not _REFERENCE_NAMES.issuperset(
        reference.keys()
    ):
        raise _misshapen("the Reference does not name the element that it stands in")
    transforms, digest_method, digest_value = _children(
        reference, _TRANSFORMS, _DIGEST_METHOD, _DIGEST_VALUE
    )
    digest = policy.find_digest(digest_method.get("Algorithm") or "")
    if digest is None or len(digest_method):
        raise _not_allowed("digest method", digest_method)
    if [child.tag for child in transforms] != [_TRANSFORM, _TRANSFORM]:
        raise _misshapen("other than two transforms")
    enveloped, canonical = transforms
    if enveloped.get("Algorithm") != ENVELOPED or len(enveloped):
        raise _not_allowed("first transform", enveloped)
    return _SignedInfo(
        method=signature_method,
        digest=digest,
        digest_value=_read_base64(digest_value),
        canonicalisation=_read_canonicalisation(canonical, "second transform"),
    )


def _children(element: _Element, *tags: str) -> list[_Element]:
    children = list(element)
    if [child.tag for child in children] != list(tags):
        raise _misshapen(f"unexpected content of {etree.QName(element).localname}")
    return children


def _prefixes(canonicalisation: _Element) -> tuple[str, ...]:
    """The PrefixList of an exclusive canonicalisation."""
    if len(canonicalisation) == 0:
        return ()
    (inclusive,) = _children(canonicalisation, _INCLUSIVE_NAMESPACES)
    if len(inclusive) or inclusive.keys() != ["PrefixList"]:
        raise _misshapen("InclusiveNamespaces holds other than a PrefixList")
    prefixes = tuple((inclusive.get("PrefixList") or "").split())
    if len(prefixes) > _PREFIXES_MAX:
        raise _misshapen("a PrefixList too long")
    return prefixes


def _read_base64(element: _Element) -> bytes:
    text, name = element.text or "", etree.QName(element).localname
    if len(element) or not _BASE64_TEXT.fullmatch(text):
        raise _misshapen(f"{name} holds other than base64 text")
    try:
        return a2b_base64(text)  # passes over white space
    except ValueError as error:
        raise _misshapen(f"{name} is not base64") from error


def _misshapen(detail: str) -> SamlRejected:
    return SamlRejected(SamlReason.SIGNATURE_STRUCTURE, detail)


def _not_allowed(what: str, element: _Element) -> SamlRejected:
    return SamlRejected(
        SamlReason.ALGORITHM_NOT_ALLOWED,
        f"{what} {(element.get('Algorithm') or '')[:120]!r} is not on the list",
    )
