"""The bounds of the one parse, at their edges."""

from collections.abc import Callable

import pytest

from broker.protocols.saml.errors import SamlReason as R
from broker.protocols.saml.errors import SamlRejected
from broker.protocols.saml.gate import parse_strictly
from tests.support.rows import rows


def _reason(text: str) -> R | None:
    try:
        parse_strictly(text)
    except SamlRejected as error:
        return error.reason
    return None


def _nested(depth: int) -> str:
    return "<a>" * depth + "</a>" * depth


def _wide(elements: int) -> str:
    return f"<r>{'<a/>' * (elements - 1)}</r>"


def _attributes(count: int) -> str:
    return "<r " + " ".join(f'a{n}="x"' for n in range(count)) + "/>"


@pytest.mark.parametrize(
    ("build", "limit"), [(_nested, 32), (_wide, 4_000), (_attributes, 64)]
)
def test_a_bound_is_taken_and_one_more_is_not(
    build: Callable[[int], str], limit: int
) -> None:
    assert _reason(build(limit)) is None
    assert _reason(build(limit + 1)) is R.TOO_COMPLEX


@rows("text, expected")
def test_shapes_are_judged(text: str, expected: R | None) -> None:
    assert _reason(text) is expected
