r"""The alphabet and the lengths of tags, the same at every door.

Source: the pattern of ``tagKeyType`` and ``tagValueType`` in the service models,
``[\p{L}\p{Z}\p{N}_.:/=+\-@]``, and their lengths.
"""

import re
import unicodedata

KEY_LENGTH_MAX = 128
VALUE_LENGTH_MAX = 256

_ASCII = re.compile(r"[A-Za-z0-9 _.:/=+\-@]*")
_SIGNS = frozenset("_.:/=+-@")
_CATEGORIES = frozenset("LZN")


def has_tag_alphabet(text: str) -> bool:
    """Whether every character may stand in a tag's key or value."""
    return _ASCII.fullmatch(text) is not None or all(map(_is_allowed, text))


def is_tag_key(text: str) -> bool:
    """Whether the text may be a tag's key; reserved prefixes are another matter."""
    return 1 <= len(text) <= KEY_LENGTH_MAX and has_tag_alphabet(text)


def is_tag_value(text: str) -> bool:
    """Whether the text may be a tag's value."""
    return len(text) <= VALUE_LENGTH_MAX and has_tag_alphabet(text)


def _is_allowed(character: str) -> bool:
    return character in _SIGNS or unicodedata.category(character)[0] in _CATEGORIES
