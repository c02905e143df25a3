"""A store behind the nginx of samples/protected, with clients that sign as for S3.

They sign the path as it is sent, and declare what their bodies hash to or that they do
not say; the store compares what is declared, as docs/services.md asks of it.
"""

import hashlib
import json
import os
import ssl
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.scenarios.test_protected import PROGRAMS, REGION, Place, nginx, running
from tests.support.aws_cli import aws_cli_2
from tests.support.broker import ACCOUNT, Key, RunningBroker, running_broker
from tests.support.certificates import server_certificate
from tests.support.rows import of_file
from tests.support.servers import find_free_port

BUCKET = "reports"
KEYS = ("2026/plain.txt", "a b+c/ü (1).txt", "~user/$x&y=z,@!'*.txt", "semi:colon")
DEFINITION = of_file(__file__, "DEFINITION")


class _Store(ThreadingHTTPServer):
    daemon_threads = True
    close = ThreadingHTTPServer.server_close

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects: dict[str, bytes] = {}
        self.principals: set[str] = set()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Store

    def do_GET(self) -> None:
        self._note()
        body = self.server.objects.get(self.path.partition("?")[0])
        self._answer(200 if body is not None else 404, body or b"")

    do_HEAD = do_GET  # noqa: N815  # http.server's name

    def do_PUT(self) -> None:
        body = self._read_body()
        self._note()
        declared = self.headers["x-broker-content-sha256"]
        if declared == declared.lower() and (
            hashlib.sha256(body).hexdigest() != declared
        ):
            self._answer(400, b"")
            return
        self.server.objects[self.path.partition("?")[0]] = body
        self._answer(200, b"")

    def _note(self) -> None:
        self.server.principals.add(self.headers["x-broker-principal"])

    def _read_body(self) -> bytes:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if "aws-chunked" not in self.headers.get("content-encoding", ""):
            return body
        size, _, rest = body.partition(b"\r\n")
        return rest[: int(size, 16)]

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("etag", f'"{hashlib.md5(body).hexdigest()}"')
        self.send_header("last-modified", "Fri, 27 Nov 2026 12:00:00 GMT")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_given: object) -> None:
        """Keep quiet."""


