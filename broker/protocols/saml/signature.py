"""See what is signed: a verified signature yields a new document of its bytes.

xmlsec verifies; then the bytes that the digest covers are made once more, compared
with the signed digest and parsed. Whatever reads values reads that document, so no
position in the received tree can matter.
"""

import hmac
import re
from binascii import a2b_base64
from collections.abc import Sequence
from hashlib import new as new_digest

import xmlsec
from lxml import etree
from lxml.etree import _Element
from msgspec import Struct

from broker.protocols.saml.algorithms import (
    CANONICALISATIONS,
    ENVELOPED,
    AlgorithmPolicy,
    KeyFamily,
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
_PREFIXES_MAX = 16
_WORK_PER_KEY = 2
"""What a node costs without prefixes, as a multiple of what a prefix adds to it."""

RESPONSE_WORK = 20_000
"""Nodes times keys times prefixes that a Response is worth: some milliseconds.

An honest one with 200 roles and ten keys has half of it.
"""
_PARSER = etree.XMLParser(
    resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False
)


class _SignedInfo(Struct, frozen=True, kw_only=True):
    """What a Signature of the one permitted form says about itself."""

    family: KeyFamily
    digest: str
    digest_value: bytes
    keeps_comments: bool
    inclusive_prefixes: tuple[str, ...]


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

    KeyInfo is never looked at. The received tree is left as it is. ``most_work``
    bounds what strangers may ask for: each key that is tried canonicalises the whole
    element, and looks for each prefix of the signature's list at each node.

    Raises:
        SamlRejected: SIGNATURE_STRUCTURE, ALGORITHM_NOT_ALLOWED, SIGNATURE_INVALID,
            TOO_COMPLEX or IDS.

    Source: SAML 2.0 Core 5.4; W3C XML Signature Best Practices.
    """
    info = _read_signed_info(signature, require_id(element), policy)
    fitting = [key for key in keys if key.family is info.family]
    if most_work is not None:
        _check_work(element, info, len(fitting), most_work)
    key = next((key for key in fitting if _verifies(element, signature, key)), None)
    if key is None:
        raise SamlRejected(
            SamlReason.SIGNATURE_INVALID,
            f"none of the provider's {len(keys)} registered keys "
            f"({len(fitting)} of them {info.family}) verifies the signature",
        )
    return SignedElement(element, signature, info, key)


class SignedElement:
    """An element whose signature ``key`` verified, until its bytes are taken."""

    __slots__ = ("_element", "_info", "_signature", "key")

    def __init__(
        self,
        element: _Element,
        signature: _Element,
        info: _SignedInfo,
        key: SigningKey,
    ) -> None:
        self.key = key
        self._element = element
        self._signature = signature
        self._info = info

    def detach(self) -> _Element:
        """The root of a new document, parsed from the very bytes that were signed.

        Takes the Signature out of the received tree, so an outer element is to be
        detached before an inner one.

        Raises:
            SamlRejected: SIGNATURE_INVALID, when the bytes are not those of the
                verified digest.
        """
        _remove_keeping_tail(self._signature)
        octets = _canonical_octets(self._element, self._info)
        digest = new_digest(self._info.digest, octets, usedforsecurity=True).digest()
        if not hmac.compare_digest(digest, self._info.digest_value):
            raise SamlRejected(
                SamlReason.SIGNATURE_INVALID, "the signed bytes have another digest"
            )
        return _parse(octets)


def _check_work(
    element: _Element, info: _SignedInfo, keys: int, most_work: int
) -> None:
    if keys <= 1 and not info.inclusive_prefixes:
        return  # bounded by the document's size
    nodes = sum(1 + len(node.attrib) for node in element.iter("*"))
    if nodes * keys * (_WORK_PER_KEY + len(info.inclusive_prefixes)) > most_work:
        raise SamlRejected(
            SamlReason.TOO_COMPLEX,
            f"{nodes} signed elements and attributes, {keys} keys to try and"
            f" {len(info.inclusive_prefixes)} prefixes are too much work",
        )


def _verifies(element: _Element, signature: _Element, key: SigningKey) -> bool:
    context = xmlsec.SignatureContext()
    context.key = key.xmlsec_key
    context.register_id(element, "ID")
    try:
        context.verify(signature)
    except (xmlsec.Error, ValueError):
        return False
    return True


def _canonical_octets(element: _Element, info: _SignedInfo) -> bytes:
    if info.inclusive_prefixes:
        # Namespaces that only an ancestor declares count when the signer says so.
        # lxml writes them down here; it would change prefixes in a copied tree.
        element = _parse(etree.tostring(element, with_tail=False))
        if "#default" in info.inclusive_prefixes:
            # lxml leaves out a word that its dictionary lacks; XML has no such name.
            etree.HTML("<p #default>")
    try:
        return etree.tostring(
            element,
            method="c14n",
            exclusive=True,
            with_comments=info.keeps_comments,
            inclusive_ns_prefixes=list(info.inclusive_prefixes) or None,
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


def _read_signed_info(
    signature: _Element, signed_id: str, policy: AlgorithmPolicy
) -> _SignedInfo:
    """Take a Signature apart; only the form that SAML prescribes passes."""
    children = list(signature)
    if [child.tag for child in children] not in _SIGNATURE_FORMS:
        raise _misshapen("Signature holds other than SignedInfo, value and KeyInfo")
    _base64_text(children[1])
    canonicalization, method, reference = _children(
        children[0], _CANONICALIZATION_METHOD, _SIGNATURE_METHOD, _REFERENCE
    )
    if canonicalization.get("Algorithm") not in CANONICALISATIONS:
        raise _not_allowed("canonicalisation", canonicalization)
    _prefixes(canonicalization)
    family = policy.find_key_family(method.get("Algorithm") or "")
    if family is None or len(method):
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
    keeps_comments = CANONICALISATIONS.get(canonical.get("Algorithm") or "")
    if keeps_comments is None:
        raise _not_allowed("second transform", canonical)
    try:
        value = a2b_base64(_base64_text(digest_value))  # passes over white space
    except ValueError as error:
        raise _misshapen("DigestValue is not base64") from error
    return _SignedInfo(
        family=family,
        digest=digest,
        digest_value=value,
        keeps_comments=keeps_comments,
        inclusive_prefixes=_prefixes(canonical),
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


def _base64_text(element: _Element) -> str:
    text = element.text or ""
    if len(element) or not _BASE64_TEXT.fullmatch(text):
        raise _misshapen(
            f"{etree.QName(element).localname} holds other than base64 text"
        )
    return text


def _misshapen(detail: str) -> SamlRejected:
    return SamlRejected(SamlReason.SIGNATURE_STRUCTURE, detail)


def _not_allowed(what: str, element: _Element) -> SamlRejected:
    return SamlRejected(
        SamlReason.ALGORITHM_NOT_ALLOWED,
        f"{what} {(element.get('Algorithm') or '')[:120]!r} is not on the list",
    )
