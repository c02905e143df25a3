"""Services that the middleware protects, on real servers, with real signers."""

import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from werkzeug.serving import WSGIRequestHandler, make_server

from broker.client import DecisionClient
from samples.protected.wsgi_middleware import WsgiMiddleware
from tests.support import signers
from tests.support.broker import ACCOUNT, Key, RunningBroker, running_broker
from tests.support.servers import find_free_port
from tests.support.signers import OTHERS, SIGNERS, SignedRequest, Signer

ROOT = Path(__file__).parents[2]
REGION = "us-east-1"
API = f"arn:aws:execute-api:{REGION}:{ACCOUNT}:orders/$default"
_SECONDS = 60


@dataclass
class Installed:
    """A broker with a registered service, and a user who may read there."""

    broker: RunningBroker
    root: Key
    alice: Key
    token: str
    ports: tuple[int, int]
    """Where the services run: a definition has to name their hosts before."""


@dataclass
class World(Installed):
    """With the service itself."""

    port: int = 0
    answer: bytes = b""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def send(self, request: SignedRequest, **headers: str) -> int:
        """The status of a request."""
        parts = urlsplit(request.url)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with closing(connection):
            sent = {**request.headers, **headers}
            connection.request(request.method, target, request.body, sent)
            answer = connection.getresponse()
            self.answer = answer.read()
            return answer.status


def policy(resource: str) -> str:
    statement = {
        "Effect": "Allow",
        "Action": "execute-api:Invoke",
        "Resource": resource,
    }
    return json.dumps({"Version": "2012-10-17", "Statement": statement})


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    folder = tmp_path_factory.mktemp("broker")
    with running_broker(folder, home_region=REGION) as broker:
        root = broker.create_account()
        iam = broker.client("iam", root)
        iam.create_user(UserName="alice")
        for method in ("GET", "PUT"):
            iam.put_user_policy(
                UserName="alice",
                PolicyName=method,
                PolicyDocument=policy(f"{API}/{method}/*"),
            )
        alice = Key.of(iam.create_access_key(UserName="alice")["AccessKey"])
        ports = (find_free_port(), find_free_port())
        hosts = [f"--host=127.0.0.1:{port}" for port in ports]
        broker.command("services", "set", "orders", "--account", ACCOUNT, *hosts)
        made = broker.command("services", "token", "orders", "--account", ACCOUNT)
        yield Installed(broker, root, alice, json.loads(made)["Token"], ports)


@contextmanager
def fastapi_sample(installed: Installed, folder: Path) -> Iterator[int]:
    port = installed.ports[0]
    command = (
        *(sys.executable, "-m", "uvicorn", "fastapi_service:app"),
        *("--app-dir", str(ROOT / "samples" / "protected"), "--port", str(port)),
    )
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "BROKER_ORIGIN": installed.broker.url,
        "BROKER_SERVICE_TOKEN": installed.token,
    }
    log = folder / "service.log"
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command, env=environment, stdout=output, stderr=output
        ) as process,
    ):
        try:
            deadline = time.monotonic() + _SECONDS
            while not _answers(port):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.02)
            yield port
        finally:
            process.terminate()


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_SECONDS)
    with closing(connection), suppress(OSError):
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    return False


