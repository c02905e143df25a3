"""What looks like an instance: programs that know nothing, for longer than credentials.

Credentials last six hours. Here they last seconds, by a lever that the test puts before
the broker; nothing else is different.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.test_javascript import NODE, needs_sdk
from tests.support.aws_cli import aws_cli_2
from tests.support.broker import ACCOUNT, REGION, RunningBroker, running_broker
from tests.support.machine_agent import (
    RunningAgent,
    add_profile,
    broker_client,
    joined,
    plain_environment,
    until,
)
from tests.support.network import in_own_network

SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role"
METADATA = "169.254.169.254"
LIFE_SECONDS = 3
EXPIRIES = 3
LEVER = """
from broker.actions.instances import machines
machines.CREDENTIAL_SECONDS = {}
from broker.__main__ import run
run()
"""
LOOP = """
import boto3, json, sys, time
from botocore.credentials import InstanceMetadataFetcher
# It would go on with credentials that have less than 20 minutes left, in case the
# metadata service has an outage; these never have more.
InstanceMetadataFetcher._evaluate_expiration = lambda self, credentials: None
client = boto3.client("sts", endpoint_url=sys.argv[1], region_name="eu-west-3")
end, keys, calls = time.monotonic() + float(sys.argv[2]), set(), 0
while time.monotonic() < end:
    arn = client.get_caller_identity()["Arn"]
    keys.add(client._request_signer._credentials.access_key)
    calls += 1
    time.sleep(0.1)
print(json.dumps({"arn": arn, "calls": calls, "keys": len(keys)}))
"""
CALLER = """
import boto3, os
os.environ["AWS_ENDPOINT_URL"] = "{}"
print(boto3.client("sts").get_caller_identity()["Arn"])
"""


@contextmanager
def short_lived(folder: Path) -> Iterator[tuple[RunningBroker, Any]]:
    """A broker whose instances' credentials last a moment, and its API."""
    with running_broker(folder, forked=False, start=False) as broker:
        broker.program = ("-c", LEVER.format(LIFE_SECONDS))
        broker.start()
        root = broker.create_account()
        for name in ("web", "db"):
            add_profile(broker.client("iam", root), name)
        yield broker, broker_client(broker, root)


def results(*programs: subprocess.Popen[str]) -> list[dict[str, Any]]:
    matches = []
    try:
        for program in programs:
            out, errors = program.communicate(timeout=120)
            assert program.returncode == 0, errors
            matches.append(json.loads(out))
    finally:
        for program in programs:
            program.kill()
            program.communicate()
    return matches


def program(words: list[str], **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        words,
        cwd=NODE,
        env=plain_environment(**environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@needs_sdk
def test_no_call_fails_while_credentials_expire(tmp_path: Path) -> None:
    node = shutil.which("node")
    assert node
    seconds = str(LIFE_SECONDS * (EXPIRIES + 0.5))
    with short_lived(tmp_path / "broker") as (broker, api):
        agent = joined(tmp_path / "agent", broker, api)
        agent.start()
        try:
            python = [sys.executable, "-c", LOOP, broker.url, seconds]
            script = [node, "machine.mjs", broker.url, seconds]
            matches = results(
                program(python, **agent.metadata_environment()),
                program(python, **agent.container_environment()),
                program(script, **agent.metadata_environment()),
                program(script, **agent.container_environment()),
            )
        finally:
            agent.stop()
    for entry in matches:
        assert entry["arn"].startswith(f"{SESSION}/web/i-")
        assert entry["calls"] > EXPIRIES
        assert entry["keys"] > EXPIRIES, "they were renewed before each expiry"


def test_an_outage_of_the_broker(tmp_path: Path) -> None:
    with short_lived(tmp_path / "broker") as (broker, api):
        agent = joined(tmp_path / "agent", broker, api)
        agent.start()
        path = "/latest/meta-data/iam/security-credentials/web"
        try:
            status, before = agent.get(path)
            assert status == 200
            broker.kill()
            # Served while they last, and never an expired one.
            assert agent.get(path)[0] == 200
            until(lambda: agent.get(path)[0] == 503)
            # Killed as well, and started before the broker is back.
            agent.kill()
            agent.start()
            assert agent.get(path)[0] == 503
            broker.start()
            until(lambda: agent.get(path)[0] == 200)
            _, after = agent.get(path)
            assert json.loads(after)["AccessKeyId"] != json.loads(before)["AccessKeyId"]
        finally:
            agent.stop()
        assert len(api.list_instances()["Instances"]) == 1, "it is the same machine"


def test_a_network_that_looks_like_an_instances(tmp_path: Path) -> None:
    """No configuration at all; the role is replaced; the instance is ended."""
    in_own_network(lambda: _live(tmp_path), f"{METADATA}/32")


def _live(tmp_path: Path) -> None:
    with running_broker(tmp_path / "broker", forked=False) as broker:
        root = broker.create_account()
        for name in ("web", "db"):
            add_profile(broker.client("iam", root), name)
        api = broker_client(broker, root)
        agent = joined(tmp_path / "agent", broker, api)
        # The test itself may use only loopback.
        listen = [f"{METADATA}:80", agent.metadata_address]
        agent.more = {"metadata": {"listen": listen}}
        agent.start()
        try:
            _check_what_it_sees(broker, agent, api)
        finally:
            agent.stop()


def _check_what_it_sees(broker: RunningBroker, agent: RunningAgent, api: Any) -> None:
    status, name = agent.get("/latest/meta-data/instance-id")
    assert status == 200

    def who() -> str:
        done = subprocess.run(
            [sys.executable, "-c", CALLER.format(broker.url)],
            env=plain_environment(AWS_DEFAULT_REGION=REGION),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.stdout.strip() or done.stderr

    with hops() as seen:
        assert who() == f"{SESSION}/web/{name}"
        assert seen() == {1}
    done = subprocess.run(
        [aws_cli_2(), "sts", "get-caller-identity", "--endpoint-url", broker.url],
        env=plain_environment(AWS_DEFAULT_REGION=REGION),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert json.loads(done.stdout)["Arn"] == f"{SESSION}/web/{name}", done.stderr
    api.associate_instance_profile(InstanceId=name, InstanceProfileName="db")
    roles = "/latest/meta-data/iam/security-credentials/"
    until(lambda: agent.get(roles) == (200, "db"))
    assert who() == f"{SESSION}/db/{name}"
    api.end_instance(InstanceId=name)
    until(lambda: agent.get(roles)[0] == 404)
    assert "NoCredentials" in who()


@contextmanager
def hops() -> Iterator[Any]:
    """Tells how far the packets travel that the metadata service has sent since."""
    packets = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
    packets.setblocking(False)  # the library's
    matches: set[int] = set()

    def read() -> set[int]:
        while True:
            try:
                packet, (source, _) = packets.recvfrom(65_536)
            except BlockingIOError:
                return matches
            port = int.from_bytes(packet[20:22], "big")
            if source == METADATA and port == 80:
                matches.add(packet[8])

    try:
        yield read
    finally:
        packets.close()


def test_continuous_integration_may_make_networks() -> None:
    if "CI" not in os.environ:
        pytest.skip("not in CI")
    assert shutil.which("ip"), "install iproute2"
    assert os.geteuid() == 0, "run the tests as root"
