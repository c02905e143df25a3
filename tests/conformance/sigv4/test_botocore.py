"""What botocore's signers sign is accepted, in every shape clients send."""

from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from broker.model.raw import RawRequest
from broker.protocols.sigv4 import (
    SignedRequest,
    carries_signature,
    derive_signing_key,
    parse_signed,
    verify_scope,
    verify_signature,
    verify_time,
)

KEY_ID = "AKIARZPUZDIKAAAACAQD"
SECRET = "a" * 40
TOKEN = "AQoDYXdzEPT//////////wEX+AMP/LE=="
FORM = "application/x-www-form-urlencoded; charset=utf-8"
BODY = b"Action=GetCallerIdentity&Version=2011-06-15"


def _raw(request: AWSRequest) -> RawRequest:
    url = urlsplit(request.url)
    headers = [
        (k.lower().encode(), str(v).encode()) for k, v in request.headers.items()
    ]
    if "host" not in request.headers:
        headers.insert(0, (b"host", url.netloc.encode()))
    headers += [(b"user-agent", b"Boto3/1"), (b"x-amzn-trace-id", b"Root=1")]
    return RawRequest(
        method=request.method,
        raw_path=url.path.encode(),
        query=url.query.encode(),
        headers=tuple(headers),
        body=request.body or b"",
        source_ip="127.0.0.1",
        secure=False,
    )


def _accept(raw: RawRequest, region: str = "eu-west-3") -> SignedRequest:
    signed = parse_signed(raw)
    assert carries_signature(raw)
    assert signed.access_key_id == KEY_ID
    verify_time(signed, now=datetime.now(UTC))
    verify_scope(signed, regions=None, service="sts")
    verify_signature(
        signed, raw, derive_signing_key(SECRET, signed.date, region, "sts")
    )
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
    request = AWSRequest("POST", url, data=body, headers={"Content-Type": FORM})
    SigV4Auth(Credentials(KEY_ID, SECRET, token), "sts", "eu-west-3").add_auth(request)
    signed = _accept(_raw(request))
    assert not signed.presigned
    assert signed.session_token == token


def test_a_date_header_in_http_form_is_accepted() -> None:
    headers = {"Date": "Mon, 01 Jan 2024 00:00:00 GMT"}
    request = AWSRequest("POST", "https://h/", data=BODY, headers=headers)
    SigV4Auth(Credentials(KEY_ID, SECRET), "sts", "eu-west-3").add_auth(request)
    assert "X-Amz-Date" not in request.headers
    _accept(_raw(request))


def test_x_amz_date_wins_over_the_date_header() -> None:
    request = AWSRequest("POST", "https://h/", data=BODY)
    SigV4Auth(Credentials(KEY_ID, SECRET), "sts", "eu-west-3").add_auth(request)
    request.headers["Date"] = "Mon, 01 Jan 2024 00:00:00 GMT"
    _accept(_raw(request))


@pytest.mark.parametrize("token", [None, TOKEN])
@pytest.mark.parametrize("extra", [{}, {"x-k8s-aws-id": "cluster one"}])
def test_a_presigned_url_is_accepted(token: str | None, extra: dict[str, str]) -> None:
    """The form of cluster authenticators, with and without their extra header."""
    url = "https://sts.example.org/?Action=GetCallerIdentity&Version=2011-06-15"
    request = AWSRequest("GET", url, headers=extra)
    credentials = Credentials(KEY_ID, SECRET, token)
    SigV4QueryAuth(credentials, "sts", "eu-west-3", expires=60).add_auth(request)
    signed = _accept(_raw(request))
    assert signed.presigned
    assert signed.session_token == token
    assert signed.expires_seconds == 60
    assert set(signed.signed_headers) == {"host", *extra}


def test_parameters_with_odd_characters_survive_presigning() -> None:
    request = AWSRequest("GET", "https://h/", data={"Action": "X", "P": "a b+c/é~*'&="})
    SigV4QueryAuth(Credentials(KEY_ID, SECRET), "sts", "eu-west-3").add_auth(request)
    _accept(_raw(request))


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
    request = AWSRequest("POST", "https://h/", data=BODY, headers=headers)
    SigV4Auth(Credentials(KEY_ID, SECRET), "sts", "eu-west-3").add_auth(request)
    assert len(_accept(_raw(request)).signed_headers) == 8


def test_the_time_of_the_signature_is_read_exactly() -> None:
    request = AWSRequest("POST", "https://h/", data=BODY)
    SigV4Auth(Credentials(KEY_ID, SECRET), "sts", "eu-west-3").add_auth(request)
    signed = parse_signed(_raw(request))
    assert abs(datetime.now(UTC) - signed.signed_at) < timedelta(seconds=30)
    assert signed.signed_at.strftime("%Y%m%dT%H%M%SZ") == signed.timestamp
