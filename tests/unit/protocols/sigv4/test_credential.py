"""What a signature that cannot be read is told, and what may not be ambiguous."""

import pytest
from msgspec.structs import replace

from broker.model.request import RawRequest
from broker.protocols.sigv4 import SignatureReason, SigV4Rejected, parse_signed
from tests.support.raw import raw_request
from tests.support.rows import of_file
from tests.support.sigv4 import edited, presign, sign

SCOPE = "AKIARZPUZDIKAAAACAQD/20240101/us-east-1/sts/aws4_request"
DATE = (b"x-amz-date", b"20240101T000000Z")


def _raw(*headers: tuple[bytes, bytes], query: bytes = b"") -> RawRequest:
    return raw_request(
        query=query, headers=((b"host", b"h"), *headers), source_ip="127.0.0.1"
    )


def _refused(raw: RawRequest) -> SigV4Rejected:
    with pytest.raises(SigV4Rejected) as refused:
        parse_signed(raw)
    return refused.value


def _with_authorization(text: str) -> RawRequest:
    return _raw(DATE, (b"authorization", text.encode("latin-1")))


def test_a_request_without_any_signature_is_unsigned() -> None:
    refused = _refused(_raw())
    assert refused.reason is SignatureReason.UNSIGNED
    assert refused.message == "Request is missing Authentication Token"
    query = b"Action=X&Policy=x-amz-date"
    assert _refused(_raw(query=query)).reason is SignatureReason.UNSIGNED


@pytest.mark.parametrize("text", ["", "Bearer abc", "Basic eDp5", "AWS AKID:sig"])
def test_another_scheme_is_no_signature(text: str) -> None:
    assert _refused(_with_authorization(text)).reason is SignatureReason.UNSIGNED


AUTHORIZATIONS = of_file(__file__, "AUTHORIZATIONS")


@pytest.mark.parametrize(("text", "message"), AUTHORIZATIONS)
def test_an_incomplete_authorization_header_is_explained(
    text: str, message: str
) -> None:
    refused = _refused(_with_authorization(text))
    assert refused.reason is SignatureReason.INCOMPLETE
    assert refused.message.startswith(message)


def test_a_missing_date_is_reported() -> None:
    authorization = f"AWS4-HMAC-SHA256 Credential={SCOPE}, SignedHeaders=host"
    refused = _refused(_raw((b"authorization", authorization.encode())))
    assert refused.message.startswith(
        "Authorization header requires 'Signature' parameter. Authorization header "
        "requires existence of either a 'X-Amz-Date' or a 'Date' header. "
    )


def test_no_message_repeats_the_authorization_header() -> None:
    refused = _refused(_with_authorization("AWS4-HMAC-SHA256 Signature=53cr37"))
    assert "53cr37" not in refused.message + refused.detail


@pytest.mark.parametrize(
    "date",
    ["", "now", "2024-01-01T00:00:00Z", "20241301T000000Z", "20240101T000060Z",
     "20240101T000000", "\xb2\xb2\xb2\xb2\xb2\xb2\xb2\xb2T000000Z",
     "Mon, 40 Jan 2024 00:00:00 GMT", "Mon, 01 Foo 2024 00:00:00 GMT"],
)  # fmt: skip
def test_a_date_in_another_form_is_shown(date: str) -> None:
    raw = sign()
    good = raw.find_header(b"x-amz-date")
    assert good
    refused = _refused(edited(raw, "x-amz-date", good, date.encode().decode("latin-1")))
    assert refused.reason is SignatureReason.INCOMPLETE
    assert refused.message.startswith("Date must be in ISO-8601 'basic format'. Got '")
    assert refused.message.isascii()


@pytest.mark.parametrize(
    "expires", ["0", "-1", "604801", "1e3", "", " 60", "\u0661", "9" * 5000]
)
def test_a_lifetime_outside_one_second_to_a_week_is_refused(expires: str) -> None:
    refused = _refused(presign(expires=expires))
    assert refused.reason is SignatureReason.INCOMPLETE
    assert refused.message.startswith("X-Amz-Expires must be a number between 1 and")


@pytest.mark.parametrize("expires", [1, 604_800])
def test_a_lifetime_of_one_second_to_a_week_is_read(expires: int) -> None:
    assert parse_signed(presign(expires=expires)).expires_seconds == expires


def test_a_url_may_name_no_lifetime() -> None:
    raw = presign()
    query = raw.query.replace(b"X-Amz-Expires=60&", b"")
    assert parse_signed(replace(raw, query=query)).expires_seconds is None


def test_missing_query_parameters_are_listed() -> None:
    refused = _refused(_raw(query=b"X-Amz-Credential=a&X-Amz-Date="))
    assert refused.message == (
        "AWS query-string parameters must include 'X-Amz-Algorithm'. "
        "AWS query-string parameters must include 'X-Amz-Signature'. "
        "AWS query-string parameters must include 'X-Amz-SignedHeaders'. "
        "AWS query-string parameters must include 'X-Amz-Date'. "
        "Re-examine the query-string parameters."
    )


def test_another_query_algorithm_is_no_signature() -> None:
    raw = presign()
    query = raw.query.replace(b"AWS4-HMAC-SHA256", b"AWS4-HMAC-SHA1")
    refused = _refused(replace(raw, query=query))
    assert refused.reason is SignatureReason.UNSIGNED
    assert refused.message == "Missing Authentication Token"


@pytest.mark.parametrize("query", [b"a=%", b"a=%4", b"%zz=1", b"X-Amz-Date=%f"])
def test_a_broken_escape_is_a_malformed_query(query: bytes) -> None:
    assert _refused(_raw(query=query)).reason is SignatureReason.MALFORMED_QUERY


@pytest.mark.parametrize(
    "query", [b"X-Amz-Signature=0", b"x-amz-SIGNATURE=0", b"X%2DAmz%2DDate=0"]
)
def test_any_spelling_of_a_signing_parameter_counts_as_a_signature(
    query: bytes,
) -> None:
    assert _refused(_raw(query=query)).reason is not SignatureReason.UNSIGNED


def test_messages_are_short_and_printable() -> None:
    credential = "\x00\x85" + "é" * 10_000
    refused = _refused(
        _with_authorization(
            f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host;x-amz-date,"
            " Signature=0"
        )
    )
    assert refused.message.isprintable()
    assert len(refused.message) < 400


def test_the_record_shows_no_token_and_no_signature() -> None:
    signed = parse_signed(sign(token="tok3n"))
    assert "tok3n" not in repr(signed)
    assert signed.signature not in repr(signed)
