"""Flattening: an input as the flat parameters that a client would send of it.

The reverse of `reader`, for callers that hold values: what they give is then read,
and held to the model, like everything that comes over the wire.
"""

import base64
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime


def flatten(params: Mapping[str, object]) -> dict[str, str]:
    """The parameters of an input; members that are None are not sent.

    A mapping is a structure; the few maps there are must be lists of entries.

    Raises:
        TypeError: a value is of a type that no request has.

    Source: captured requests (CAP).
    """
    return dict(_members(params, ""))


def _members(params: Mapping[str, object], prefix: str) -> Iterator[tuple[str, str]]:
    for name, value in params.items():
        if value is not None:
            yield from _value(f"{prefix}{name}", value)


def _value(path: str, value: object) -> Iterator[tuple[str, str]]:
    match value:
        case bool():
            yield path, "true" if value else "false"
        case str():
            yield path, value
        case int():
            yield path, str(value)
        case bytes():
            yield path, base64.b64encode(value).decode("ascii")
        case datetime():
            yield path, value.isoformat()
        case Mapping():
            yield from _members(value, f"{path}.")
        case Sequence() if not value:
            yield path, ""
        case Sequence():
            for number, entry in enumerate(value, 1):
                yield from _value(f"{path}.member.{number}", entry)
        case _:
            raise TypeError(f"{path} has a {type(value).__name__}")
