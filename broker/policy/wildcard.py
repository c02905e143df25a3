"""Patterns with ``*`` and ``?``, matched without backtracking.

A pattern is a sequence of tokens: literal text, ``Wild.STAR`` (any run of characters,
also none) and ``Wild.ANY`` (one character). Between stars are *chunks* of fixed length.
The first is anchored at the beginning, the last at the end, and each of the others
matches at its first occurrence after the previous one (the leftmost match is always
sufficient).

A literal chunk is found in time linear in chunk and text (`_pad`). One with
``?`` takes a step for each of its characters, over as many machine words as the text
has groups of 64 characters: 64 for the longest text there is.
"""

import re
import sys
from collections.abc import Callable, Iterable
from enum import Enum

from msgspec import Struct

TextTest = Callable[[str], bool]

_COMPARED = 16
"""The number of positions to compare directly before searching with bit sets."""

_OCCURRENCES_BYTES = 1024 * 1024
"""Of bit sets that are kept, with their texts."""

_ENTRY_BYTES = 256
"""Of an entry of a dictionary besides key and value, with its room to grow."""

_PRODUCT_MAX = 32_768
"""Comparisons that `str.find` may make at worst, for which nothing else is worth it."""

_LINEAR_CHARACTERS = 30_000
"""From this length of the text on, `str.find` takes linear time.

Source: CPython, Objects/stringlib/fastsearch.h: the two-way algorithm.
"""

_WILDCARDS = re.compile(r"([*?])")
_ONE_OR_ZERO = bytes(0x31 if code == 1 else 0x30 for code in range(256))


class Wild(Enum):
    """The wildcard characters."""

    STAR = "*"
    ANY = "?"


Token = str | Wild


_WILD = {wild.value: wild for wild in Wild}


def tokenize(text: str) -> tuple[Token, ...]:
    """Split a pattern's text at its wildcard characters."""
    return tuple(_WILD.get(part, part) for part in _WILDCARDS.split(text) if part)


def find_literal(tokens: Iterable[Token]) -> str | None:
    """The only text that the pattern matches; None when it has wildcards."""
    parts: list[str] = []
    for token in tokens:
        if isinstance(token, Wild):
            return None
        parts.append(token)
    return "".join(parts)


def find_prefix(tokens: tuple[Token, ...]) -> str | None:
    """The text before the only wildcard, a star at the end; None otherwise."""
    if not tokens or tokens[-1] is not Wild.STAR:
        return None
    return find_literal(tokens[:-1])


def compile_wildcard(tokens: Iterable[Token]) -> TextTest:
    """A function deciding whether a whole text matches the pattern."""
    chunks = _split_at_stars(tokens)
    if len(chunks) == 1:
        only = chunks[0]
        if only.is_literal:
            return only.text.__eq__
        return lambda text: len(text) == only.length and only.stands_at(text, 0)
    if all(chunk.is_literal for chunk in chunks):
        return _compile_literals([chunk.text for chunk in chunks])
    first, *middle, last = chunks
    between = tuple(chunk for chunk in middle if chunk.length)
    shortest = sum(chunk.length for chunk in chunks)
    longest = max((len(chunk.anchor[1]) for chunk in between), default=0)

    def matches(text: str) -> bool:
        end = len(text) - last.length
        if len(text) < shortest:
            return False
        if not (first.stands_at(text, 0) and last.stands_at(text, end)):
            return False
        position = first.length
        linear = text if longest * end <= _PRODUCT_MAX else _pad(text)
        for chunk in between:
            match = chunk.find(text, linear, position, end)
            if match < 0:
                return False
            position = match + chunk.length
        return True

    return matches


def _compile_literals(literals: list[str]) -> TextTest:
    """The same for patterns without ``?``, the most frequent ones."""
    first, *middle, last = literals
    between = tuple(literal for literal in middle if literal)
    shortest = sum(map(len, literals))
    longest = max(map(len, between), default=0)

    def matches(text: str) -> bool:
        if len(text) < shortest:
            return False
        if not (text.startswith(first) and text.endswith(last)):
            return False
        position, end = len(first), len(text) - len(last)
        linear = text if longest * end <= _PRODUCT_MAX else _pad(text)
        find = linear.find
        for literal in between:
            match = find(literal, position)
            position = match + len(literal)
            if match < 0 or position > end:
                return False
        return True

    return matches


