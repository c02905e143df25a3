"""`broker` in a process of its own, without the second that its imports take.

`multiprocessing`'s fork server imports the broker once and forks from then on. What
runs in the child is what `python -m broker` runs, with its arguments, environment,
streams and nothing else; the imports were done before. That the program starts from
nothing too is shown where it is started by name: the demo, the console URL, the login.
"""

import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from io import TextIOWrapper
from multiprocessing import forkserver
from pathlib import Path
from typing import Any, cast

from prometheus_client import values

_COMMANDS = [
    *(
        "broker.compose.app",
        "broker.cli.account",
        "broker.cli.explain",
        "broker.cli.keys",
    ),
    *("broker.cli.doctor", "broker.cli.serve", "broker.cli.template"),
    "broker.cli.worker",
    *("broker.demo.run", "broker.demo.seed", "broker.demo.run"),
]
"""Modules that `broker.cli.main` imports when they are used."""

_OURS = ("PYTHONPATH", "CONDITIONS_MET", "CONDITION_NEGATED", "PYTEST_XDIST_WORKER")
"""For `tests.support.conditions`, in the workers too."""

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["broker.cli.main", *_COMMANDS, "alembic.command"])


def start_fork_server() -> None:
    """Start it: what it forks from then on is in the caller's network."""
    forkserver.ensure_running()


class Forked:
    """A process with what tests use of :class:`subprocess.Popen`."""

    def __init__(
        self,
        words: Sequence[str],
        environment: Mapping[str, str],
        *,
        log: Path,
        errors: Path | None = None,
        path: Path | None = None,
        files: int = 0,
    ) -> None:
        """Start it as the leader of its own session; ``log`` is added to.

        ``files`` is how many it may open, 0 for as many as we may.
        """
        streams = (path or Path(os.devnull), log, errors or log)
        self._process: Any = _forks.Process(
            target=_run, args=(list(words), dict(environment), streams, files)
        )
        self._process.start()
        self.pid: int = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self.poll()

    def poll(self) -> int | None:
        """Its exit status, negative for a signal; None while it runs."""
        status: int | None = self._process.exitcode
        return status

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status, once there is one."""
        self._process.join(timeout)
        status = self.poll()
        if status is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout or 0)
        return status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def run_forked(
    words: Sequence[str],
    environment: Mapping[str, str],
    *,
    given: str | None = None,
    timeout: float = 60,
) -> subprocess.CompletedProcess[str]:
    """As :func:`subprocess.run` with ``capture_output`` and ``text``."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stdin = None
        if given is not None:
            stdin = folder / "in"
            stdin.write_text(given)
        out, errors = folder / "out", folder / "err"
        process = Forked(words, environment, log=out, errors=errors, path=stdin)
        try:
            status = process.wait(timeout)
        finally:
            process.kill()
        return subprocess.CompletedProcess(
            ["broker", *words], status, out.read_text(), errors.read_text()
        )


def _run(
    words: list[str],
    environment: dict[str, str],
    streams: tuple[Path, Path, Path],
    files: int,
) -> None:
    """The child's life."""
    os.setsid()
    for number, (path, flags) in enumerate(
        zip(
            streams,
            (os.O_RDONLY, *2 * [os.O_WRONLY | os.O_CREAT | os.O_APPEND]),
            strict=True,
        )
    ):
        opened = os.open(path, flags, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115  # the fork server closed it
    if files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    environment |= {name: os.environ[name] for name in _OURS if name in os.environ}
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None  # the server's own
    if environment.get("PYTHONUNBUFFERED"):
        stdout = cast("TextIOWrapper", sys.stdout)  # noqa: TID251  # what run prints to
        stdout.reconfigure(line_buffering=True)
    sys.argv = ["broker", *words]
    if "--workers" in words and words[words.index("--workers") + 1] != "1":
        # Chosen where it is imported, by a variable that `serve` sets before.
        values.ValueClass = values.MultiProcessValue()
    from broker.cli.main import run

    run()
