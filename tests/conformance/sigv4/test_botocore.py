"""What botocore's signers sign is accepted, in every shape clients send."""

from datetime import UTC, datetime, timedelta

import pytest

from broker.model.request import RawRequest
from broker.protocols.sigv4 import SignedRequest, parse_signed
from tests.support.sigv4 import BODY, KEY_ID, TOKEN, presign, sign, verify, with_header

FORM = "application/x-www-form-urlencoded; charset=utf-8"


def _accept(raw: RawRequest) -> SignedRequest:
    signed = verify(raw)
    assert signed.access_key_id == KEY_ID
    return signed


@pytest.mark.parametrize("token", [None, TOKEN])
@pytest.mark.parametrize(
    ("url", "body"),
    [
        ("http://127.0.0.1:8080/", BODY),
        ("http://127.0.0.1:8080/", b"Action=X&Policy=%7B%22a%22%3A+1%7D&n=\xc3\xa9"),
        ("https://sts.example.org/", b""),
        ("https://sts.example.org/?Action=GetCallerIdentity&Version=2011-06-15", b""),
        ("https://sts.example.org/?b=2&a=%20x&a=%2Fy&empty=&a=", b""),
        ("https://sts.example.org/a%20b//c/../d/./%2F/~x/", BODY),
    ],
)
def test_the_header_form_is_accepted(url: str, body: bytes, token: str | None) -> None:
    signed = _accept(sign(url, body, headers={"Content-Type": FORM}, token=token))
    assert not signed.presigned
    assert signed.session_token == token


def test_a_date_header_in_http_form_is_accepted() -> None:
    raw = sign(headers={"Date": "Mon, 01 Jan 2024 00:00:00 GMT"})
    assert raw.find_header(b"x-amz-date") is None
    _accept(raw)


def test_x_amz_date_wins_over_the_date_header() -> None:
    _accept(with_header(sign(), "date", "Mon, 01 Jan 2024 00:00:00 GMT"))


@pytest.mark.parametrize("token", [None, TOKEN])
@pytest.mark.parametrize("extra", [{}, {"x-k8s-aws-id": "cluster one"}])
def test_a_presigned_url_is_accepted(token: str | None, extra: dict[str, str]) -> None:
    """The form of cluster authenticators, with and without their extra header."""
    signed = _accept(presign(headers=extra, token=token))
    assert signed.presigned
    assert signed.session_token == token
    assert signed.expires_seconds == 60
    assert set(signed.signed_headers) == {"host", *extra}


def test_parameters_with_odd_characters_survive_presigning() -> None:
    _accept(presign("https://h/?Action=X&P=a%20b%2Bc/%C3%A9~*%27%26%3D&Q=x+y"))


def test_the_javascript_sdks_header_set_is_accepted() -> None:
    """It signs content-length and amz-sdk-*, and declares the body's hash."""
    headers = {
        "content-length": str(len(BODY)),
        "content-type": "application/x-www-form-urlencoded",
        "amz-sdk-invocation-id": "9d1b",
        "amz-sdk-request": "attempt=1; max=3",
        "x-amz-user-agent": "aws-sdk-js/3.1  ua/2.1",
        "X-Amz-Content-SHA256": (
            "ab821ae955788b0e33ebd34c208442ccfc2d406e2edc5e7a39bd6458fbb4f843"
        ),
    }
    assert len(_accept(sign(headers=headers)).signed_headers) == 8


def test_the_time_of_the_signature_is_read_exactly() -> None:
    signed = parse_signed(sign())
    assert abs(datetime.now(UTC) - signed.signed_at) < timedelta(seconds=30)
    assert signed.signed_at.strftime("%Y%m%dT%H%M%SZ") == signed.timestamp
