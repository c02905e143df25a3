import asyncio
import datetime as dt
import gc
import gzip
import hashlib
import ipaddress
import ssl
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from broker.proofs.addresses import AddressRules, parse_internal_issuers
from broker.proofs.outbound import FetchFailedError, OutboundClient
from tests.support.effort import in_references
from tests.support.oidc_issuer import IssuerServer, make_key, send, serving
from tests.support.rows import cases
from tests.support.watched import Watch

_FOR_GOOD = 10_000
"""Seconds: longer than any test may take."""


@pytest.fixture(autouse=True)
async def _collected() -> AsyncIterator[None]:
    """What a test leaves open is told to this very test, and nothing of others'."""
    # Late in a run, to look through all that is there takes a second.
    gc.freeze()
    yield
    gc.collect()


@pytest.fixture
def server() -> Iterator[IssuerServer]:
    with serving() as running:
        yield running


def client_for(
    server: IssuerServer, *, host: str = "127.0.0.1", **params: Any
) -> OutboundClient:
    entries = parse_internal_issuers(f"{host}:{server.port}")
    params.setdefault("deadline_seconds", 0.5)
    return OutboundClient(AddressRules(entries), **params)


async def fetch(client: OutboundClient, url: str, **params: Any) -> bytes:
    return await client.fetch(url, account=None, **params)


async def failure(client: OutboundClient, url: str, **params: Any) -> str:
    """Why a fetch failed. Servers here hang for good: without the deadline it does."""
    with pytest.raises(FetchFailedError) as caught:
        await fetch(client, url, **params)
    return str(caught.value)


async def test_a_document_is_fetched(server: IssuerServer) -> None:
    body = await fetch(client_for(server), f"{server.issuer.url}/jwks")
    assert b'"keys"' in body


async def test_the_name_is_sent_and_the_checked_address_is_reached(
    server: IssuerServer,
) -> None:
    """A name that resolves differently a moment later changes nothing."""
    asked: list[str] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        asked.append(handler.headers["host"])
        send(handler, b"{}")

    server.answers["/"] = answer
    resolved: list[str] = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        resolved.append(f"{host}:{port}")
        return ["127.0.0.1"]

    client = client_for(server, host="idp.test", resolve=resolve)
    await fetch(client, f"http://idp.test:{server.port}/")
    assert asked == resolved == [f"idp.test:{server.port}"]


async def test_a_second_address_serves_when_the_first_is_dead(
    server: IssuerServer,
) -> None:
    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return ["::1", "127.0.0.1"]

    client = client_for(server, host="idp.test", resolve=resolve)
    assert await fetch(client, f"http://idp.test:{server.port}/jwks")


async def test_a_name_that_resolves_to_a_forbidden_address_is_not_reached(
    server: IssuerServer,
) -> None:
    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    client = OutboundClient(AddressRules(), resolve=resolve)
    why = await failure(client, f"https://idp.test:{server.port}/jwks")
    assert "not a public address" in why
    assert not server.hits


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        "ftp://127.0.0.1/",
        "jwks",
        "",
        "//127.0.0.1/jwks",
        "https://",
        "http://127.0.0.1:{port}0/jwks",
        "http://localhost:{port}/jwks",
        "http://user:word@127.0.0.1:{port}/jwks",
        "http://127.1:{port}/jwks",
        "http://2130706433:{port}/jwks",
        "http://169.254.169.254/latest/meta-data",
        "http://[::ffff:127.0.0.1]:{port}/jwks",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1:{port}/\r\nX: y",
        "https://" + "a" * 70 + ".test/",
        "https://xn--/",
        "https://\ud800/",
    ],
)
async def test_other_places_are_not_reached(server: IssuerServer, url: str) -> None:
    await failure(client_for(server), url.replace("{port}", str(server.port)))
    assert not server.hits


async def test_a_redirect_is_not_followed(server: IssuerServer) -> None:
    server.answers["/jwks"] = lambda handler: send(
        handler, b"", 302, {"location": f"{server.issuer.url}/other"}
    )
    assert "302" in await failure(client_for(server), f"{server.issuer.url}/jwks")
    assert server.hits == {"/jwks": 1}


