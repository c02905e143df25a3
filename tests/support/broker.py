"""A real broker in a process of its own, and AWS's own clients for it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from broker.settings import Settings
from tests.support.aws_cli import AWS_CLI_1, run_aws_cli
from tests.support.forked import Forked, run_forked
from tests.support.servers import find_free_port, find_workers, processor_seconds
from tests.support.tables import lay_tables

ACCOUNT = "123456789012"
REGION = "eu-west-3"
_START_SECONDS = 60
_RECORD_SECONDS = 0.5
"""Records that nothing waits for are written together, up to 50 ms later; a command
that is forked would look for them sooner."""

_OF_RECORDS = frozenset({"audit", "explain"})
_NO_RETRIES = Config(retries={"total_max_attempts": 1})


@dataclass(frozen=True)
class Key:
    """Credentials as a client holds them."""

    access_key_id: str
    secret_access_key: str
    session_token: str | None = None

    @classmethod
    def of(cls, credentials: dict[str, Any]) -> "Key":
        """From the ``Credentials`` (or ``AccessKey``) of an answer."""
        return cls(
            credentials["AccessKeyId"],
            credentials["SecretAccessKey"],
            credentials.get("SessionToken"),
        )


@dataclass
class RunningBroker:
    """One `broker serve`, its environment and its log."""

    folder: Path
    port: int
    environment: dict[str, str] = field(repr=False)
    workers: int = 1
    files: int = 0
    """How many it may open; 0 for as many as we may."""

    options: tuple[str, ...] = ()
    """More words for ``broker serve``."""

    forked: bool = True
    """Whether it is forked with its imports done; benchmarks measure a real start."""

    program: tuple[str, ...] = ()
    """What Python runs instead of ``-m broker``; a test may put a lever before it."""

    process: Forked | subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.folder / "broker.log").read_text()

    @property
    def resident_mb(self) -> int:
        """The memory of the process; with one worker, of that worker."""
        assert self.process is not None
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE") >> 20

    @property
    def processor_seconds(self) -> float:
        """What it and its workers have used of the processors."""
        assert self.process is not None
        return processor_seconds(self.process.pid)

    def command(self, *words: str, stdin: str | None = None) -> str:
        """What a `broker` command prints; it must succeed."""
        if words[0] in _OF_RECORDS:
            time.sleep(_RECORD_SECONDS)
        done = run_forked(words, self.environment, given=stdin)
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    def set_options(self, account: str, **options: object) -> None:
        """Set what a template says of an account under ``Broker``."""
        accounts = {account: {"Broker": options}}
        self.command("apply", "-", stdin=json.dumps({"Accounts": accounts}))

    def start(self) -> None:
        words = ("serve", "--port", str(self.port), "--workers", str(self.workers))
        words += self.options
        log = self.folder / "broker.log"
        if self.forked and not self.program:
            self.process = Forked(words, self.environment, log=log, files=self.files)
        else:
            with log.open("ab") as file:
                self.process = subprocess.Popen(
                    [sys.executable, *(self.program or ("-m", "broker")), *words],
                    env=self.environment,
                    stdout=file,
                    stderr=file,
                    start_new_session=True,
                )
        deadline = time.monotonic() + _START_SECONDS
        while not self._is_ready():
            assert self.process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.02)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(20)

    def kill(self) -> None:
        """As if the power went: the process and its workers, at once."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(20)
            deadline = time.monotonic() + _START_SECONDS
            while self._is_listening():  # its workers end a moment later
                assert time.monotonic() < deadline, "its port stays open"
                time.sleep(0.02)

    def create_account(self, account: str = ACCOUNT, alias: str = "") -> Key:
        """An account's root key."""
        words = ["account", "create", account]
        if alias:
            words += ["--alias", alias]
        return Key.of(json.loads(self.command(*words)))

    def client(self, service: str, key: Key | None = None, **options: Any) -> Any:
        """A boto3 client that never retries; unsigned calls need no key."""
        key = key or Key("none", "none")
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=key.access_key_id,
            aws_secret_access_key=key.secret_access_key,
            aws_session_token=key.session_token,
            config=_NO_RETRIES,
            **options,
        )

    def aws(
        self, *words: str, program: str = AWS_CLI_1, **environment: str
    ) -> dict[str, Any]:
        """What the AWS CLI answers."""
        params = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder / "aws"),
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_PAGER": "",
            "AWS_ENDPOINT_URL": self.url,
            "AWS_DEFAULT_REGION": REGION,
            **environment,
        }
        words = (*words, "--output", "json")
        done = run_aws_cli(words, params, program=program)
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout or "{}")
        return answer

    def _is_listening(self) -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0

    def _is_ready(self) -> bool:
        assert self.process is not None
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=1) as answer:
                if answer.status != 200:
                    return False
        except (urllib.error.URLError, OSError):
            return False
        # The first starts alone.
        return self.workers == 1 or len(find_workers(self.process.pid)) >= self.workers


@contextmanager
def running_broker(
    folder: Path,
    *,
    workers: int = 1,
    start: bool = True,
    files: int = 0,
    options: tuple[str, ...] = (),
    forked: bool = True,
    **settings: str,
) -> Iterator[RunningBroker]:
    """A broker with these settings (``redis_url`` is ``BROKER_REDIS_URL``).

    An embedded database has its tables already.
    """
    if "database_url" not in settings:
        lay_tables(Settings(data_dir=folder / "data"))
    port = find_free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "BROKER_DATA_DIR": str(folder / "data"),
        "BROKER_PUBLIC_URL": f"http://127.0.0.1:{port}",
        **{f"BROKER_{name.upper()}": value for name, value in settings.items()},
    }
    broker = RunningBroker(
        folder, port, environment, workers, files, options, forked=forked
    )
    try:
        if start:
            broker.start()
        yield broker
    finally:
        broker.stop()
