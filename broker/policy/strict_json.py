"""Parses JSON strictly: no duplicate keys, no NaN, bounded size and depth.

Numbers that no double holds (``1e400``) are refused, too: not all that reads a stored
policy could read them (RFC 8259, section 6).
"""

import json
import math
import re
from typing import Any

from broker.model.strict_json import json_reader
from broker.policy.errors import PolicyRejected, RejectionReason

POLICY_CHARACTERS_MAX = 131_072
"""IAM's own bound on a ``policyDocument`` parameter (pinned service model)."""

STORED_CHARACTERS_MAX = 262_144
"""For a text that is there already: AWS's longest managed policy has 152,297."""

INVALID_JSON_TEXT = "This policy contains invalid Json"

_PLAIN_NUMBER = re.compile(r"-?[0-9]{1,300}(?:\.[0-9]{1,300})?")

Json = str | bool | list["Json"] | dict[str, "Json"] | None

_SHOWN_CHARACTERS = 120


class NumberText(str):
    """A JSON number, kept as written."""

    __slots__ = ()


def parse_json(text: str, characters_max: int = POLICY_CHARACTERS_MAX) -> Json:
    """Read a policy's JSON; numbers stay text.

    Raises:
        PolicyRejected: TOO_LONG, DUPLICATE_KEY, or INVALID_JSON with IAM's text.
    """
    if len(text) > characters_max:
        raise PolicyRejected(
            RejectionReason.TOO_LONG,
            f"The policy text has {len(text)} characters; "
            f"at most {characters_max} can be read.",
        )
    try:
        text.encode()  # with a lone surrogate it could not be stored
        value: Json = _read(text)
    except (ValueError, RecursionError) as error:
        raise PolicyRejected(RejectionReason.INVALID_JSON, INVALID_JSON_TEXT) from error
    return value


def load_document(text: str) -> Any:  # noqa: ANN401  # plain data
    """A document as plain data, to be written again as JSON or YAML.

    A number that would be written otherwise (``1.10``, ``1e2``) becomes a text: in a
    condition, its only place, both are the same.

    Raises:
        PolicyRejected: an object has a key twice.
        ValueError, RecursionError: it is not JSON, or too deep.
    """
    return _read_plain(text)


def _plain_number(text: str) -> int | float | str:
    if not _PLAIN_NUMBER.fullmatch(text):
        return text
    number = float(text) if "." in text else int(text)
    return number if str(number) == text else text


def _number(text: str) -> NumberText:
    if math.isinf(float(text)):
        raise ValueError("a number that no double holds")
    return NumberText(text)


def _object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    results = dict(pairs)
    if len(results) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise PolicyRejected(
                    RejectionReason.DUPLICATE_KEY,
                    "Syntax errors in policy.",
                    advice=f"The key {shorten(key)} stands twice in one object; keep one"
                    " of them.",
                )
            seen.add(key)
    return results


_read = json_reader(_object, number=_number, depth_max=None)
_read_plain = json_reader(_object, number=_plain_number, depth_max=None)


def shorten(text: str) -> str:
    """The user's text, quoted, printable and cut to a length fit for a message."""
    cut = text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"
    return json.dumps(cut, ensure_ascii=False).encode("utf-8", "replace").decode()
