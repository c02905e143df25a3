"""JSON without the surprises of Python's ``json``: all that comes from outside.

Duplicate member names, ``NaN``, ``Infinity``, lone surrogates and deep nesting are
refused; what comes out can be encoded again. Numbers may still be infinite (``1e400``):
code that uses one must bound it.

Source: RFC 8259; RFC 7519 section 4 on duplicate names.
"""

import json
import re
from collections.abc import Callable
from typing import Any, NoReturn

DEPTH_MAX = 32
"""Nested arrays and objects; real tokens and key sets have up to six."""

JsonObject = dict[str, Any]

_WHITE_SPACE = " \t\r\n"

_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)
"""A string that does not end is one, too: what follows it is not looked at again."""


Pairs = list[tuple[str, Any]]


def json_reader(
    members: Callable[[Pairs], Any],
    *,
    number: Callable[[str], Any] | None = None,
    depth_max: int | None = DEPTH_MAX,
) -> Callable[[str], Any]:
    """A reader of one JSON value; ``members`` makes objects, and ``number`` numbers.

    It raises ValueError, and without ``depth_max`` RecursionError.
    """
    decode = json.JSONDecoder(
        object_pairs_hook=members,
        parse_constant=_refuse_constant,
        parse_int=number,
        parse_float=number,
    ).raw_decode

    def read(text: str) -> Any:  # noqa: ANN401  # plain data
        if depth_max and text.count("[") + text.count("{") > depth_max:
            _check_depth(text, depth_max)
        match, end = decode(text, len(text) - len(text.lstrip(_WHITE_SPACE)))
        if text[end:].strip(_WHITE_SPACE):
            raise ValueError("something follows the object")
        if "\\u" in text:
            # A lone surrogate cannot be encoded, neither for a log nor for an answer.
            json.dumps(match, ensure_ascii=False).encode("utf-8")
        return match

    return read


def parse_object(data: bytes) -> JsonObject:
    """Read one JSON object in which no name is there twice.

    Raises:
        ValueError: anything else.
    """
    return _object(parse_value(data))


def parse_value(data: bytes) -> Any:  # noqa: ANN401  # plain data
    """Read one JSON value in which no name is there twice in an object.

    Raises:
        ValueError: anything else.
    """
    return _read_unique(data.decode("utf-8"))


def parse_lenient_object(data: bytes) -> JsonObject:
    """Read one JSON object; an inner object with a duplicate name comes out empty.

    For documents whose bad parts are skipped singly, such as key sets.

    Raises:
        ValueError: not a JSON object.
    """
    return _object(_read_emptying(data.decode("utf-8")))


def _object(value: object) -> JsonObject:
    if not isinstance(value, dict):
        # ValueError is the contract: the text is at fault, not the programmer
        raise ValueError("not a JSON object")  # noqa: TRY004
    return value


def _check_depth(text: str, depth_max: int) -> None:
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(text):
        piece = match[0]
        if piece in "[{":
            depth += 1
            if depth > depth_max:
                raise ValueError("nested too deeply")
        elif piece in "]}":
            depth -= 1


def _unique(pairs: Pairs) -> JsonObject:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a name is there twice")
    return value


def _emptying(pairs: Pairs) -> JsonObject:
    value = dict(pairs)
    return value if len(value) == len(pairs) else {}


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_read_unique = json_reader(_unique)
_read_emptying = json_reader(_emptying)
