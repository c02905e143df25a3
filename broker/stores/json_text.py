"""JSON as the stores write it: compact, whatever text a caller sent.

A lone surrogate is no UTF-8, and a number may be beyond 64 bits; both are rare, and
the standard library writes them (the surrogate as an escape).
"""

import json
from collections.abc import Callable

import orjson

_OPTIONS = orjson.OPT_PASSTHROUGH_DATACLASS


def encode_json(
    value: object, default: Callable[[object], object] | None = None
) -> str:
    """The value's text; ``default`` simplifies what JSON has no form for.

    That includes dataclasses, whose repr hides their secret members.

    Raises:
        TypeError: JSON has no form for it.
    """
    try:
        return orjson.dumps(value, default, _OPTIONS).decode("utf-8")
    except TypeError:
        return json.dumps(value, separators=(",", ":"), default=default)
