import pytest

from broker.protocols.enforcement import RequestAmbiguous, read_forwarded
from broker.protocols.enforcement.forwarded import (
    check_overrides,
    is_address,
)

FORWARDED = (
    (b"host", b"broker:8080"),
    (b"x-forwarded-method", b"PUT"),
    (b"x-forwarded-uri", b"/a%20b?x=1&y"),
    (b"x-forwarded-host", b"api.example"),
    (b"x-forwarded-for", b"198.51.100.9, 203.0.113.7"),
    (b"x-forwarded-proto", b"https"),
    (b"authorization", b"AWS4-HMAC-SHA256 Credential=x"),
    (b"content-length", b"0"),
)
HOST = (b"host", b"api.example")
ORIGINAL = (
    (b"x-original-method", b"GET"),
    (b"x-original-uri", b"/"),
    (b"x-forwarded-host", b"api.example"),
)


def test_the_request_is_told() -> None:
    told = read_forwarded(FORWARDED)
    assert (told.method, told.raw_path, told.query) == ("PUT", b"/a%20b", b"x=1&y")
    assert told.headers == (
        (b"host", b"api.example"),
        (b"authorization", b"AWS4-HMAC-SHA256 Credential=x"),
    )
    assert (told.source_ip, told.secure, told.content_length) == (
        "203.0.113.7",
        True,
        -1,
    )


SIGNED = b"AWS4-HMAC-SHA256 Credential=x, SignedHeaders=%s;host, Signature=00"
LENGTH = (b"x-original-content-length", b"12")


@pytest.mark.parametrize(
    ("signed", "told", "expected"),
    [
        (b"content-length", (LENGTH,), ((b"content-length", b"12"),)),
        (b"content-length", (), ()),
        (b"content-type", (LENGTH,), ()),
        (b"transfer-encoding", (), ((b"transfer-encoding", b"chunked"),)),
        (b"transfer-encoding", (LENGTH,), ((b"transfer-encoding", b"chunked"),)),
        (b"transfer-encoding", ((b"transfer-encoding", b"x"),), None),
    ],
)
def test_signed_headers_of_the_clients_connection(
    signed: bytes,
    told: tuple[tuple[bytes, bytes], ...],
    expected: tuple[tuple[bytes, bytes], ...] | None,
) -> None:
    """A subrequest has its own; what it says of them is never the client's."""
    expected = expected or ((b"transfer-encoding", b"chunked"),) * (expected is None)
    authorization = (b"authorization", SIGNED % signed)
    request = read_forwarded(
        (*ORIGINAL, authorization, *told, (b"content-length", b"0"))
    )
    assert request.headers == ((b"host", b"api.example"), authorization, *expected)
    presigned = (b"x-original-uri", b"/?X-Amz-SignedHeaders=%s%%3Bhost" % signed)
    request = read_forwarded((ORIGINAL[0], presigned, ORIGINAL[2], *told))
    assert request.headers == ((b"host", b"api.example"), *expected)


def test_an_address_has_a_length() -> None:
    assert not is_address("1" * 46)
    assert is_address("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255")


def test_a_body_in_chunks_is_a_body() -> None:
    told = read_forwarded((*ORIGINAL, (b"x-original-content-length", b"Chunked")))
    assert told.content_length > 0
    assert told.headers == ((b"host", b"api.example"),)


def test_the_other_family_tells_it_too() -> None:
    told = read_forwarded((*ORIGINAL, (b"x-original-content-length", b"12")))
    assert (told.method, told.raw_path) == ("GET", b"/")
    assert (told.source_ip, told.secure, told.content_length) == ("", None, 12)


