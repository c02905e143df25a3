"""A real agent in its own process, with a real broker."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3

import broker as package
from tests.support.broker import REGION, Key, RunningBroker
from tests.support.machines import TRUST
from tests.support.servers import find_free_port

MODELS = Path(package.__file__).parent / "actions" / "own_models"
_START_SECONDS = 30


def broker_client(broker: RunningBroker, key: Key) -> Any:
    """A boto3 client of the broker's own service."""
    session = boto3.Session()
    loader = session._session.get_component("data_loader")
    loader.search_paths.append(str(MODELS))
    return session.client(
        "broker",
        endpoint_url=broker.url,
        region_name=REGION,
        aws_access_key_id=key.access_key_id,
        aws_secret_access_key=key.secret_access_key,
        aws_session_token=key.session_token,
    )


def add_profile(iam: Any, name: str) -> None:
    """A role for machines in an instance profile of the same name."""
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)
    iam.create_instance_profile(InstanceProfileName=name)
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)


@dataclass
class RunningAgent:
    """One ``broker agent`` with its files in a folder."""

    folder: Path
    endpoint: str
    identity: Mapping[str, object]
    more: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    top: Mapping[str, object] = field(default_factory=dict)
    prefix: tuple[str, ...] = ()
    """Words before the command, such as ``ip netns exec NAME``."""

    metadata_address: str = ""
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.metadata_address:
            self.metadata_address = f"127.0.0.1:{find_free_port()}"
        self.container_address = f"127.0.0.1:{find_free_port()}"

    @property
    def config(self) -> Path:
        return self.folder / "agent.toml"

    @property
    def token_file(self) -> Path:
        return self.folder / "container-token"

    @property
    def log(self) -> str:
        return (self.folder / "agent.log").read_text()

    @property
    def resident_mb(self) -> float:
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        (line,) = [each for each in status.splitlines() if each.startswith("VmRSS:")]
        return int(line.split()[1]) / 1024

    def write_config(self) -> None:
        tables: dict[str, Mapping[str, object]] = {
            "": {
                "endpoint": self.endpoint,
                "region": REGION,
                "state_dir": str(self.folder),
                **self.top,
            },
            "identity": self.identity,
            "metadata": {"listen": [self.metadata_address]},
            "container": {
                "listen": [self.container_address],
                "token_file": str(self.token_file),
            },
            "file": {"path": str(self.folder / "credentials")},
        }
        for name, members in self.more.items():
            tables[name] = {**tables[name], **members}
        self.config.write_text(
            "\n".join(
                "\n".join(
                    [f"[{name}]" if name else ""]
                    # TOML's texts, numbers, flags and lists are written as JSON's.
                    + [f"{key} = {json.dumps(value)}" for key, value in members.items()]
                )
                for name, members in tables.items()
            )
        )

    def words(self, *words: str) -> list[str]:
        own = [sys.executable, "-m", "broker", "agent", *words]
        return [*self.prefix, *own, "--config", str(self.config)]

    def start(self) -> None:
        """Start it, and wait until its endpoints are open."""
        if not self.config.exists():
            self.write_config()
        self.launch()
        deadline = time.monotonic() + _START_SECONDS
        while not self.log.count("serving"):
            assert self.process is not None
            assert self.process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.01)

    def launch(self) -> None:
        with (self.folder / "agent.log").open("wb") as log:
            self.process = subprocess.Popen(
                self.words(), stdout=log, stderr=log, env=plain_environment()
            )

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(20)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(20)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Another ``broker agent`` command with the same file."""
        return subprocess.run(
            self.words(*words),
            capture_output=True,
            text=True,
            timeout=60,
            env=plain_environment(),
            check=False,
        )

    def token(self, seconds: int = 60) -> str:
        """A session token of the metadata service."""
        status, body = self.ask(
            "/latest/api/token",
            method="PUT",
            headers={"X-aws-ec2-metadata-token-ttl-seconds": str(seconds)},
        )
        assert status == 200, body
        return body

    def get(self, path: str) -> tuple[int, str]:
        """A metadata path, by version 2 of the protocol."""
        return self.ask(path, headers={"X-aws-ec2-metadata-token": self.token()})

    def ask(
        self,
        path: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, str]:
        url = f"http://{self.metadata_address}{path}"
        request = urllib.request.Request(
            url, method=method, headers=dict(headers or {})
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metadata_environment(self) -> dict[str, str]:
        """What tells an SDK where the metadata service is, and nothing more."""
        return {"AWS_EC2_METADATA_SERVICE_ENDPOINT": f"http://{self.metadata_address}/"}

    def container_environment(self) -> dict[str, str]:
        """The same for the container endpoint."""
        return {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://{self.container_address}/",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(self.token_file),
        }


def plain_environment(**more: str) -> dict[str, str]:
    """The environment without anything that gives credentials or their places."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "BROKER_")) and name != "HOME"
    }
    return {**kept, "HOME": "/nonexistent", **more}


def until(done: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for what must come, however slow the machine is."""
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def joined(
    folder: Path, broker: RunningBroker, api: Any, profile: str = "web", **params: Any
) -> RunningAgent:
    """An agent with a fresh join token; not started."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "join-token"
    path.write_text(api.create_join_token(InstanceProfileName=profile)["Token"])
    path.chmod(0o600)
    identity = {"join_token_file": str(path)}
    return RunningAgent(folder, broker.url, identity, **params)