@pytest.mark.parametrize("status", [201, 204, 404, 500, 503])
async def test_only_200_is_an_answer(server: IssuerServer, status: int) -> None:
    server.answers["/jwks"] = lambda handler: send(handler, b"", status)
    assert str(status) in await failure(client_for(server), f"{server.issuer.url}/jwks")


async def test_a_compressed_answer_is_refused(server: IssuerServer) -> None:
    """A bomb stays small: nothing is decompressed."""
    accepted: list[str] = []

    def bomb(handler: BaseHTTPRequestHandler) -> None:
        accepted.append(handler.headers["accept-encoding"])
        body = gzip.compress(bytes(10_000_000))
        send(handler, body, 200, {"content-encoding": "gzip"})

    server.answers["/jwks"] = bomb
    why = await failure(client_for(server), f"{server.issuer.url}/jwks")
    assert "encoded (gzip)" in why
    assert accepted == ["identity"]


async def test_an_announced_large_answer_is_not_read(server: IssuerServer) -> None:
    server.answers["/jwks"] = lambda handler: send(handler, b"x" * 2001)
    url = f"{server.issuer.url}/jwks"
    assert "2000 bytes" in await failure(client_for(server), url, max_bytes=2000)
    assert len(await fetch(client_for(server), url, max_bytes=2001)) == 2001