def _serve(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    body = environ["wsgi.input"].read()
    principal = environ["broker.principal"]
    answer = json.dumps({"For": principal.arn, "Bytes": len(body)}).encode()
    start_response("200 OK", [("content-type", "application/json")])
    return [answer]


class _Quiet(WSGIRequestHandler):
    def log(self, *_given: object) -> None:
        """Keep quiet."""


@contextmanager
def werkzeug(installed: Installed, _folder: Path) -> Iterator[int]:
    client = DecisionClient(installed.broker.url, installed.token)
    server = make_server(
        "127.0.0.1",
        installed.ports[1],
        WsgiMiddleware(_serve, client),
        threaded=True,
        request_handler=_Quiet,
    )
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        client.close()


SERVICES = (fastapi_sample, werkzeug)


@pytest.fixture(
    scope="module", params=SERVICES, ids=[service.__name__ for service in SERVICES]
)
def world(
    request: pytest.FixtureRequest,
    installed: Installed,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[World]:
    serve: Callable[..., Any] = request.param
    with serve(installed, tmp_path_factory.mktemp("service")) as port:
        yield World(**vars(installed), port=port)


@pytest.mark.parametrize("sign", [*SIGNERS, *OTHERS], ids=lambda sign: sign.__name__)
def test_a_good_request_gets_through_and_a_tampered_one_does_not(
    world: World, sign: Signer
) -> None:
    request = sign(world.alice, f"{world.url}/orders/a%20b")
    for _ in range(2):
        assert world.send(request) == 200
        assert json.loads(world.answer)["For"].endswith(":user/alice")
    for tampered in (
        replace(request, url=request.url.replace("a%20b", "c")),
        replace(request, url=request.url.replace("a%20b", "a%2520b")),
        replace(request, method="PUT"),
        replace(request, url=f"{request.url}{'&' if '?' in request.url else '?'}x=1"),
    ):
        assert world.send(tampered) in {401, 403}, tampered
    assert world.send(request, Host="other.example.com") == 401


@pytest.mark.parametrize("sign", [signers.botocore, signers.aws4auth])
def test_a_body_is_the_one_that_was_signed(
    world: World, sign: Callable[..., SignedRequest]
) -> None:
    """Clients that declare no hash of their bodies get through here."""
    request = sign(world.alice, f"{world.url}/orders/1", "PUT", b'{"a":1}')
    assert world.send(request) == 200
    assert json.loads(world.answer)["Bytes"] == 7
    assert world.send(replace(request, body=b'{"a":2}')) == 401
    assert world.send(replace(request, body=b"")) == 401
    assert world.send(replace(request, body=b"x" * 1_000_001)) == 413


@pytest.mark.parametrize("path", ["/a%2Fb", "/a//b", "/a;b", "/a%00b", "/a/%2e%2e/b"])
def test_an_ambiguous_path_does_not_get_through(world: World, path: str) -> None:
    request = signers.botocore(world.alice, f"{world.url}/orders{path}")
    assert world.send(request) in {401, 403}


def test_nothing_unsigned_and_no_other_secret_gets_through(world: World) -> None:
    assert world.send(SignedRequest("GET", f"{world.url}/orders/1", {})) == 401
    wrong = replace(world.alice, secret_access_key="a" * 40)
    assert world.send(signers.botocore(wrong, f"{world.url}/orders/1")) == 401
    unknown = replace(world.alice, access_key_id="AKIA" + "A" * 16)
    told = world.answer
    assert world.send(signers.botocore(unknown, f"{world.url}/orders/1")) == 401
    assert world.answer == told


def test_curl_signs(world: World, tmp_path: Path) -> None:
    url = f"{world.url}/orders/1"
    nowhere = tmp_path / "none"
    nowhere.touch()
    assert signers.curl(world.alice, url, nowhere) == 200
    body = ("--request", "PUT", "--data", "abc")
    assert signers.curl(world.alice, url, nowhere, *body) == 200
    assert signers.curl(world.alice, url, nowhere, "--request", "DELETE") == 403


def test_boto3_signs_and_reads_the_refusal(world: World) -> None:
    client = boto3.client(
        "apigatewaymanagementapi",
        endpoint_url=world.url,
        region_name=REGION,
        aws_access_key_id=world.alice.access_key_id,
        aws_secret_access_key=world.alice.secret_access_key,
        config=Config(retries={"total_max_attempts": 1}),
    )
    with closing(client):
        with pytest.raises(ClientError) as denied:
            client.delete_connection(ConnectionId="x")
        assert denied.value.response["Error"]["Code"] == "AccessDenied"
        assert "user/alice" in denied.value.response["Error"]["Message"]


def test_a_revoked_session_is_refused(world: World) -> None:
    sts = world.broker.client("sts", world.alice)
    session = Key.of(sts.get_session_token()["Credentials"])
    url = f"{world.url}/orders/1"
    request = signers.botocore(session, url)
    assert world.send(request) == 200
    world.broker.command("sessions", "revoke", session.access_key_id)
    deadline = time.monotonic() + _SECONDS
    # The same request, which is held, and not a new one.
    while world.send(request) == 200:
        assert time.monotonic() < deadline
    assert world.send(request) == 401
    assert world.send(signers.botocore(world.alice, url)) == 200


def test_without_the_broker_nothing_gets_through(world: World) -> None:
    world.broker.stop()
    request = signers.botocore(world.alice, f"{world.url}/orders/gone")
    assert world.send(request) == 503
    world.broker.start()
    request = signers.botocore(world.alice, f"{world.url}/orders/1")
    assert world.send(request) == 200
