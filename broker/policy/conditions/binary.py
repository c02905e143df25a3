"""``BinaryEquals``: base64 texts compared by the bytes they encode."""

import base64

from broker.policy.conditions.value import OperatorFamily, ValueTest
from broker.policy.variables import Context


def _find_bytes(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return None


def _check(text: str) -> str | None:
    return "is not base64" if _find_bytes(text) is None else None


def _compile(values: tuple[str, ...], _negated: bool, _: bool) -> ValueTest:  # noqa: FBT001  # the shape of every family
    # IAM has no negated BinaryEquals.
    accepted = {found for found in map(_find_bytes, values) if found is not None}

    def matches(value: str, _: Context) -> bool:
        found = _find_bytes(value)
        return found is not None and found in accepted

    return matches


BINARY_EQUALS = OperatorFamily(_compile, _check)
