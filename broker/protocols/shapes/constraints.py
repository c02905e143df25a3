r"""The constraints of string and number shapes, with the texts of their violations.

Patterns are written for Java's ``String.matches``: they must match the whole value,
``\w`` and ``\d`` are ASCII, ``\p{L}`` is a Unicode category.

Source: botocore's STS model; recorded texts (REC-A, REC-S query_inputs).
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from functools import cache

from msgspec import Struct

from broker.protocols.shapes.model import ShapeModel

Matcher = Callable[[str], object]
"""Truthy when the whole value matches."""

_PATTERN = "Member must satisfy regular expression pattern: "
_ENUM = "Member must satisfy enum value set"


XML_TEXT_PATTERN = r"[\u0009\u000A\u000D\u0020-\uD7FF\uE000-\uFFFD\u10000-\u10FFFF]*"
"""Stands for strings whose shape has no pattern: what XML cannot carry is not text."""

UNBOUNDED = 1 << 64
_LENGTH_ALWAYS_MATCHED = 100_000
_ASCII_OF_CATEGORY = {"L": "A-Za-z", "N": "0-9", "Z": " "}
_CATEGORY = re.compile(r"\\p\{([LNZ])\}")
_ONE_CLASS = re.compile(r"\[(?:[^\[\]\\]|\\p\{[LNZ]\}|\\[^p])+\][*+]")
_SUPPLEMENTARY = r"\u10000-\u10FFFF"
_XML_TEXT = re.compile("[\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*")


class Wording(Struct, frozen=True):
    """How a service words violations, where it differs from the others."""

    shows_values: bool = True
    """Whether messages quote the refused value and an enumeration's members."""

    sentences: Mapping[str, str] = {}
    """What is said of a member, by its name in messages, that breaks its pattern."""

    never_null: frozenset[str] = frozenset()
    """Lists whose elements are said not to be null, by their names in messages."""

    def constraint(self, text: str) -> str:
        """A violated constraint in the service's own words."""
        return _ENUM if not self.shows_values and text.startswith(_ENUM) else text

    def element(self, path: str, constraints: str) -> str:
        """The constraint of a list that its elements' constraints make."""
        if path in self.never_null:
            constraints += ", Member must not be null"
        return f"Member must satisfy constraint: [{constraints}]"

    def sentence(self, path: str, constraint: str) -> str | None:
        """The refusal as a whole, if the service has one of its own for this."""
        said = self.sentences.get(path)
        if said is None or not constraint.startswith(_PATTERN):
            return None
        return f"The specified value for {path} is invalid. {said}"


@cache
def compile_pattern(pattern: str) -> Matcher:
    r"""A matcher for a model's pattern.

    ``\u10000-\u10FFFF``, which Java would read as other ranges, is taken for the
    supplementary planes that it means.

    Raises:
        ValueError: a construct that no model had when this was written.
    """
    categories = frozenset(_CATEGORY.findall(pattern))
    if r"\p" not in pattern:
        plain = pattern.replace(_SUPPLEMENTARY, "\U00010000-\U0010ffff")
        return re.compile(plain, re.ASCII).fullmatch
    if not _ONE_CLASS.fullmatch(pattern):
        raise ValueError(f"{pattern!r}: categories outside a single class")
    ascii_pattern = _CATEGORY.sub(lambda m: _ASCII_OF_CATEGORY[m[1]], pattern)
    match_ascii = re.compile(ascii_pattern, re.ASCII).fullmatch

    def match(value: str) -> bool:
        if value.isascii():
            return match_ascii(value) is not None
        rest = "".join(c for c in value if c.isascii())
        return (not rest or match_ascii(rest) is not None) and all(
            unicodedata.category(c)[0] in categories for c in value if not c.isascii()
        )

    return match


def is_xml_text(value: str) -> bool:
    """Whether an XML answer can carry the text."""
    if len(value) > _LENGTH_ALWAYS_MATCHED:  # piece by piece, see ``call``
        return all(
            is_xml_text(value[start : start + _LENGTH_ALWAYS_MATCHED])
            for start in range(0, len(value), _LENGTH_ALWAYS_MATCHED)
        )
    return value.isprintable() or _XML_TEXT.fullmatch(value) is not None


def compile_matcher(shape: ShapeModel) -> Matcher:
    """What a string must match: its pattern, else that XML can carry it.

    Secrets without a pattern are left to those who verify them.
    """
    if "pattern" in shape:
        return compile_pattern(shape["pattern"])
    if shape.get("sensitive"):
        return re.compile("").match
    return is_xml_text


def scalar_constraints(shape: ShapeModel) -> tuple[str, ...]:
    """All constraints of a string or number shape, as violations name them."""
    size = "length" if shape["type"] == "string" else "value"
    texts = []
    if "max" in shape:
        texts.append(f"Member must have {size} less than or equal to {shape['max']}")
    if "min" in shape:
        texts.append(f"Member must have {size} greater than or equal to {shape['min']}")
    if "pattern" in shape:
        texts.append(pattern_text(shape["pattern"]))
    if "enum" in shape:
        texts.append(enum_text(shape))
    return tuple(texts)


def pattern_text(pattern: str) -> str:
    """What a violated pattern is called."""
    return f"{_PATTERN}{pattern}"


def enum_text(shape: ShapeModel) -> str:
    """What a violated enumeration is called; AWS's own order is unstable."""
    return f"{_ENUM}: [{', '.join(shape['enum'])}]"


def size_violation(shape: ShapeModel, size: int, noun: str = "length") -> str | None:
    """The bound that ``size`` breaks, if any."""
    if size < shape.get("min", -UNBOUNDED):
        return f"Member must have {noun} greater than or equal to {shape['min']}"
    if size > shape.get("max", UNBOUNDED):
        return f"Member must have {noun} less than or equal to {shape['max']}"
    return None


def string_violations(
    shape: ShapeModel, matches: Matcher, value: str
) -> tuple[str, ...]:
    """Every constraint that a string breaks; lengths are in code points.

    A value far beyond its length is not matched as well.
    """
    violations = []
    length = size_violation(shape, len(value))
    if length:
        violations.append(length)
    if (not length or len(value) <= _LENGTH_ALWAYS_MATCHED) and not matches(value):
        violations.append(pattern_text(shape.get("pattern", XML_TEXT_PATTERN)))
    if "enum" in shape and value not in shape["enum"]:
        violations.append(enum_text(shape))
    return tuple(violations)
