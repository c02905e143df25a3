"""What a request says in its headers."""

from msgspec.structs import replace

from broker.model.request import RawRequest


def request(*headers: tuple[bytes, bytes]) -> RawRequest:
    return RawRequest(
        method="GET",
        raw_path=b"/",
        query=b"",
        headers=headers,
        body=b"",
        source_ip="",
        secure=True,
    )


def test_several_values_of_a_header_are_one() -> None:
    agents = ((b"user-agent", b"one"), (b"host", b"broker"), (b"user-agent", b"two"))
    assert request(*agents).find_header(b"user-agent") == "one,two"
    assert request(*agents).find_header(b"host") == "broker"
    assert request().find_header(b"host") is None


def test_a_copy_with_other_headers_has_those() -> None:
    raw_request = request((b"host", b"broker"))
    assert raw_request.find_header(b"host") == "broker"
    assert replace(raw_request, headers=()).find_header(b"host") is None
