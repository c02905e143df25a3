"""The configurations in samples/proxies, with the proxies they are for."""

import http.client
import json
import os
import shutil
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest

from tests.support.broker import ACCOUNT, REGION, Key, RunningBroker, running_broker
from tests.support.certificates import server_certificate
from tests.support.doors import open_doors
from tests.support.servers import find_free_port
from tests.support.versitygw import Gateway

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "samples" / "proxies"
PROGRAMS = ROOT / ".venv-programs" / "bin"
CLIENT = "127.0.0.2"
"""Where requests come from, so that the proxy's address is another."""

_SECONDS = 30


@dataclass(frozen=True)
class Place:
    """Where a proxy listens, what it forwards to, and its folder."""

    folder: Path
    port: int
    broker_port: int

    def sample(self, name: str, changes: dict[str, str]) -> str:
        """A sample with this place's addresses instead of its own."""
        text = (SAMPLES / name).read_text()
        changes = {"127.0.0.1:8080": f"127.0.0.1:{self.broker_port}", **changes}
        for before, after in changes.items():
            assert before in text, before
            text = text.replace(before, after)
        return text


def nginx_command(site: Path) -> list[str]:
    """nginx in the foreground, with this site and no other."""
    folder = site.parent
    paths = "".join(
        f"{kind}_temp_path {folder}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    main = folder / "nginx.conf"
    main.write_text(
        f"user root; daemon off; pid {folder}/pid; events {{}}\n"
        f"http {{ access_log off; {paths} include {site}; }}\n"
    )
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin") or "nginx"
    return [program, "-c", str(main), "-p", str(folder), "-e", "stderr"]


def nginx(place: Place) -> list[str]:
    changes = {
        "listen 443 ssl": f"listen 127.0.0.1:{place.port} ssl",
        "listen [::]:443 ssl": f"listen [::1]:{place.port} ssl",
        "listen 80;": f"listen 127.0.0.1:{find_free_port()};",
        "listen [::]:80;": "",
        "broker.example.com": "localhost",
        "/etc/nginx/tls": str(place.folder),
    }
    site = place.folder / "broker.conf"
    site.write_text(place.sample("nginx.conf", changes))
    return nginx_command(site)


def caddy(place: Place) -> list[str]:
    # A certificate of ours: Caddy's own way to get one needs the internet.
    certificate = f"tls {place.folder}/broker.crt {place.folder}/broker.key"
    changes = {
        "\n{\n": f"\n{{\n\tadmin off\n\thttp_port {find_free_port()}\n",
        "\nbroker.example.com {": f"\nhttps://localhost:{place.port} {{\n{certificate}",
    }
    (place.folder / "Caddyfile").write_text(place.sample("Caddyfile", changes))
    return [str(PROGRAMS / "caddy"), "run", "--config", f"{place.folder}/Caddyfile"]


def traefik(place: Place) -> list[str]:
    own = (SAMPLES / "traefik.yaml").read_text()
    (place.folder / "traefik.yaml").write_text(
        own.replace(":443", f"127.0.0.1:{place.port}")
    )
    changes = {
        "Host(`broker.example.com`)": "Host(`localhost`)",
        "/etc/traefik/tls": str(place.folder),
    }
    routes = place.sample("traefik-routes.yaml", changes)
    (place.folder / "traefik-routes.yaml").write_text(routes)
    return [str(PROGRAMS / "traefik"), f"--configfile={place.folder}/traefik.yaml"]


Proxy = Callable[[Place], list[str]]
PROXIES = [
    nginx,
    pytest.param(caddy, marks=pytest.mark.long),
    pytest.param(traefik, marks=pytest.mark.long),
]


@dataclass(frozen=True)
class World:
    broker: RunningBroker
    root: Key
    port: int
    certificate: Path
    token: str

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    def client(self, service: str, path: str = "") -> Any:
        return boto3.client(
            service,
            endpoint_url=self.url + path,
            region_name=REGION,
            aws_access_key_id=self.root.access_key_id,
            aws_secret_access_key=self.root.secret_access_key,
            verify=str(self.certificate),
        )

    def ask(
        self, path: str, *, method: str = "GET", body: bytes = b"", **headers: str
    ) -> "Answer":
        with closing(self.connection()) as connection:
            connection.connect()
            with suppress(OSError):  # answered early, and closed
                connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read().decode())

    def connection(self) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(
            *("localhost", self.port),
            timeout=_SECONDS,
            context=ssl.create_default_context(cafile=str(self.certificate)),
            source_address=(CLIENT, 0),
        )


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    text: str