async def test_an_announced_large_answer_is_not_waited_for(
    server: IssuerServer,
) -> None:
    def announce(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("content-length", "10000000")
        handler.end_headers()
        handler.wfile.flush()
        time.sleep(_FOR_GOOD)

    server.answers["/jwks"] = announce
    why = await failure(client_for(server), f"{server.issuer.url}/jwks")
    assert "bytes" in why


def dripping(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.05)


def endless(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(b" " * 65536)


def slow(_: BaseHTTPRequestHandler) -> None:
    time.sleep(_FOR_GOOD)


def dripping_head(handler: BaseHTTPRequestHandler) -> None:
    while True:
        handler.wfile.write(b"H")
        handler.wfile.flush()
        time.sleep(0.05)


def endless_head(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        handler.wfile.write(b"x: " + b"y" * 65536 + b"\r\n")


def cut_off(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("content-length", "100")
    handler.end_headers()
    handler.wfile.write(b"{}")


def no_http(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"220 mail.example ESMTP\r\n")


def two_lengths(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 9999999\r\n\r\n{}"
    )


@cases("answer")
async def test_a_hostile_answer_ends_in_time_and_size(
    server: IssuerServer, answer: Any
) -> None:
    server.answers["/jwks"] = answer
    await failure(client_for(server), f"{server.issuer.url}/jwks")


async def test_an_answer_in_small_chunks_costs_little(server: IssuerServer) -> None:
    crumbs = (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
        + b"1\r\n \r\n" * 100_000
    )
    server.answers["/jwks"] = lambda handler: handler.wfile.write(crumbs)
    client = client_for(server, deadline_seconds=5)
    watch = Watch(counts_units=False)
    watch.thread = threading.get_ident()
    url, seconds = f"{server.issuer.url}/jwks", []
    for _ in range(3):
        began = time.thread_time()
        assert "bytes" in await failure(client, url)
        seconds.append(time.thread_time() - began)
    assert in_references(min(seconds)) < 20
    with watch.installed():
        assert "bytes" in await failure(client, url, max_bytes=10_000_000)
    assert in_references(watch.seconds) < 20


async def test_an_endless_answer_is_cut_by_size_not_by_time(
    server: IssuerServer,
) -> None:
    server.answers["/jwks"] = endless
    assert "bytes" in await failure(client_for(server), f"{server.issuer.url}/jwks")


async def test_a_hanging_name_service_ends_in_time(server: IssuerServer) -> None:
    async def resolve(_host: str, _port: int) -> Sequence[str]:
        await asyncio.sleep(_FOR_GOOD)
        return []

    client = client_for(server, resolve=resolve)
    assert "deadline" in await failure(client, f"{server.issuer.url}/jwks")


async def test_proxies_of_the_environment_do_not_count(
    server: IssuerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert await fetch(client_for(server), f"{server.issuer.url}/jwks")


async def test_a_library_s_own_client_is_held_by_the_same_rules(
    server: IssuerServer,
) -> None:
    import httpx2

    transport = client_for(server).transport(account=None, max_bytes=10)
    async with httpx2.AsyncClient(transport=transport, trust_env=False) as client:
        with pytest.raises(httpx2.TransportError):
            await client.get(f"{server.issuer.url}/jwks")
        with pytest.raises(httpx2.TransportError):
            await client.get("https://127.0.0.1/")


class Authority:
    """A certificate authority that nobody trusts, and a server's certificate."""

    def __init__(self, folder: Path, *names: str) -> None:
        self.certificate = self._certify("ca", None)
        self.ca_file = folder / "ca.pem"
        self.ca_file.write_bytes(_pem(self.certificate))
        leaf = self._certify("leaf", names)
        chain = folder / "chain.pem"
        chain.write_bytes(_pem(leaf) + _pem(self.certificate))
        key = folder / "key.pem"
        key.write_bytes(
            make_key("ES256", 51).private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(chain, key)
        self.leaf = leaf

    def _certify(self, name: str, names: tuple[str, ...] | None) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        signer = make_key("ES256", 50)
        key = signer if names is None else make_key("ES256", 51)
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(_name("ca"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(names is None, None), critical=True)
        )
        if names is not None:
            alternatives = [
                x509.IPAddress(ipaddress.ip_address(text))
                if text[0].isdigit()
                else x509.DNSName(text)
                for text in names
            ]
            builder = builder.add_extension(
                x509.SubjectAlternativeName(alternatives), critical=False
            )
        return builder.sign(signer, hashes.SHA256())


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def thumbprint(certificate: x509.Certificate) -> str:
    der = certificate.public_bytes(serialization.Encoding.DER)
    return hashlib.sha1(der).hexdigest().upper()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "127.0.0.1", "idp.test")


@pytest.fixture
def tls_server(authority: Authority) -> Iterator[IssuerServer]:
    with serving(tls=authority.tls) as running:
        yield running


async def test_an_untrusted_certificate_is_refused(tls_server: IssuerServer) -> None:
    why = await failure(client_for(tls_server), f"{tls_server.issuer.url}/jwks")
    assert "CERTIFICATE_VERIFY_FAILED" in why
    assert not tls_server.hits


async def test_an_extra_authority_file_is_trusted(
    tls_server: IssuerServer, authority: Authority
) -> None:
    client = client_for(tls_server, ca_file=authority.ca_file)
    assert await fetch(client, f"{tls_server.issuer.url}/jwks")


async def test_a_thumbprint_of_a_served_certificate_is_trusted(
    tls_server: IssuerServer, authority: Authority
) -> None:
    url = f"{tls_server.issuer.url}/jwks"
    for known in (authority.certificate, authority.leaf):
        assert await fetch(client_for(tls_server), url, thumbprints=[thumbprint(known)])


async def test_a_foreign_thumbprint_is_not_trusted(tls_server: IssuerServer) -> None:
    url = f"{tls_server.issuer.url}/jwks"
    why = await failure(client_for(tls_server), url, thumbprints=["0" * 40])
    assert "thumbprint" in why
    assert not tls_server.hits


async def test_a_thumbprint_does_not_excuse_another_host_s_certificate(
    tmp_path: Path,
) -> None:
    other = Authority(tmp_path, "elsewhere.test")
    with serving(tls=other.tls) as server:
        url = f"{server.issuer.url}/jwks"
        marks = [thumbprint(other.certificate), thumbprint(other.leaf)]
        await failure(client_for(server), url, thumbprints=marks)
        assert not server.hits


async def test_the_name_not_the_address_is_what_a_certificate_must_show(
    tls_server: IssuerServer, authority: Authority
) -> None:
    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    for host, fine in (("idp.test", True), ("other.test", False)):
        client = client_for(
            tls_server, host=host, ca_file=authority.ca_file, resolve=resolve
        )
        url = f"https://{host}:{tls_server.port}/jwks"
        if fine:
            assert await fetch(client, url)
        else:
            assert "certificate" in (await failure(client, url)).lower()
