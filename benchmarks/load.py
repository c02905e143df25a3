"""Servers under load, and what a request costs them.

Load comes from wrk with one thread on the same cores; no token or assertion is sent
twice, and nothing about them is known before. A broker may be that of another check-out.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.scenarios.installation import Installation
from tests.support.broker import RunningBroker
from tests.support.oidc_issuer import serving
from tests.support.servers import find_free_port, find_workers, processor_seconds
from tests.support.storage import broker_on

_CONNECTIONS = 64
_SECONDS = 40
_LUA = Path(__file__).with_name("load.lua")
Row = tuple[str, str]


@dataclass(frozen=True)
class Rate:
    """Requests a second, and the median answer time."""

    per_second: float
    median_ms: float
    requests: int


@dataclass(frozen=True)
class Server:
    """Where it answers, and the process whose family serves."""

    url: str
    pid: int

    @classmethod
    def of(cls, broker: RunningBroker) -> "Server":
        return cls(broker.url, _pid(broker))

    def microseconds(
        self,
        lines: Iterable[str],
        folder: Path,
        *,
        connections: int = _CONNECTIONS,
        path: str = "",
    ) -> float:
        """The server's CPU for one of these requests."""
        lines, url = list(lines), f"{self.url}{path}"
        before = processor_seconds(self.pid)
        rate = measure(url, lines, folder, connections=connections)
        return (processor_seconds(self.pid) - before) / rate.requests * 1e6


def measure(
    url: str, lines: Iterable[str], folder: Path, *, connections: int = _CONNECTIONS
) -> Rate:
    """Send every line once."""
    load = folder / "load.txt"
    load.write_text("\n".join(lines) + "\n")
    done = subprocess.run(
        [
            *("wrk", "-t", "1", "-c", str(connections), "-d", f"{_SECONDS}s"),
            *("-s", str(_LUA), url),
        ],
        env={**os.environ, "LOAD": str(load)},
        capture_output=True,
        text=True,
        check=True,
    )
    words = next(
        line.split() for line in done.stdout.splitlines() if line.startswith("RESULT")
    )
    if int(words[3]):
        raise RuntimeError(f"{words[3]} requests failed: {done.stderr}")
    return Rate(int(words[1]) / float(words[2]), float(words[4]), int(words[1]))


@contextmanager
def installed(
    folder: Path, storage: str, workers: int = 1, *, checkout: str = ""
) -> Iterator[tuple[Installation, float]]:
    """A broker on ``embedded`` or ``redis+postgresql``.

    With it the seconds from its start to its being ready.
    """
    folder.mkdir(parents=True)
    with (
        serving("/idp") as issuer,
        broker_on(
            storage,
            folder,
            fsync=True,
            workers=workers,
            start=False,
            forked=False,
            internal_issuers=f"127.0.0.1:{issuer.port}",
            rate_limit="0",
            log_format="json",
        ) as broker,
    ):
        if checkout:
            broker = _CheckedOut.of(broker, checkout)  # noqa: PLW2901  # its successor
        broker.start()  # makes schema and keyring
        try:
            yield Installation(broker, issuer), restart(broker)
        finally:
            broker.stop()


class _CheckedOut(RunningBroker):
    """Another check-out's broker, by this one's interpreter; so are its commands."""

    @classmethod
    def of(cls, broker: RunningBroker, checkout: str) -> "_CheckedOut":
        (broker.folder / "data" / "broker.db").unlink(missing_ok=True)  # of our tables
        environment = {**broker.environment, "PYTHONPATH": checkout}
        program = ("-P", "-m", "broker")
        return cls(**{**vars(broker), "environment": environment, "program": program})

    def command(self, *words: str, stdin: str | None = None) -> str:
        return subprocess.run(
            [sys.executable, *self.program, *words],
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            check=True,
        ).stdout


def restart(broker: RunningBroker) -> float:
    """The seconds from its start to its being ready."""
    broker.stop()
    began = time.monotonic()
    broker.start()
    return time.monotonic() - began


def find_serving(broker: RunningBroker) -> list[int]:
    """The processes that serve: the broker's own, or its children's."""
    return sorted(find_workers(_pid(broker))) or [_pid(broker)]


def resident_mb(pid: int) -> float:
    """Memory of one process, in millions of bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _pid(broker: RunningBroker) -> int:
    if broker.process is None:
        raise RuntimeError("the broker does not run")
    return broker.process.pid


@contextmanager
def baseline(*words: str) -> Iterator[Server]:
    """One of ``baselines``."""
    port = find_free_port()
    command = [sys.executable, "-m", "benchmarks.baselines", str(port), *words]
    with running(command, f"http://127.0.0.1:{port}") as server:
        yield server


def empty_rate(folder: Path) -> float:
    """Requests a second of the empty raw handler, which rates are set beside."""
    with baseline("raw") as server:
        return measure(
            server.url, ["Action=GetCallerIdentity"] * 60_000, folder
        ).per_second


@contextmanager
def running(command: list[str], url: str) -> Iterator[Server]:
    """A server of another program, once it listens."""
    bin_folder = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": f"{bin_folder}:{os.environ['PATH']}"}
    process = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(url, process)
        yield Server(url, process.pid)
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    place = urlsplit(url)
    while process.poll() is None:
        with suppress(OSError):
            socket.create_connection((place.hostname, place.port), 1).close()
            return
        time.sleep(0.1)
    raise RuntimeError(f"{process.args!r} ended")
