"""Where the statements stand in a policy's text.

The simulator's answers show it (``StartPosition``, ``EndPosition``): lines and columns
from 1, taken behind the brace that opens or closes the statement. Source: the recorded
outputs in the AWS CLI's examples for ``simulate-custom-policy`` and
``simulate-principal-policy``.
"""

import json
import re
from bisect import bisect_left
from collections.abc import Iterator
from typing import NamedTuple

_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


class Position(NamedTuple):
    """A place in a text, counted from 1."""

    line: int
    column: int


class Span(NamedTuple):
    """Beginning and end of a statement."""

    start: Position
    end: Position


def statement_spans(text: str) -> tuple[Span, ...]:
    """The spans of a policy's statements, in writing order.

    The text is one that `parse_policy` has taken.
    """
    breaks = [found.start() for found in re.finditer("\n", text)]

    def position(offset: int) -> Position:
        line = bisect_left(breaks, offset)
        first = breaks[line - 1] + 1 if line else 0
        return Position(line + 1, offset - first + 1)

    return tuple(
        Span(position(begin + 1), position(end)) for begin, end in _statements(text)
    )


def _statements(text: str) -> Iterator[tuple[int, int]]:
    begin = _value_of_statement(text)
    if text[begin] != "[":
        yield begin, _end_of_value(text, begin)
        return
    while text[begin] != "]":
        begin = _skip_space(text, begin + 1)
        end = _end_of_value(text, begin)
        yield begin, end
        begin = _skip_space(text, end)


def _value_of_statement(text: str) -> int:
    """The offset of the value of the outermost ``Statement``."""
    offset = _skip_space(text, 0) + 1
    while True:
        key, end = _DECODER.raw_decode(text, _skip_space(text, offset))
        begin = _skip_space(text, _skip_space(text, end) + 1)
        if key == "Statement":
            return begin
        offset = _skip_space(text, _end_of_value(text, begin)) + 1


def _end_of_value(text: str, begin: int) -> int:
    _, end = _DECODER.raw_decode(text, begin)
    return end


def _skip_space(text: str, offset: int) -> int:
    found = _SPACE.match(text, offset)
    return found.end() if found else offset