def _pad(text: str) -> str:
    """The text, long enough to be searched in linear time from wherever it begins.

    `str.find` compares every character of a short literal at every position of a text
    that is not very long, if the two are made for that. A match that ends beyond the
    text is the first: there is none within.
    """
    return text + "\0" * _LINEAR_CHARACTERS


class _Chunk(Struct, frozen=True):
    """The part between two stars: literal pieces at fixed offsets."""

    length: int
    pieces: tuple[tuple[int, str], ...]
    anchor: tuple[int, str]

    @classmethod
    def of(cls, length: int, pieces: list[tuple[int, str]]) -> "_Chunk":
        """The chunk, anchored at its longest piece."""
        longest = max(pieces, key=lambda piece: len(piece[1]), default=(0, ""))
        return cls(length, tuple(pieces), longest)

    @property
    def text(self) -> str:
        """The literal text, without the ``?``."""
        return "".join(literal for _, literal in self.pieces)

    @property
    def is_literal(self) -> bool:
        """Whether the chunk has no ``?``."""
        return len(self.text) == self.length

    def stands_at(self, text: str, position: int) -> bool:
        for offset, literal in self.pieces:  # twice as fast as all()
            if not text.startswith(literal, position + offset):
                return False
        return True

    def find(self, text: str, linear: str, start: int, end: int) -> int:
        """The first position in ``text[start:end]``, or -1; ``linear`` is what is searched."""
        if not self.pieces:
            return start if start + self.length <= end else -1
        offset, literal = self.anchor
        stop = end - (self.length - offset - len(literal))
        low = start + offset
        for _ in range(1 + _COMPARED // len(self.pieces)):
            match = linear.find(literal, low)
            if match < 0 or match + len(literal) > stop:
                return -1
            if self.stands_at(text, match - offset):
                return match - offset
            low = match + 1
        return self._search_by_bits(text, low - offset, end)

    def _search_by_bits(self, text: str, start: int, end: int) -> int:
        """The same with bit sets, one bit for each position: never quadratic.

        ``a?a?a?b`` against a long run of ``a`` fails late at every position; a naive
        search would take pattern times text steps.
        """
        places = end - self.length - start + 1
        if places <= 0:
            return -1
        candidates = ((1 << places) - 1) << start
        for offset, literal in self.pieces:
            for position, character in enumerate(literal, offset):
                candidates &= _occurrences.find(text, character) >> position
                if not candidates:
                    return -1
        return (candidates & -candidates).bit_length() - 1


class _Occurrences(dict[str, dict[str, int]]):
    """The bit sets of the texts that patterns are compared with, by text and character.

    Many patterns are compared with one text; beyond the bound all begin anew.
    """

    def __init__(self) -> None:
        super().__init__()
        self._bytes = 0

    def find(self, text: str, character: str) -> int:
        """A number whose bit *i* is set if ``text[i]`` is the character."""
        by_character = self.get(text)
        if by_character is None:
            self._make_room(sys.getsizeof(text) + _ENTRY_BYTES)
            by_character = self[text] = {}
        bits = by_character.get(character)
        if bits is None:
            bits = _mark(text, character)
            self._make_room(sys.getsizeof(bits) + _ENTRY_BYTES)
            by_character[character] = bits
        return bits

    def _make_room(self, size: int) -> None:
        self._bytes += size
        if self._bytes > _OCCURRENCES_BYTES:
            self.clear()
            self._bytes = size


def _mark(text: str, character: str) -> int:
    marked = text.replace("\x01", "\x00").replace(character, "\x01")
    if character == "\x01":
        marked = text
    raw = marked.encode("latin-1", "replace")
    return int(raw.translate(_ONE_OR_ZERO)[::-1], 2)


_occurrences = _Occurrences()


def _split_at_stars(tokens: Iterable[Token]) -> list[_Chunk]:
    chunks: list[_Chunk] = []
    pieces: list[tuple[int, str]] = []
    length = 0
    joined = False
    for token in tokens:
        if token is Wild.STAR:
            chunks.append(_Chunk.of(length, pieces))
            pieces, length, joined = [], 0, False
        elif token is Wild.ANY:
            length += 1
            joined = False
        elif token:
            if joined:
                offset, before = pieces.pop()
                pieces.append((offset, before + token))
            else:
                pieces.append((length, token))
            length += len(token)
            joined = True
    chunks.append(_Chunk.of(length, pieces))
    return chunks
