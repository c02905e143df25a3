"""Calls to the broker: signed as AWS signs them, over TLS, and only by its own words."""

import contextlib
import ipaddress
import ssl
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import jwt
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from broker.agent import broker_api
from broker.agent.broker_api import (
    STS_VERSION,
    AccessKey,
    BrokerApi,
    BrokerAwayError,
    BrokerRefusedError,
    signed_token,
)
from tests.support.certificates import name_of

REST = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
GOOD = b'{"GetThingResponse":{"GetThingResult":{"Name":"x"},"ResponseMetadata":{}}}'
REFUSED = b'{"Error":{"Code":"AccessDenied","Message":"no","Type":"Sender"}}'


class Handler(BaseHTTPRequestHandler):
    """Answers as the test says, and remembers what it was asked."""

    status = 200
    answer = GOOD
    headers_sent: ClassVar[dict[str, str]] = {}
    date = ""
    seen: ClassVar[list[tuple[dict[str, str], bytes]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        type(self).seen.append((dict(self.headers.items()), body))
        self.send_response_only(self.status)
        if self.date:
            self.send_header("Date", self.date)
        for name, value in self.headers_sent.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(self.answer)))
        self.end_headers()
        self.wfile.write(self.answer)

    def log_message(self, *_given: object) -> None:
        pass


@pytest.fixture
def handler() -> type[Handler]:
    class Fresh(Handler):
        seen: ClassVar[list[tuple[dict[str, str], bytes]]] = []

    return Fresh


def serving(handler: type[Handler], tls: ssl.SSLContext | None = None) -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def origin(handler: type[Handler]) -> Iterator[str]:
    yield from serving(handler)


def test_an_answer(origin: str, handler: type[Handler]) -> None:
    api = BrokerApi(origin, "eu-west-3")
    assert api.call("GetThing", {"A": "b c", "Empty": ""}) == {"Name": "x"}
    ((headers, body),) = handler.seen
    assert body == b"Action=GetThing&Version=2026-11-27&A=b+c"
    assert "Authorization" not in headers


@pytest.mark.parametrize("token", ["", "session-token"])
def test_a_signature_is_botocores(
    origin: str, handler: type[Handler], token: str
) -> None:
    key = AccessKey("AKIAEXAMPLE", "secret", token)
    BrokerApi(origin, "eu-west-3").call(
        "GetThing", {"A": "ü"}, version=STS_VERSION, key=key
    )
    ((headers, body),) = handler.seen
    request = AWSRequest(
        "POST",
        f"{origin}/",
        data=body,
        headers={"Content-Type": headers["Content-Type"]},
    )
    request.context["timestamp"] = headers["X-Amz-Date"]
    signer = SigV4Auth(
        Credentials("AKIAEXAMPLE", "secret", token or None), "sts", "eu-west-3"
    )
    request.headers["X-Amz-Date"] = headers["X-Amz-Date"]
    if token:
        request.headers["X-Amz-Security-Token"] = token
    canonical = signer.canonical_request(request)
    expected = signer.signature(signer.string_to_sign(request, canonical), request)
    assert headers["Authorization"].endswith(f"Signature={expected}")
    assert "secret" not in repr(key)


def test_a_token_is_pyjwts() -> None:
    key = Ed25519PrivateKey.generate()
    token = signed_token({"iss": "ü", "iat": 1}, key.sign)
    claims = jwt.decode(token, key.public_key(), algorithms=["EdDSA"])
    assert claims == {"iss": "ü", "iat": 1}