@contextmanager
def running(command: list[str], folder: Path, world: World) -> Iterator[None]:
    if not Path(command[0]).exists():
        assert os.environ.get("CI") != "true", f"{command[0]} is missing"
        pytest.skip(f"{command[0]} is not installed: .ci/setup long")
    log = folder / "proxy.log"
    with (
        log.open("wb") as output,
        subprocess.Popen(command, stdout=output, stderr=output, cwd=folder) as process,
    ):
        try:
            deadline = time.monotonic() + _SECONDS
            while not _is_ready(world):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.02)
            yield
        finally:
            process.terminate()


def _is_ready(world: World) -> bool:
    """Traefik listens before it has read its routes and certificates."""
    with suppress(OSError):
        return world.ask("/healthz").status == 200
    return False


@pytest.fixture(scope="module", params=PROXIES, ids=lambda proxy: proxy.__name__)
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    folder: Path = tmp_path_factory.mktemp("proxy")
    port = find_free_port()
    certificate, key = server_certificate(name="localhost")
    (folder / "broker.crt").write_text(certificate)
    (folder / "broker.key").write_text(key)
    with running_broker(
        tmp_path_factory.mktemp("broker"),
        start=False,
        public_url=f"https://localhost:{port}",
        trusted_proxies="127.0.0.1/32",
        log_format="json",
    ) as broker:
        root = broker.create_account()
        host = ("--host", "orders.example.com")
        broker.command("services", "set", "orders", "--account", ACCOUNT, *host)
        made = broker.command("services", "token", "orders", "--account", ACCOUNT)
        open_doors(broker, "SCIM")
        broker.start()
        place = Place(folder, port, broker.port)
        token = json.loads(made)["Token"]
        world = World(broker, root, port, folder / "broker.crt", token)
        with running(request.param(place), folder, world):
            yield world


def test_signatures_survive(world: World) -> None:
    caller = world.client("sts").get_caller_identity()
    assert caller["Arn"] == f"arn:aws:iam::{ACCOUNT}:root"
    # A policy of the largest size, whose form is larger than the proxy's buffer.
    padding = [f"s3:Get{number:04}{'x' * 40}" for number in range(100)]
    statement = {"Effect": "Allow", "Action": padding, "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": statement})
    iam = world.client("iam")
    arn = iam.create_policy(PolicyName="Large", PolicyDocument=document)["Policy"][
        "Arn"
    ]
    iam.delete_policy(PolicyArn=arn)


