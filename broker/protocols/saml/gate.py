"""The only XML parse: limits and rules applied before any signature is checked.

What passes is a tree without DOCTYPE, in UTF-8, of bounded depth and size, whose
namespaces are absolute, whose IDs are unique and whose text no comment divides.
"""

import re
from functools import cache
from itertools import islice

from lxml import etree
from lxml.etree import _Comment, _Element
from msgspec import Struct

from broker.protocols.saml.errors import SamlReason, SamlRejected
from broker.protocols.saml.names import SAML, SAMLP, SIGNATURE, XML

_DECLARATION = re.compile(r"<\?xml\b([^?]*)\?>")

_ENCODING = re.compile(r"""\bencoding\s*=\s*["']([^"']*)["']""")


_VERSION_1_0 = re.compile(r"""\bversion\s*=\s*["']1\.0["']""")


# No colon in the prefix: a text of nothing but ``xmlns:`` is read once, not per match.
_NAMESPACE = re.compile(r"""xmlns(:[^\s=:]+)?\s*=\s*(?:"([^"]*)"|'([^']*)')""")

_ABSOLUTE = re.compile(r"(?:https?://|urn:|[A-Za-z][A-Za-z0-9+.-]*:)[^\s&]+")
_NCNAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*", re.ASCII)
_ID_LENGTH_MAX = 256
_XML_ID = f"{{{XML}}}id"
_ID_ENDINGS = ("ID", "Id", "iD", "id")
_SAML_TAGS = (f"{{{SAML}}}", f"{{{SAMLP}}}")
_PARSER = etree.XMLParser(
    encoding="utf-8",
    resolve_entities=False,
    no_network=True,
    load_dtd=False,
    dtd_validation=False,
    attribute_defaults=False,
    huge_tree=False,
)


class XmlLimits(Struct, frozen=True):
    """How large a document may be, counted in elements and attributes."""

    depth: int
    elements: int
    attributes_per_element: int
    namespace_declarations: int
    signatures: int


RESPONSE_LIMITS = XmlLimits(
    depth=32,
    elements=4_000,
    attributes_per_element=64,
    namespace_declarations=4_000,
    signatures=2,
)


def parse_strictly(text: str, *, limits: XmlLimits = RESPONSE_LIMITS) -> _Element:
    """Parse a document once, or refuse it.

    Raises:
        SamlRejected: DOCTYPE, NOT_UTF8, MALFORMED_XML, NAMESPACE, TOO_COMPLEX,
            SPLIT_TEXT or IDS.
    """
    _check_text(text, limits)
    try:
        root = etree.fromstring(text.encode("utf-8"), _PARSER)
    except (etree.XMLSyntaxError, UnicodeEncodeError, ValueError) as error:
        raise SamlRejected(
            SamlReason.MALFORMED_XML, "the text is not well-formed XML"
        ) from error
    _check_tree(root, limits)
    return root


def _check_text(text: str, limits: XmlLimits) -> None:
    # XML allows no other spelling, and no honest comment or CDATA holds these.
    if "<!DOCTYPE" in text:
        raise SamlRejected(SamlReason.DOCTYPE, "the document has a DOCTYPE")
    declaration = _DECLARATION.match(text)
    if declaration:
        named = _ENCODING.search(declaration[1])
        if named and named[1].lower() not in {"utf-8", "utf8"}:
            raise SamlRejected(
                SamlReason.NOT_UTF8, f"the document declares {named[1][:40]!r}"
            )
        if not _VERSION_1_0.search(declaration[1]):
            raise SamlRejected(SamlReason.MALFORMED_XML, "not XML 1.0")
    # Before parsing: each element has at most two tags. A text of fewer characters
    # cannot have too many.
    if len(text) > min(2 * limits.elements, limits.namespace_declarations) and (
        text.count("<") > 2 * limits.elements
        or text.count("xmlns") > limits.namespace_declarations
    ):
        raise SamlRejected(SamlReason.TOO_COMPLEX, "too many tags or namespaces")
    # A relative namespace makes canonicalisation fail; what is canonicalised to
    # nothing must not be digested (CVE-2025-66568).
    # One match at a time, and nodes one by one below: a thread that reads metadata of
    # megabytes lets others run in between.
    for prefix, double, single in {m.groups("") for m in _NAMESPACE.finditer(text)}:
        uri = double or single
        if not (_ABSOLUTE.fullmatch(uri) or (not uri and not prefix)):
            raise SamlRejected(
                SamlReason.NAMESPACE, f"{uri[:80]!r} is not an absolute namespace"
            )


