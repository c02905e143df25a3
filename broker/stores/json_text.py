"""JSON as the stores write it: compact, whatever text a caller sent.

A lone surrogate is not UTF-8, and a number may be beyond 64 bits; both are rare, and
the standard library writes them (the surrogate as an escape).
"""

import json
from collections.abc import Callable
from typing import Any

import orjson

_OPTIONS = orjson.OPT_PASSTHROUGH_DATACLASS


def encode_json(value: object, default: Callable[[Any], object] | None = None) -> str:
    """The value's text; ``default`` simplifies what JSON has no form for.

    That includes records, whose repr hides their secret members.

    Raises:
        TypeError: JSON has no form for it.
    """
    try:
        return orjson.dumps(value, default, _OPTIONS).decode("utf-8")
    except TypeError:
        return json.dumps(value, separators=(",", ":"), default=default)


def decode_json(text: str | bytes) -> Any:  # noqa: ANN401  # whatever it is the text of
    """The value of a text that `encode_json` made, whole numbers within 64 bits.

    Raises:
        ValueError: it is not JSON.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        # It does not read the escape of a lone surrogate.
        return json.loads(text)
