"""What a tag may hold is the same at every door: API, SAML, web identity, templates."""

import unicodedata

import pytest

from broker.actions.models import load_service_model
from broker.errors import BrokerError
from broker.kinds.tags import KeyCase, checked_tags
from broker.model.tag_text import has_tag_alphabet
from broker.protocols.oidc.aws_claims import TAGS_CLAIM, read_tags
from broker.protocols.oidc.rejection import OidcRejected
from broker.protocols.shapes.constraints import compile_pattern
from broker.sessions.tags import require_session_tags
from tests.support.rows import rows

# One of each category, the separators that are not U+0020, and every printable sign.
CHARACTERS = sorted(
    {
        **{unicodedata.category(chr(c)): chr(c) for c in range(0x11000)},
        **{f"ascii {c}": chr(c) for c in range(0x20, 0x7F)},
        "no-break space": "\u00a0",
        "ideographic space": "\u3000",
        "line separator": "\u2028",
        "roman numeral": "\u2167",
        "superscript": "\u00b2",
        "vulgar fraction": "\u00bd",
        "combining accent": "\u0301",
        "tie": "\u203f",
        "tab": "\t",
    }.items()
)


def by_session_tags(text: str) -> bool:
    try:
        require_session_tags([("key", text)])
    except BrokerError:
        return False
    return True


def by_token(text: str) -> bool:
    try:
        read_tags({TAGS_CLAIM: {"principal_tags": {"key": [text]}}})
    except OidcRejected:
        return False
    return True


def by_template(text: str) -> bool:
    try:
        checked_tags([("key", text)], KeyCase.SENSITIVE)
    except BrokerError:
        return False
    return True


@rows("name,character", CHARACTERS)
def test_the_doors_agree_with_the_models(name: str, character: str) -> None:
    text = f"a{character}b"
    results = {
        door.__name__: door(text)
        for door in (has_tag_alphabet, by_session_tags, by_token, by_template)
    }
    for service in ("iam", "sts"):
        shape = load_service_model(service)["shapes"]["tagValueType"]
        wanted = bool(compile_pattern(shape["pattern"])(text))
        assert results == dict.fromkeys(results, wanted), name


@pytest.mark.parametrize(("length", "taken"), [(256, True), (257, False)])
def test_the_doors_agree_about_the_length(length: int, *, taken: bool) -> None:
    text = "\u3000" * length
    assert [by_session_tags(text), by_token(text), by_template(text)] == [taken] * 3
