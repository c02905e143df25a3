"""The positions of statements in a policy's text, in lines and columns as AWS counts.

AWS's parser records its position before and after reading a statement. In a list a
statement therefore begins right after the bracket or the previous statement; a single
statement begins after its own brace. Lines and columns count from 1, and the end is the
first column after the statement.

Source: recorded answers of ``SimulateCustomPolicy`` and the examples of the API
reference (a statement from column 41 to 198 is followed by one from 198 to 300).
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from json import JSONDecoder

from msgspec import Struct

_LINE_END = re.compile(r"\r\n|\r|\n")
_SPACES = re.compile(r"[ \t\r\n]*")
_DECODER = JSONDecoder(strict=True)


class TextPosition(Struct, frozen=True):
    """A place in a text; line and column count from 1."""

    line: int
    column: int


class Span(Struct, frozen=True):
    """The place of one statement."""

    start: TextPosition
    end: TextPosition


def statement_spans(text: str) -> tuple[Span, ...]:
    """The places of all statements of a policy that `parse_policy` accepts, in order."""
    return tuple(_spans(text, _statements(text)))


def make_span(text: str, start: int, end: int) -> Span:
    """The place of a part of a text, by its offsets."""
    return next(_spans(text, [(start, end)]))


def _spans(text: str, places: Iterable[tuple[int, int]]) -> Iterator[Span]:
    lines = [0, *(match.end() for match in _LINE_END.finditer(text))]

    def position(index: int) -> TextPosition:
        line = bisect_right(lines, index)
        return TextPosition(line, index - lines[line - 1] + 1)

    for start, end in places:
        yield Span(position(start), position(end))


def _statements(text: str) -> Iterator[tuple[int, int]]:
    place = _value_of_statement(text)
    if text[place] == "{":
        yield place + 1, _end_of_value(text, place)
        return
    place += 1
    while True:
        begin = _skip(text, place)
        if text[begin] == ",":
            begin = _skip(text, begin + 1)
        elif text[begin] == "]":
            return
        end = _end_of_value(text, begin)
        yield place, end
        place = end


def _value_of_statement(text: str) -> int:
    """Where the value of the outermost ``Statement`` begins."""
    place = _skip(text, text.index("{") + 1)
    while True:
        key, place = _DECODER.raw_decode(text, place)
        place = _skip(text, _skip(text, place) + 1)
        if key == "Statement":
            return place
        place = _skip(text, _end_of_value(text, place))
        place = _skip(text, place + 1)


def _end_of_value(text: str, begin: int) -> int:
    _, end = _DECODER.raw_decode(text, begin)
    return end


def _skip(text: str, place: int) -> int:
    match = _SPACES.match(text, place)
    return place if match is None else match.end()
