"""Requests signed by botocore, as they arrive at the broker."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from msgspec.structs import replace

from broker.model.request import RawRequest
from broker.protocols.sigv4 import (
    SignedRequest,
    derive_signing_key,
    parse_signed,
    prepare_signing_key,
    verify_scope,
    verify_signature,
    verify_time,
)

KEY_ID = "AKIARZPUZDIKAAAACAQD"
SECRET = "a" * 40
TOKEN = "AQoDYXdzEPT//////////wEX+AMP/LE=="
BODY = b"Action=GetCallerIdentity&Version=2011-06-15"
URL = "https://sts.example.org/"
GET_URL = f"{URL}?Action=GetCallerIdentity&Version=2011-06-15"


def to_raw(request: AWSRequest) -> RawRequest:
    """The request as the edge hands it over, with headers that nobody signs."""
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


def sign(
    url: str = URL,
    body: bytes = BODY,
    *,
    method: str = "POST",
    headers: Mapping[str, str] | None = None,
    key_id: str = KEY_ID,
    secret: str = SECRET,
    token: str | None = None,
    service: str = "sts",
    region: str = "eu-west-3",
    signer: type[SigV4Auth] = SigV4Auth,
) -> RawRequest:
    """Signed in the Authorization header."""
    request = AWSRequest(method, url, data=body, headers=dict(headers or {}))
    signer(Credentials(key_id, secret, token), service, region).add_auth(request)
    return to_raw(request)


def presign(
    url: str = GET_URL,
    *,
    headers: Mapping[str, str] | None = None,
    expires: int | str = 60,
    key_id: str = KEY_ID,
    secret: str = SECRET,
    token: str | None = None,
    service: str = "sts",
    region: str = "eu-west-3",
) -> RawRequest:
    """Signed in the query."""
    request = AWSRequest("GET", url, headers=dict(headers or {}))
    credentials = Credentials(key_id, secret, token)
    SigV4QueryAuth(credentials, service, region, expires=expires).add_auth(request)
    return to_raw(request)


def verify(
    raw: RawRequest, *, secret: str = SECRET, service: str = "sts"
) -> SignedRequest:
    """All checks, in order, at the moment that the request names."""
    signed = parse_signed(raw)
    verify_time(signed, now=signed.signed_at)
    verify_scope(signed, regions=None, service=service)
    key = derive_signing_key(secret, signed.date, signed.region, service)
    verify_signature(signed, raw, prepare_signing_key(key))
    return signed


def with_header(raw: RawRequest, name: str, value: str) -> RawRequest:
    """The request with one more header at the end."""
    return replace(raw, headers=(*raw.headers, (name.encode(), value.encode())))


def edited(raw: RawRequest, name: str, old: str, new: str) -> RawRequest:
    """The request with a text replaced in one header's value."""
    headers = tuple(
        (n, v.replace(old.encode(), new.encode()) if n == name.encode() else v)
        for n, v in raw.headers
    )
    return replace(raw, headers=headers)
