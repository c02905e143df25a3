"""SDKs of more languages with an agent, for longer than credentials last.

The one for Ruby and the AWS CLI ask the broker who they are. The others, for Go, in Rust
(object_store) and C++ (AWS's, in Arrow), read from a store that asks the broker who signed
their requests and whether they may.
"""

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from broker.client import DecisionClient
from broker.client.request import Request
from tests.scenarios.test_instance_life import LEVER, SESSION, program, results
from tests.scenarios.test_protected import PROGRAMS
from tests.scenarios.test_protected_store import BUCKET, DEFINITION, policy
from tests.support.aws_cli import AWS_CLI_1, aws_cli_2
from tests.support.broker import ACCOUNT, REGION, RunningBroker, running_broker
from tests.support.machine_agent import RunningAgent, add_profile, broker_client, joined
from tests.support.servers import find_free_port
from tests.support.signers import build_go

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

SOURCES = Path(__file__).parents[1] / "signers"
LIFE_SECONDS = 10
EXPIRIES = 3
SECONDS = str(LIFE_SECONDS * (EXPIRIES + 0.5))
BODY = b"rows"
READS_TOKEN_FILES = """
require "aws-sdk-core"
file, = Aws::ECSCredentials.instance_method(:initialize).source_location
reads = File.read(file).include?("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
puts Aws::CORE_GEM_VERSION, reads
"""
REGION_SETTINGS = {"AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION}
RUST = """
import sys, time
from obstore.store import S3Store
import obstore
store = S3Store(
    "reports", endpoint=sys.argv[1], region=sys.argv[3],
    client_options={"allow_http": True}, retry_config={"max_retries": 0},
)
read = lambda: bytes(obstore.get(store, "q3.csv").bytes())
"""
CPP = """
import sys, time
from pyarrow import fs
from pyarrow.fs import AwsStandardS3RetryStrategy
store = fs.S3FileSystem(
    endpoint_override=sys.argv[1].removeprefix("http://"), scheme="http",
    region=sys.argv[3], retry_strategy=AwsStandardS3RetryStrategy(max_attempts=1),
)
def read():
    with store.open_input_file("reports/q3.csv") as file:
        return file.read()
"""
READING = """
import json
end, calls = time.monotonic() + float(sys.argv[2]), 0
while time.monotonic() < end:
    assert read() == b"rows"
    calls += 1
    time.sleep(0.2)
print(json.dumps({"calls": calls}))
"""
CALLING = """
import json, subprocess, sys, time
program, url, seconds = sys.argv[1:]
end, calls, arn = time.monotonic() + float(seconds), 0, ""
while time.monotonic() < end:
    words = [program, "sts", "get-caller-identity", "--endpoint-url", url]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    calls, arn = calls + 1, json.loads(done.stdout)["Arn"]
print(json.dumps({"arn": arn, "calls": calls}))
"""


class Store(ThreadingHTTPServer):
    """One object, for those whom the broker allows to read it."""

    daemon_threads = True

    def __init__(self, broker: DecisionClient, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.broker = broker
        self.keys: dict[str, set[str]] = {}
        """Of those who may: by ``User-Agent`` the access keys that signed."""

        self.refused: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Store

    def do_GET(self) -> None:
        sent = self.headers
        answer = self.server.broker.decide(
            Request(
                method=self.command,
                target=self.path.encode("latin-1"),
                headers=tuple(
                    (name.lower().encode(), value.encode("latin-1"))
                    for name, value in sent.items()
                ),
                body_sha256=sha256(b"").hexdigest(),
                source_ip="127.0.0.1",
                secure=False,
            )
        )
        if answer.refusal is not None:
            self.server.refused.append(f"{self.path} {answer.refusal}")
            self.send_response(403)
            self.send_header("content-length", "0")
            self.end_headers()
            return
        key = sent["authorization"].partition("Credential=")[2].partition("/")[0]
        self.server.keys.setdefault(sent["user-agent"], set()).add(key)
        ranged = sent["range"] is not None
        self.send_response(206 if ranged else 200)
        if ranged:
            self.send_header("content-range", f"bytes 0-{len(BODY) - 1}/{len(BODY)}")
        self.send_header("etag", '"1"')
        self.send_header("last-modified", "Fri, 27 Nov 2026 12:00:00 GMT")
        self.send_header("content-length", str(len(BODY)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(BODY)

    do_HEAD = do_GET  # noqa: N815  # http.server's name

    def log_message(self, *_given: object) -> None:
        """Keep quiet."""


@dataclass
class World:
    broker: RunningBroker
    agent: RunningAgent
    store: Store

    def at_metadata(self, words: list[str]) -> subprocess.Popen[str]:
        # Rust's object_store has a variable of its own.
        own = {"AWS_METADATA_ENDPOINT": f"http://{self.agent.metadata_address}"}
        return program(
            words, **self.agent.metadata_environment(), **own, **REGION_SETTINGS
        )

    def at_container(self, words: list[str]) -> subprocess.Popen[str]:
        return program(words, **self.agent.container_environment(), **REGION_SETTINGS)

    def both(self, words: list[str]) -> list[subprocess.Popen[str]]:
        return [self.at_metadata(words), self.at_container(words)]

    def reader(self, script: str, seconds: str) -> list[str]:
        """A client of stores that has a package for Python."""
        python = PROGRAMS / "python"
        require(python.exists(), "what clients of stores need")
        return [str(python), "-c", script + READING, self.store.url, seconds, REGION]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("sdks")
    definition = folder / "store.json"
    port = find_free_port()
    hosts = {"Hosts": [f"127.0.0.1:{port}"]}
    definition.write_text(json.dumps({**DEFINITION, **hosts}))
    with running_broker(
        folder / "broker", forked=False, start=False, home_region=REGION
    ) as broker:
        broker.program = ("-c", LEVER.format(LIFE_SECONDS))
        broker.start()
        root = broker.create_account()
        iam = broker.client("iam", root)
        add_profile(iam, "web")
        iam.put_role_policy(
            RoleName="web",
            PolicyName="read",
            PolicyDocument=policy("store:Get", f"arn:aws:store:::{BUCKET}/*"),
        )
        services = ("services", "set", "store", "--account", ACCOUNT)
        broker.command(*services, str(definition))
        made = broker.command("services", "token", "store", "--account", ACCOUNT)
        token = json.loads(made)["Token"]
        client = DecisionClient(broker.url, token, held_seconds=0, timeout_seconds=20)
        agent = joined(folder / "agent", broker, broker_client(broker, root))
        agent.start()
        try:
            with closing(client), Store(client, port) as store:
                threading.Thread(target=store.serve_forever, daemon=True).start()
                yield World(broker, agent, store)
                store.shutdown()
        finally:
            agent.stop()


@pytest.fixture(autouse=True)
def _fresh(world: World) -> None:
    world.store.refused.clear()
    world.store.keys.clear()


def require(is_there: bool, what: str) -> None:
    if not is_there:
        assert os.environ.get("CI") != "true"
        pytest.skip(f"{what} is not installed: .ci/setup long")


def test_ruby_finds_the_instances_role(world: World) -> None:
    ruby = shutil.which("ruby")
    require(bool(ruby), "Ruby")
    asked = subprocess.run(
        [str(ruby), "-e", READS_TOKEN_FILES], capture_output=True, text=True, check=True
    )
    version, reads = asked.stdout.split()
    if reads != "true":
        pytest.skip(f"AWS's SDK for Ruby {version} reads no container's token file")
    words = [str(ruby), str(SOURCES / "machine.rb"), world.broker.url, SECONDS]
    for entry in results(*world.both(words)):
        assert entry["arn"].startswith(f"{SESSION}/web/i-")
        assert entry["calls"] > EXPIRIES
        assert entry["keys"] > EXPIRIES, "they were renewed before each expiry"


def test_the_aws_cli_finds_it_whenever_it_is_started(world: World) -> None:
    for each in (AWS_CLI_1, aws_cli_2()):
        words = [sys.executable, "-c", CALLING, each, world.broker.url, SECONDS]
        for entry in results(*world.both(words)):
            assert entry["arn"].startswith(f"{SESSION}/web/i-")
            assert entry["calls"] > EXPIRIES


def check_readers(world: World, agent: str, *readers: subprocess.Popen[str]) -> None:
    """Nothing was refused, and each expiry was outlived; ``agent`` names the client."""
    for entry in results(*readers):
        assert entry["calls"] > EXPIRIES
    assert not world.store.refused
    keys = {
        key
        for name, matches in world.store.keys.items()
        if agent in name
        for key in matches
    }
    assert len(keys) > EXPIRIES, world.store.keys


def test_go_reads_from_a_store(world: World) -> None:
    # It asks the metadata service early only for what lasts 15 minutes or longer.
    words = [build_go("machine"), world.store.url]
    assert results(world.at_metadata([*words, "2", REGION]))[0]["calls"]
    container = world.at_container([*words, SECONDS, REGION])
    check_readers(world, "aws-sdk-go-v2/", container)


def test_rust_reads_from_a_store(world: World) -> None:
    words = world.reader(RUST, SECONDS)
    check_readers(world, "object_store/", *world.both(words))


def test_cpp_reads_from_a_store(world: World) -> None:
    # It asks the metadata service every five minutes, whenever credentials expire; those
    # there last longer by far. Here they do not, and so it only finds them.
    assert results(world.at_metadata(world.reader(CPP, "2")))[0]["calls"]
    container = world.at_container(world.reader(CPP, SECONDS))
    check_readers(world, "aws-sdk-cpp/", container)
