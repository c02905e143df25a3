"""JSON objects without the surprises of Python's ``json``.

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


def parse_object(data: bytes) -> JsonObject:
    """Read one JSON object in which no name is there twice.

    Raises:
        ValueError: anything else.
    """
    return _parse(data, _DECODE_UNIQUE)


def parse_lenient_object(data: bytes) -> JsonObject:
    """Read one JSON object; an inner object with a duplicate name comes out empty.

    For documents whose bad parts are skipped singly, such as key sets.

    Raises:
        ValueError: not a JSON object.
    """
    return _parse(data, _DECODE_EMPTYING)


def _parse(data: bytes, decode: Callable[[str], tuple[Any, int]]) -> JsonObject:
    text = data.decode("utf-8")
    if text.count("[") + text.count("{") > DEPTH_MAX:
        _check_depth(text)
    text = text.strip(_WHITE_SPACE)
    found, end = decode(text)
    if end < len(text):
        raise ValueError("something follows the object")
    if not isinstance(found, dict):
        # ValueError is the contract: the text is at fault, not the programmer
        raise ValueError("not a JSON object")  # noqa: TRY004
    if "\\u" in text:
        # A lone surrogate cannot be encoded, neither for a log nor for an answer.
        json.dumps(found, ensure_ascii=False).encode("utf-8")
    return found


def _check_depth(text: str) -> None:
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(text):
        piece = match[0]
        if piece in "[{":
            depth += 1
            if depth > DEPTH_MAX:
                raise ValueError("nested too deeply")
        elif piece in "]}":
            depth -= 1


def _unique(pairs: list[tuple[str, Any]]) -> JsonObject:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is there twice")
    return found


def _emptying(pairs: list[tuple[str, Any]]) -> JsonObject:
    found = dict(pairs)
    return found if len(found) == len(pairs) else {}


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODE_UNIQUE = json.JSONDecoder(
    object_pairs_hook=_unique, parse_constant=_refuse_constant
).raw_decode
_DECODE_EMPTYING = json.JSONDecoder(
    object_pairs_hook=_emptying, parse_constant=_refuse_constant
).raw_decode
