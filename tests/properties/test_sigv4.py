"""A signature covers everything it should, and reading one never fails oddly."""

from urllib.parse import parse_qsl

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace

from broker.model.request import RawRequest
from broker.protocols.sigv4 import SigV4Rejected, parse_signed
from tests.support.sigv4 import GET_URL, KEY_ID, TOKEN, presign, sign, verify

POSTED = sign(token=TOKEN)
URL = presign(GET_URL + "&P=a%20b%2Fc&Q=", token=TOKEN, headers={"x-k8s-aws-id": "c"})
BYTE = st.integers(0, 255)


def _changed(data: bytes, position: int, value: int) -> bytes:
    at = position % len(data)
    return data[:at] + bytes([value]) + data[at + 1 :]


def _refused(raw: RawRequest) -> None:
    with pytest.raises(SigV4Rejected):
        verify(raw)


@pytest.mark.parametrize("raw", [POSTED, URL])
def test_what_is_changed_below_was_accepted_before(raw: RawRequest) -> None:
    verify(raw)


@given(st.integers(0), BYTE)
def test_any_changed_byte_of_the_body_breaks_the_signature(at: int, value: int) -> None:
    body = _changed(POSTED.body, at, value)
    assume(body != POSTED.body)
    _refused(replace(POSTED, body=body))


@given(st.binary(max_size=40))
def test_a_url_admits_no_body(body: bytes) -> None:
    assume(body)
    _refused(replace(URL, body=body))


@given(st.integers(0), BYTE)
def test_any_changed_meaning_of_the_query_breaks_the_signature(
    at: int, value: int
) -> None:
    """Another spelling of the same names and values may pass; nothing else."""
    query = _changed(URL.query, at, value)

    def meaning(text: bytes) -> list[tuple[str, str]]:
        pairs = parse_qsl(text.decode("latin-1"), True, encoding="latin-1")
        return sorted(pairs)

    assume(meaning(query) != meaning(URL.query))
    _refused(replace(URL, query=query))


@given(st.sampled_from([POSTED, URL]), st.integers(0), st.integers(0), BYTE)
def test_any_changed_byte_of_a_covered_header_breaks_the_signature(
    raw: RawRequest, which: int, at: int, value: int
) -> None:
    covered = parse_signed(raw).signed_headers
    name = covered[which % len(covered)].encode()
    old = dict(raw.headers)[name]
    new = _changed(old, at, value)
    assume(new.split() != old.split())
    _refused(
        replace(
            raw, headers=tuple((n, new if n == name else v) for n, v in raw.headers)
        )
    )


@given(st.integers(0), BYTE)
def test_any_changed_byte_of_the_authorization_header_breaks_the_signature(
    at: int, value: int
) -> None:
    old = dict(POSTED.headers)[b"authorization"]
    new = _changed(old, at, value)
    # The key id picks the secret instead of being signed.
    assume(KEY_ID.encode() in new)
    separators = b", \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f\x85\xa0"
    blank = bytes.maketrans(separators, b" " * len(separators))
    assume(new.translate(blank).split() != old.translate(blank).split())
    headers = tuple((n, new if n == b"authorization" else v) for n, v in POSTED.headers)
    _refused(replace(POSTED, headers=headers))


@given(st.sampled_from([POSTED, URL]), st.sampled_from(["GET", "POST", "HEAD", "post"]))
def test_another_method_breaks_the_signature(raw: RawRequest, method: str) -> None:
    assume(method != raw.method)
    _refused(replace(raw, method=method))


@given(st.binary(min_size=1, max_size=20))
def test_another_path_breaks_the_signature(path: bytes) -> None:
    assume(path.strip(b"/.") != b"")
    _refused(replace(POSTED, raw_path=b"/" + path))


NAMES = st.sampled_from(
    [b"host", b"authorization", b"x-amz-date", b"date", b"x-amz-security-token",
     b"x-amz-content-sha256", b"x"]
)  # fmt: skip
FRAGMENTS = st.lists(
    st.sampled_from(
        [b"AWS4-HMAC-SHA256 ", b"Credential=", b"SignedHeaders=", b"Signature=",
         b"host", b";", b",", b" ", b"/", b"20240101T000000Z", b"aws4_request",
         b"X-Amz-", b"x-amz-date", b"Date", b"Signature", b"Expires", b"Algorithm",
         b"&", b"=", b"%", b"%2", b"%2F", b"+", b"\x00", b"\xff", b"1", b"a"]
    ),
    max_size=25,
).map(b"".join)  # fmt: skip


@given(
    st.text(max_size=5),
    st.one_of(FRAGMENTS, st.binary(max_size=30)),
    st.one_of(FRAGMENTS, st.binary(max_size=60)),
    st.lists(st.tuples(NAMES, st.one_of(FRAGMENTS, st.binary(max_size=30)))),
)
def test_reading_raises_nothing_but_its_own_error(
    method: str, path: bytes, query: bytes, headers: list[tuple[bytes, bytes]]
) -> None:
    raw = RawRequest(
        method=method,
        raw_path=path,
        query=query,
        headers=tuple(headers),
        body=b"",
        source_ip="",
        secure=False,
    )
    with pytest.raises(SigV4Rejected) as refused:
        verify(raw)
    assert refused.value.message.isascii()
    assert refused.value.message.isprintable()
    assert refused.value.detail.isprintable()
