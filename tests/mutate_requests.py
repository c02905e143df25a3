"""Mutates signed requests a million times, and looks for one that passes.

``python -m tests.mutate_requests [MUTANTS] [SEED]`` changes requests of several signers
at random places, as bytes on the wire: in the header form, presigned, with a body, with a
declared hash, and signed as for S3. Each is read with the server's parser and verified as
for a registered service. A mutant may only be refused in the verifier's own way, or say
exactly what the original says: who, the method, the path, the query, the host and the
body.
"""

import random
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import urlsplit

import httptools
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from broker.model.request import RawRequest
from broker.model.secret import Secret
from broker.proofs.sigv4 import SigningKeys
from broker.protocols.enforcement import RequestAmbiguous, resource_path
from broker.protocols.enforcement.forwarded import check_overrides
from broker.protocols.sigv4 import (
    SignatureRules,
    SigV4Rejected,
    parse_signed,
    verify_scope,
    verify_time,
)
from broker.protocols.sigv4.canonical import split_query
from tests.mutate_proofs import Verdict, run
from tests.support import signers
from tests.support.broker import Key
from tests.support.signers import SignedRequest

KEY = Key("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
SESSION = Key("ASIAIOSFODNN7EXAMPLE", "s" * 40, "FwoGZXIvYXdzEBYaD" + "x/+=" * 40)
OTHER = Key("AKIAI44QH8DHBEXAMPLE", "o" * 40)
_SECRETS = {
    (key.access_key_id, key.session_token): key for key in (KEY, SESSION, OTHER)
}
PIECES = [
    *(b"\r\n", b"\r\n\r\n", b"\r", b"\n", b"\x00", b" ", b"\t", b",", b";", b"=", b"&"),
    *(b"?", b"#", b"/", b"//", b"/../", b"/./", b"%2F", b"%2e%2e", b"%00", b"%25"),
    *(b"+", b"%20", b"\xff", b"a=1", b"&a=1", b"host: other.example.com\r\n", b"Host"),
    b"x-amz-date: 20260101T000000Z\r\n",
    b"x-amz-content-sha256: UNSIGNED-PAYLOAD\r\n",
    *(b"transfer-encoding: chunked\r\n", b"content-length: 0\r\n"),
    *(b"connection: host\r\n", b"x-http-method-override: DELETE\r\n"),
    *(b"X-Amz-Expires=604800", b"x_amz_date: 1\r\n", OTHER.access_key_id.encode()),
    *(b"us-west-2", b"GET", b"PUT", b"DELETE", b"HTTP/1.0"),
]
STRICT = SignatureRules(presigned_seconds_max=900)
BELIEVING = SignatureRules(presigned_seconds_max=900, believes_declared_hash=True)
AS_SENT = SignatureRules(path_as_sent=True, payloads=frozenset({"UNSIGNED-PAYLOAD"}))


class _Parsed:
    """The first request of some bytes, as the server's parser calls back."""

    def __init__(self) -> None:
        self.url = self.body = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.method = ""
        self.whole = False

    def on_url(self, url: bytes) -> None:
        if not self.whole:
            self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.whole:
            self.headers.append((name.lower(), value))

    def on_body(self, body: bytes) -> None:
        if not self.whole:
            self.body += body

    def on_headers_complete(self) -> None:
        if not self.whole:
            self.method = self.parser.get_method().decode()

    def on_message_complete(self) -> None:
        self.whole = True

    def read(self, wire: bytes) -> RawRequest | None:
        self.parser = httptools.HttpRequestParser(self)
        try:
            self.parser.feed_data(wire)
        except httptools.HttpParserUpgrade:
            return None
        except httptools.HttpParserError:
            if not self.whole:
                return None
        if not self.whole:
            return None
        path, _, query = self.url.partition(b"?")
        return RawRequest(
            method=self.method,
            raw_path=path,
            query=query,
            headers=tuple(self.headers),
            body=self.body,
            source_ip="",
            secure=True,
        )


def verdict_of(rules: SignatureRules, now: datetime, service: str) -> Verdict:
    """What a request says to a registered service with these rules."""
    keys = SigningKeys()

    def verdict(wire: bytes) -> object:
        raw = _Parsed().read(wire)
        if raw is None:
            return None
        try:
            path = resource_path(raw.raw_path)
            check_overrides(raw.method, raw.target, raw.headers)
            signed = parse_signed(raw, rules)
            verify_time(signed, now=now, rules=rules)
            verify_scope(signed, regions={signers.REGION}, service=service)
            key = _SECRETS.get((signed.access_key_id, signed.session_token))
            if key is None:
                return None
            payload = keys.verify(signed, raw, Secret(key.secret_access_key), rules)
        except (RequestAmbiguous, SigV4Rejected):
            return None
        query = [
            pair
            for pair in split_query(raw.query)
            if not pair[0].lower().startswith(b"x-amz-")
        ]
        covered = (
            "" if rules.believes_declared_hash or not payload.islower() else raw.body
        )
        return (
            *(signed.access_key_id, raw.method, path, sorted(query)),
            *((raw.find_header(b"host") or "").strip(), payload, covered),
            signed.expires_seconds,
        )

    return verdict


def wire_of(request: SignedRequest) -> bytes:
    """What goes over the wire, with a header that nobody signed."""
    parts = urlsplit(request.url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = {"host": parts.netloc, "user-agent": "test"} | {
        name.lower(): value for name, value in request.headers.items()
    }
    if request.body:
        headers["content-length"] = str(len(request.body))
    lines = [f"{request.method} {target} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + request.body


def _as_for_s3(make: Callable[..., S3SigV4Auth], url: str) -> SignedRequest:
    request = AWSRequest("GET", url)
    values = KEY.access_key_id, KEY.secret_access_key
    make(Credentials(*values), "s3", signers.REGION).add_auth(request)
    return SignedRequest("GET", request.url, dict(request.headers.items()))


def proofs() -> list[tuple[bytes, Verdict]]:
    """Requests, each with what verifies it."""
    now = datetime.now(UTC)
    strict, believing = (
        verdict_of(rules, now, "execute-api") for rules in (STRICT, BELIEVING)
    )
    as_sent = verdict_of(AS_SENT, now, "s3")
    url = "https://orders.example.com/orders/a%20b"
    asked = f"{url}?full=1&tag=a%20b&tag=%2F"
    body = b'{"Order": 7, "Quantity": 1}'
    made = [
        (signers.botocore(KEY, url), strict),
        (signers.botocore(SESSION, url), strict),
        (signers.botocore(KEY, asked, "PUT", body), strict),
        (signers.presigned(KEY, asked), strict),
        (signers.presigned(SESSION, url), strict),
        (signers.crt(KEY, asked), strict),
        (signers.aws4auth(SESSION, url, "PUT", body), strict),
        (signers.aws4auth(KEY, url, "PUT", body), believing),
        (_as_for_s3(S3SigV4Auth, asked), as_sent),
        (_as_for_s3(S3SigV4QueryAuth, asked), as_sent),
    ]
    return [(wire_of(request), verdict) for request, verdict in made]


def mutate(original: bytes, chance: random.Random) -> bytes:
    """One to three changes: a bit, a hole, a piece, a copy, or lines exchanged."""
    text = bytearray(original)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        place, length = chance.randrange(len(text)), chance.randrange(1, 60)
        kind = chance.randrange(7)
        if kind == 0:
            text[place] ^= 1 << chance.randrange(8)
        elif kind == 1:
            del text[place : place + min(length, len(text) - 1)]
        elif kind == 2:
            text[place:place] = chance.choice(PIECES)
        elif kind == 3:
            source = chance.randrange(len(text))
            text[place:place] = text[source : source + length]
        elif kind == 4:
            text[place : place + 1] = bytes(text[place : place + 1]).swapcase()
        elif kind == 5:
            text[place : place + 1] = b"%%%02X" % text[place]
        else:
            lines = text.split(b"\r\n")
            entry, two = chance.randrange(len(lines)), chance.randrange(len(lines))
            if chance.random() < 0.5:
                lines[entry], lines[two] = lines[two], lines[entry]
            else:
                lines.insert(two, lines[entry])
            text = bytearray(b"\r\n".join(lines))
    return bytes(text)


if __name__ == "__main__":
    run("mutate_requests", proofs(), mutate, __doc__.splitlines()[0])
