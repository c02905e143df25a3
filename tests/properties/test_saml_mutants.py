"""No mutant of a signed response passes with other content, and none gets stuck."""

import base64
import contextlib

from hypothesis import given, settings
from hypothesis import strategies as st

from broker.protocols.saml.errors import MetadataRejected, SamlRejected
from broker.protocols.saml.metadata import parse_metadata
from tests.support.effort import cpu_at_most, examples
from tests.support.rows import of_file
from tests.support.saml_check import verify
from tests.support.saml_idp import NOW, build_response, metadata_xml

SIGNED = [
    base64.b64decode(build_response(sign=sign)) for sign in ("assertion", "response")
]
GOOD = verify(base64.b64encode(SIGNED[0]).decode())
METADATA = metadata_xml()
PIECES = of_file(__file__, "PIECES")


@settings(max_examples=examples(150), deadline=None)
@given(
    which=st.integers(0, 1),
    start=st.integers(0, 6000),
    length=st.integers(0, 400),
    piece=st.one_of(st.sampled_from(PIECES), st.binary(max_size=8)),
)
def test_a_mutant_says_the_same_or_is_refused(
    which: int, start: int, length: int, piece: bytes
) -> None:
    raw = SIGNED[which]
    start %= len(raw)
    mutant = raw[:start] + piece + raw[start + length :]
    try:
        with cpu_at_most(2_000):
            proved = verify(base64.b64encode(mutant).decode())
    except SamlRejected:
        pass
    else:
        assert proved.subject == GOOD.subject
        assert proved.attributes == GOOD.attributes
        assert proved.recipient == GOOD.recipient
        assert proved.assertion_id == GOOD.assertion_id
        assert proved.latest_not_on_or_after == GOOD.latest_not_on_or_after


@settings(max_examples=examples(50), deadline=None)
@given(text=st.text(max_size=200))
def test_any_text_is_only_ever_refused(text: str) -> None:
    for candidate in (text, base64.b64encode(text.encode("utf-8", "replace")).decode()):
        try:
            verify(candidate)
        except SamlRejected:
            continue
        raise AssertionError(candidate)


@settings(max_examples=examples(50), deadline=None)
@given(start=st.integers(0, 5000), length=st.integers(0, 50), piece=st.text(max_size=6))
def test_mutated_metadata_is_read_or_refused(
    start: int, length: int, piece: str
) -> None:
    start %= len(METADATA)
    with contextlib.suppress(MetadataRejected):
        parse_metadata(METADATA[:start] + piece + METADATA[start + length :], now=NOW)