def test_a_call_of_each_protocol_arrives(world: World) -> None:
    """With the headers by which each of them authenticates."""
    assert "Events" in world.client("cloudtrail").lookup_events()
    assert world.client("rolesanywhere").list_trust_anchors()["trustAnchors"] == []
    oidc = world.client("sso-oidc", path="/sso-oidc")
    assert oidc.register_client(clientName="aws", clientType="public")["clientId"]
    sso = world.client("sso", path="/sso")
    with pytest.raises(sso.exceptions.UnauthorizedException):
        sso.list_accounts(accessToken="none")
    dpop = {"DPoP": "none", "content-type": "application/json"}
    assert world.ask("/v1/token", method="POST", **dpop).status == 400
    token = {"X-Broker-Service-Token": world.token}
    bearer = {
        "Authorization": f"Bearer {world.token}",
        "content-type": "application/json",
    }
    for path, body, headers, expected in (
        ("/decisions", b"{}", token, "Principal"),
        ("/access/v1/evaluation", b"{}", bearer, "subject"),
        ("/v1/data/ceph/authz", b"{}", bearer, "_CephInput"),
        ("/v1/data/minio/authz", b"{}", bearer, "_MinioInput"),
        (f"/scim/v2/{ACCOUNT}/Users", b"", bearer, "invalid"),
    ):
        answer = world.ask(path, method="POST" if body else "GET", body=body, **headers)
        assert expected in answer.text, (path, answer.text)
    described = {**token, "X-Original-Method": "GET", "X-Original-URI": "/orders/1"}
    assert world.ask("/decisions/forward", **described).status in {401, 403}
    gateway = Gateway(world.root, f"localhost:{world.port}")
    body = b"{}"
    signed = gateway.sign("/private/version", body)
    answer = world.ask("/private/version", method="POST", body=body, **signed)
    assert answer.headers["X-Vgw-Private-Protocol"] == "1"
    assert "service with name s3" in answer.text
    assert world.ask("/federation?Action=getSigninToken").status == 400
    assert world.ask(f"/issuer/{ACCOUNT}/.well-known/jwks.json").status == 404


def test_decisions_have_no_limit_of_their_clients(world: World) -> None:
    """A gateway's calls come from one address."""
    with closing(world.connection()) as connection:
        statuses = set()
        for _ in range(300):
            connection.request("POST", "/decisions", b"{}")
            answer = connection.getresponse()
            answer.read()
            statuses.add(answer.status)
    assert statuses == {403}


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, "no header x-amz-sso_bearer_token"),
        ({"x-amz-sso_bearer_token": "x"}, "no such access token"),
    ],
)
def test_a_token_that_a_proxy_dropped_has_a_reason_of_its_own(
    world: World, headers: dict[str, str], reason: str
) -> None:
    asked = ("audit", "--json", "--action", "sso:ListAccounts")
    for _ in range(20):  # refusals of one address are recorded up to a rate
        assert world.ask("/sso/assignment/accounts", **headers).status == 401
        if reason in world.broker.command(*asked):
            return
    raise AssertionError(world.broker.command(*asked))


def test_presigned_requests_survive(world: World) -> None:
    address = urlsplit(
        world.client("sts").generate_presigned_url(
            "get_caller_identity", HttpMethod="GET"
        )
    )
    answer = world.ask(f"{address.path}?{address.query}")
    assert f"arn:aws:iam::{ACCOUNT}:root" in answer.text


def test_the_broker_knows_the_client(world: World) -> None:
    """And does not believe what the client says about itself."""
    answer = world.ask("/signin", **{"X-Forwarded-For": "203.0.113.7"})
    line = logged(world.broker, answer.headers["x-amzn-RequestId"])
    assert line["source_ip"] == CLIENT


def logged(broker: RunningBroker, request_id: str) -> dict[str, Any]:
    """A request's log line, which is written after its answer."""
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        for text in broker.log.splitlines():
            if request_id in text:
                line: dict[str, Any] = json.loads(text)
                return line
        time.sleep(0.02)
    raise AssertionError(broker.log)


def test_pages_are_secure(world: World) -> None:
    answer = world.ask("/signin", accept="text/html")
    assert answer.status == 200
    assert "max-age" in answer.headers["Strict-Transport-Security"]


def test_bodies_have_a_limit(world: World) -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}
    large = b"SAMLResponse=" + b"A" * 200_000
    assert world.ask("/saml", method="POST", body=large, **form).status == 400
    too_large = b"SAMLResponse=" + b"A" * 11_000_000
    assert world.ask("/saml", method="POST", body=too_large, **form).status == 413