@dataclass(frozen=True)
class World:
    broker: RunningBroker
    alice: Key
    store: _Store
    url: str
    folder: Path
    certificate: Path

    def s3(self, key: Key, *, declares_hash: bool = False) -> Any:
        """Without a hash it says that it does not sign the body, and sends a trailer."""
        checksums = "when_required" if declares_hash else "when_supported"
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=key.access_key_id,
            aws_secret_access_key=key.secret_access_key,
            aws_session_token=key.session_token,
            verify=str(self.certificate),
            config=Config(
                retries={"total_max_attempts": 1},
                s3={
                    "addressing_style": "path",
                    "payload_signing_enabled": declares_hash,
                },
                request_checksum_calculation=checksums,
                signature_version="s3v4",
            ),
        )

    def environment(self, key: Key) -> dict[str, str]:
        """For programs."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "AWS_ACCESS_KEY_ID": key.access_key_id,
            "AWS_SECRET_ACCESS_KEY": key.secret_access_key,
            **({"AWS_SESSION_TOKEN": key.session_token} if key.session_token else {}),
            "AWS_REGION": REGION,
            "AWS_CA_BUNDLE": str(self.certificate),
            "AWS_EC2_METADATA_DISABLED": "true",
        }


def policy(action: str, resource: str) -> str:
    statement = {"Effect": "Allow", "Action": action, "Resource": resource}
    return json.dumps({"Version": "2012-10-17", "Statement": statement})


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("proxy")
    certificate, key = server_certificate(name="localhost")
    (folder / "orders.crt").write_text(certificate)
    (folder / "orders.key").write_text(key)
    port = find_free_port()
    definition = {**DEFINITION, "Hosts": [f"localhost:{port}"]}
    (folder / "store.json").write_text(json.dumps(definition))
    with (
        closing(_Store()) as store,
        running_broker(tmp_path_factory.mktemp("broker"), home_region=REGION) as broker,
    ):
        threading.Thread(target=store.serve_forever, daemon=True).start()
        iam = broker.client("iam", broker.create_account())
        iam.create_user(UserName="alice")
        for action, resource in (
            ("store:Get", f"arn:aws:store:::{BUCKET}/*"),
            ("store:Put", f"arn:aws:store:::{BUCKET}/*"),
            ("store:List", f"arn:aws:store:::{BUCKET}"),
        ):
            iam.put_user_policy(
                UserName="alice",
                PolicyName=action.replace(":", "-"),
                PolicyDocument=policy(action, resource),
            )
        alice = Key.of(iam.create_access_key(UserName="alice")["AccessKey"])
        words = ("store", str(folder / "store.json"), "--account", ACCOUNT)
        broker.command("services", "set", *words)
        made = broker.command("services", "token", "store", "--account", ACCOUNT)
        changes = {
            "127.0.0.1:8080": f"127.0.0.1:{broker.port}",
            "127.0.0.1:9000": f"127.0.0.1:{store.server_port}",
            '"TOKEN"': json.dumps(json.loads(made)["Token"]),
        }
        url = f"https://localhost:{port}"
        world = World(broker, alice, store, url, folder, folder / "orders.crt")
        command = nginx(Place(folder, port, changes))
        with running(command, folder, lambda: status(world, f"{url}/x") == 401):
            yield world
        store.shutdown()


def status(world: World, url: str, method: str = "GET", body: bytes = b"") -> int:
    """Of a request that is not signed, or in its URL."""
    context = ssl.create_default_context(cafile=str(world.certificate))
    request = urllib.request.Request(url, body or None, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30, context=context) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except OSError:
        return 0


@pytest.fixture(params=["user", "session"])
def key(world: World, request: pytest.FixtureRequest) -> Key:
    if request.param == "user":
        return world.alice
    sts = world.broker.client("sts", world.alice)
    return Key.of(sts.get_session_token()["Credentials"])


@pytest.mark.parametrize("name", KEYS)
def test_boto3_puts_and_gets(world: World, key: Key, name: str) -> None:
    s3 = world.s3(key)
    s3.put_object(Bucket=BUCKET, Key=name, Body=b"rows")
    assert s3.get_object(Bucket=BUCKET, Key=name)["Body"].read() == b"rows"
    with pytest.raises(ClientError) as denied:
        s3.put_object(Bucket="others", Key=name, Body=b"rows")
    assert denied.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert not any(path.startswith("/others") for path in world.store.objects)
    assert world.store.principals == {f"arn:aws:iam::{ACCOUNT}:user/alice"}


@pytest.mark.parametrize("name", KEYS)
def test_a_presigned_url(world: World, key: Key, name: str) -> None:
    s3 = world.s3(key)
    s3.put_object(Bucket=BUCKET, Key=name, Body=b"rows")
    params = {"Bucket": BUCKET, "Key": name}
    url = s3.generate_presigned_url("get_object", Params=params, ExpiresIn=900)
    assert status(world, url) == 200
    assert status(world, url.replace("X-Amz-Expires=900", "X-Amz-Expires=901")) == 401
    assert status(world, f"{url}&versionId=1") == 401
    assert status(world, url, "PUT", b"x") == 401
    long = s3.generate_presigned_url("get_object", Params=params, ExpiresIn=901)
    assert status(world, long) == 401
    other = url.replace(quote(name, safe="/~"), "other")
    assert other != url
    assert status(world, other) == 401


def test_another_body_than_was_declared_is_not_stored(world: World) -> None:
    s3 = world.s3(world.alice, declares_hash=True)
    s3.put_object(Bucket=BUCKET, Key="declared", Body=b"rows")
    assert world.store.objects[f"/{BUCKET}/declared"] == b"rows"

    def change(request: Any, **_given: Any) -> None:
        request.body = b"evil"

    s3.meta.events.register_last("before-send.s3.PutObject", change)
    with pytest.raises(ClientError) as refused:
        s3.put_object(Bucket=BUCKET, Key="changed", Body=b"rows")
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert f"/{BUCKET}/changed" not in world.store.objects


def aws_cli(world: World, key: Key, name: str) -> str:
    program = aws_cli_2()
    place = ("--endpoint-url", world.url, "--bucket", BUCKET, "--key", name)
    run(world, key, program, "s3api", "put-object", *place, "--body", "rows")
    run(world, key, program, "s3api", "get-object", *place, "got")
    return (world.folder / "got").read_text()


def rclone(world: World, key: Key, name: str) -> str:
    """AWS's SDK for Go."""
    options = (
        *("--s3-provider", "Other", "--s3-env-auth", "--s3-endpoint", world.url),
        *("--s3-region", REGION, "--s3-no-check-bucket", "--config", "none"),
        "--no-check-certificate",
        *("--retries", "1", "--low-level-retries", "1"),
    )
    program = installed("rclone")
    run(world, key, program, "copyto", "rows", f":s3:{BUCKET}/{name}", *options)
    run(world, key, program, "copyto", f":s3:{BUCKET}/{name}", "got", *options)
    return (world.folder / "got").read_text()


OBSTORE = """
import os, sys
from obstore.store import S3Store
url, bucket, name = sys.argv[1:]
token = os.environ.get("AWS_SESSION_TOKEN")
store = S3Store(
    bucket,
    endpoint=url,
    region=os.environ["AWS_REGION"],
    access_key_id=os.environ["AWS_ACCESS_KEY_ID"],
    secret_access_key=os.environ["AWS_SECRET_ACCESS_KEY"],
    **({"session_token": token} if token else {}),
    virtual_hosted_style_request=False,
    client_options={"allow_invalid_certificates": True},
)
store.put(name, b"rows")
sys.stdout.write(bytes(store.get(name).bytes()).decode())
"""


def obstore(world: World, key: Key, name: str) -> str:
    """The signer of Rust's crate object_store."""
    return run(world, key, installed("python"), "-c", OBSTORE, world.url, BUCKET, name)


def installed(name: str) -> str:
    program = PROGRAMS / name
    if not program.exists():
        assert os.environ.get("CI") != "true", f"{program} is missing"
        pytest.skip(f"{name} is not installed: .ci/setup long")
    return str(program)


def run(world: World, key: Key, *command: str) -> str:
    (world.folder / "rows").write_text("rows")
    done = subprocess.run(
        command,
        env=world.environment(key),
        cwd=world.folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "client",
    [pytest.param(call, marks=pytest.mark.long) for call in (aws_cli, rclone, obstore)],
    ids=lambda client: client.__name__,
)
def test_other_clients_put_and_get(
    world: World, key: Key, client: Callable[[World, Key, str], str]
) -> None:
    name = "a b/ü (1).txt"
    world.store.objects.clear()
    (world.folder / "got").unlink(missing_ok=True)
    assert client(world, key, name) == "rows"
    wrong = Key(key.access_key_id, "a" * 40, key.session_token)
    with pytest.raises(AssertionError):
        client(world, wrong, name)