def _check_tree(root: _Element, limits: XmlLimits) -> None:
    nodes = list(islice(root.iter(), limits.elements + 1))
    if len(nodes) > limits.elements:
        raise SamlRejected(SamlReason.TOO_COMPLEX, "too many elements")
    if _deeper_than(limits.depth)(root):
        raise SamlRejected(SamlReason.TOO_COMPLEX, "too deep")
    if len(list(root.iter(SIGNATURE))) > limits.signatures:
        raise SamlRejected(SamlReason.TOO_COMPLEX, "too many signatures")
    ids: set[str] = set()
    for node in nodes:
        names = node.keys()
        if len(names) > limits.attributes_per_element:
            raise SamlRejected(SamlReason.TOO_COMPLEX, "too many attributes")
        for name in names:
            if name.endswith(_ID_ENDINGS):
                _collect_id(str(node.tag), name, node.get(name, ""), ids)
    _check_comments(root)


@cache
def _deeper_than(depth: int) -> etree.XPath:
    return etree.XPath(f"boolean({'/*' * (depth + 1)})")


def _collect_id(tag: str, name: str, value: str, ids: set[str]) -> None:
    """Note an ID, whatever its spelling; xmlsec and libxml2 know several."""
    local = name.rpartition("}")[2]
    if len(local) != len("ID"):
        return
    if name == _XML_ID or (name != "ID" and tag.startswith(_SAML_TAGS)):
        raise SamlRejected(SamlReason.IDS, f"an ID attribute spelt {name!r}")
    if value in ids:
        raise SamlRejected(SamlReason.IDS, "the same ID on two elements")
    ids.add(value)


def _check_comments(root: _Element) -> None:
    # CVE-2017-11427 and its family.
    commented: set[_Element] = set()
    for node in root.iter(etree.Comment, etree.ProcessingInstruction, etree.Entity):
        if not isinstance(node, _Comment):
            raise SamlRejected(
                SamlReason.SPLIT_TEXT, "a processing instruction or an entity"
            )
        parent = node.getparent()
        if parent is not None:
            commented.add(parent)
    for element in commented:
        if _is_text(element.text) or any(_is_text(child.tail) for child in element):
            raise SamlRejected(SamlReason.SPLIT_TEXT, "a comment inside a text")


def _is_text(text: str | None) -> bool:
    return text is not None and bool(text.strip())


def require_id(element: _Element) -> str:
    """The element's ``ID``.

    Raises:
        SamlRejected: IDS, when it is missing, empty or no NCName.
    """
    value = element.get("ID")
    if value is None or len(value) > _ID_LENGTH_MAX or not _NCNAME.fullmatch(value):
        raise SamlRejected(SamlReason.IDS, "a missing, empty or malformed ID")
    return value


def children_of(element: _Element) -> dict[str, list[_Element]]:
    """The child elements by tag, each tag's in document order."""
    children: dict[str, list[_Element]] = {}
    for child in element.iterchildren("*"):
        children.setdefault(str(child.tag), []).append(child)
    return children


def children_named(element: _Element, tag: str) -> list[_Element]:
    """The child elements of one tag, in document order."""
    return list(element.iterchildren(tag))


def text_of(element: _Element) -> str:
    """The whole text content, child elements' included; never only the first node."""
    if len(element) == 0:
        return element.text or ""
    return "".join(str(piece) for piece in element.itertext())
