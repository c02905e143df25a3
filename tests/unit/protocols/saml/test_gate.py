"""The bounds of the one parse, at their edges."""

from collections.abc import Callable

import pytest

from broker.protocols.saml.errors import SamlReason as R
from broker.protocols.saml.errors import SamlRejected
from broker.protocols.saml.gate import parse_strictly


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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<r><?pi x?><a/></r>", R.SPLIT_TEXT),
        ("<r>text<!-- --></r>", R.SPLIT_TEXT),
        ("<r><!-- -->text</r>", R.SPLIT_TEXT),
        ("<r><!-- --><a/>\n<!-- --></r>", None),
        ("<!-- --><r/><!-- -->", None),
        ('<r><a xml:id="x"/></r>', R.IDS),
        ('<r ID="x"><a Id="x"/></r>', R.IDS),
        ('<r ID="x"><a id="y" void="x" Uid="x"/></r>', None),
        ('<r xmlns="urn:a" xmlns:b="https://b"/>', None),
        ('<r xmlns="urn:a"><a xmlns=""/></r>', None),
        ("<r xmlns='b'/>", R.NAMESPACE),
        ('<r xmlns:b = "../b"/>', R.NAMESPACE),
        ('<r xmlns:b="&#x75;rn:b"/>', R.NAMESPACE),
    ],
)
def test_shapes_are_judged(text: str, expected: R | None) -> None:
    assert _reason(text) is expected