@pytest.mark.parametrize(
    "headers",
    [
        (),
        FORWARDED[:2],
        FORWARDED[:3],
        (*FORWARDED[:2], FORWARDED[3]),
        (FORWARDED[0], *FORWARDED[2:4]),
        (*FORWARDED, (b"x-original-uri", b"/public")),
        (*FORWARDED, (b"x-original-method", b"GET")),
        (*ORIGINAL, (b"x-forwarded-uri", b"/public")),
        (*FORWARDED, (b"x-forwarded-uri", b"/public")),
        (*FORWARDED, (b"x-forwarded-host", b"other")),
        (*FORWARDED, (b"x-forwarded-proto", b"http")),
        (*FORWARDED[:4], (b"x-forwarded-for", b"203.0.113.7, unknown")),
        (*FORWARDED[:4], (b"x-forwarded-for", b"fe80::1%eth0")),
        (*ORIGINAL, (b"x-original-content-length", b"-1")),
        (*ORIGINAL, (b"x-original-content-length", b"9" * 21)),
        ((b"x-original-method", b"G T"), *ORIGINAL[1:]),
        ((b"x-original-method", b"G" * 21), *ORIGINAL[1:]),
        ((b"x-original-method", b"G\xc9T"), *ORIGINAL[1:]),
        (*ORIGINAL[:2], (b"x-forwarded-host", b"")),
    ],
)
def test_what_is_told_twice_or_not_at_all_is_refused(
    headers: tuple[tuple[bytes, bytes], ...],
) -> None:
    with pytest.raises(RequestAmbiguous):
        read_forwarded(headers)


@pytest.mark.parametrize(
    ("method", "header"),
    [
        ("get", (b"accept", b"*/*")),
        ("Get", (b"accept", b"*/*")),
        ("GET", (b"x-http-method-override", b"DELETE")),
        ("GET", (b"x_http_method_override", b"DELETE")),
        ("GET", (b"x_broker_principal", b"arn:aws:iam::111122223333:root")),
        ("GET", (b"x_forwarded_for", b"203.0.113.7")),
        ("GET", (b"x-real_ip", b"203.0.113.7")),
        ("GET", (b"x-broker_tags", b"team=blue")),
        ("GET", (b"x-original-url", b"/admin")),
        ("GET", (b"x_original_url", b"/admin")),
        ("GET", (b"x-original-url", b"/a")),
        ("GET", (b"x-rewrite-url", b"/a?b=2")),
        ("GET", (b"x-rewrite-url", b"https://other.example/a?b=1")),
        ("GET", (b"x-rewrite-url", b"/admin?https://api.example/a?b=1")),
    ],
)
def test_what_some_services_take_for_another_request_is_refused(
    method: str, header: tuple[bytes, bytes]
) -> None:
    with pytest.raises(RequestAmbiguous):
        check_overrides(method, b"/a?b=1", (HOST, header))


def test_other_headers_are_let_through() -> None:
    """A proxy overwrites a client's headers of the very names that it copies."""
    names = (b"x_trace", b"x-broker-principal", b"x-amz-meta-a_b")
    check_overrides("GET", b"/", tuple((name, b"1") for name in names))
    check_overrides("PUT", b"/", ((b"x-http-method-override", b"PUT"),))
    for url in (b"/a?b=1", b"http://api.example/a?b=1", b"https://api.example/a?b=1"):
        check_overrides("GET", b"/a?b=1", (HOST, (b"x-original-url", url)))


@pytest.mark.parametrize(
    "query",
    [
        b"_method=DELETE",
        b"a=b&_method=put",
        b"a=b;_method=DELETE",
        b"%5Fmethod=DELETE",
        b"_%6dethod=DELETE",
        b"_METHOD=DELETE",
        b"_method=POST&_method=DELETE",
        b"_method=%44ELETE",
        b"_method",
        b"_method[]=DELETE",
        b"+.method=DELETE",
    ],
)
def test_a_query_that_some_services_take_for_a_method_is_refused(query: bytes) -> None:
    with pytest.raises(RequestAmbiguous):
        check_overrides("POST", b"/a?" + query, (HOST,))
    check_overrides("GET", b"/a?" + query, (HOST,))  # only a POST is turned


def test_other_queries_are_let_through() -> None:
    for query in (b"", b"method=DELETE", b"a=_method", b"_methods=1", b"_method=POST"):
        check_overrides("POST", b"/a?" + query, (HOST,))