@pytest.mark.parametrize(
    ("status", "answer", "error"),
    [
        (403, REFUSED, BrokerRefusedError),
        (400, REFUSED.replace(b"AccessDenied", b"Throttling"), BrokerAwayError),
        (503, REFUSED, BrokerAwayError),
        (302, b"", BrokerAwayError),
        (200, b"<html>", BrokerAwayError),
        (200, b"{}", BrokerAwayError),
        (200, b"[]", BrokerAwayError),
        (200, b'{"GetThingResponse": null}', BrokerAwayError),
        (403, b'{"Error": "x"}', BrokerAwayError),
        (200, GOOD + b" " * 300_000, BrokerAwayError),
        (200, b"[" * 200_000, BrokerAwayError),
        (403, b'{"Error":' * 20_000, BrokerAwayError),
    ],
)
def test_malformed_answers(
    origin: str,
    handler: type[Handler],
    status: int,
    answer: bytes,
    error: type[Exception],
) -> None:
    handler.status, handler.answer = status, answer
    handler.headers_sent = {"Location": f"{origin}/elsewhere"}
    with pytest.raises(error):
        BrokerApi(origin, "eu-west-3").call("GetThing", {})
    assert len(handler.seen) == 1, "redirects are not followed"


def test_no_one_answers() -> None:
    with pytest.raises(BrokerAwayError):
        BrokerApi("http://127.0.0.1:1", "eu-west-3").call("GetThing", {})


def test_an_invalid_host_name() -> None:
    with pytest.raises(BrokerAwayError):
        BrokerApi("http://broker..example", "eu-west-3").call("GetThing", {})


@pytest.mark.parametrize("is_tls", [False, True])
@pytest.mark.parametrize("begins_with", [b"", b"HTTP/1.1 200 OK\r\nX: ", REST])
def test_an_answer_that_comes_byte_by_byte(
    handler: type[Handler],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    begins_with: bytes,
    is_tls: bool,
) -> None:
    pem, context = authority()
    (tmp_path / "ca.pem").write_bytes(pem)

    def drip(self: Handler) -> None:
        with contextlib.suppress(OSError):
            self.wfile.write(begins_with)
            while True:
                self.wfile.write(b"H")
                time.sleep(0.02)

    monkeypatch.setattr(handler, "do_POST", drip)
    monkeypatch.setattr(broker_api, "ANSWER_SECONDS", 0.3)
    for origin in serving(handler, context if is_tls else None):
        api = BrokerApi(origin, "eu-west-3", tmp_path / "ca.pem")
        with pytest.raises(BrokerAwayError, match="no whole answer within"):
            api.call("GetThing", {})


def test_it_goes_by_the_brokers_clock(origin: str, handler: type[Handler]) -> None:
    api = BrokerApi(origin, "eu-west-3")
    ahead = datetime.now(UTC) + timedelta(hours=3)
    handler.date = format_datetime(ahead, usegmt=True)
    api.call("GetThing", {})
    assert abs((api.now() - ahead).total_seconds()) < 60
    for odd in (
        "never",
        "Mon, 01 Jan 0001 00:00:00 -0000",
        "Mon, 01 Jan 99999 0:0:0 GMT",
    ):
        handler.date = odd
        api.call("GetThing", {})
    handler.date = format_datetime(datetime.now(UTC), usegmt=True)
    api.call("GetThing", {})
    assert api.clock.offset_seconds == 0


def authority() -> tuple[bytes, ssl.SSLContext]:
    """A certificate that is its own authority, and a server's context with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = name_of(CN="broker")
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            ),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return pem, _context(pem, private)


def _context(certificate: bytes, key: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:
        file.write(certificate + key)
        file.flush()
        context.load_cert_chain(file.name)
    return context


def test_tls_with_an_authority_of_ones_own(
    handler: type[Handler], tmp_path: Path
) -> None:
    pem, context = authority()
    other, _ = authority()
    right, wrong = tmp_path / "ca.pem", tmp_path / "other.pem"
    right.write_bytes(pem)
    wrong.write_bytes(other)
    for origin in serving(handler, context):
        api = BrokerApi(origin, "eu-west-3", right)
        assert api.call("GetThing", {}) == {"Name": "x"}
        for stranger in (wrong, None):
            with pytest.raises(BrokerAwayError, match="certificate verify failed"):
                BrokerApi(origin, "eu-west-3", stranger).call("GetThing", {})
        named: Any = BrokerApi(origin.replace("127.0.0.1", "localhost"), "r", right)
        with pytest.raises(BrokerAwayError):
            named.call("GetThing", {})
    assert len(handler.seen) == 1
