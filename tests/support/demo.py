"""A real `broker demo` in a process of its own."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.forked import Forked
from tests.support.servers import find_free_port

_START_SECONDS = 60


@dataclass
class RunningDemo:
    """The demo: its folder, its two origins, what it prints and logs."""

    folder: Path
    port: int
    output: Path
    process: Forked | subprocess.Popen[bytes]

    @property
    def broker(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def idp(self) -> str:
        return f"http://localhost:{self.port + 1}"

    @property
    def aws_environment(self) -> dict[str, str]:
        """What the demo says to paste."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": str(self.folder / "aws-config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(self.folder / "aws-credentials"),
        }

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(20)


@contextlib.contextmanager
def running_demo(
    folder: Path, *, kept: bool = True, forked: bool = True, **environment: str
) -> Iterator[RunningDemo]:
    """`broker demo --folder FOLDER`, up and answering.

    Unless it is ``kept``, a folder below that the demo makes and throws away.
    ``forked`` is as in `RunningBroker`.
    """
    port = find_free_port()
    folder.mkdir(exist_ok=True)
    output = folder.with_suffix(".log")
    words = ["demo", "--verbose", "--port", str(port)]
    words += ["--folder", str(folder)] if kept else []
    params = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "PYTHONUNBUFFERED": "1",
        **environment,
    }
    process: Forked | subprocess.Popen[bytes]
    output.write_bytes(b"")
    if forked:
        process = Forked(words, params, log=output)
    else:
        with output.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "broker", *words],
                env=params,
                stdout=log,
                stderr=log,
            )
    demo = RunningDemo(folder, port, output, process)
    try:
        _wait(demo)
        yield demo
    finally:
        if process.poll() is None:
            demo.stop()


def _wait(demo: RunningDemo) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while "Stop with Ctrl-C" not in demo.output.read_text():
        assert demo.process.poll() is None, demo.output.read_text()
        assert time.monotonic() < deadline, demo.output.read_text()
        time.sleep(0.05)
    with urllib.request.urlopen(f"{demo.broker}/readyz", timeout=5) as answer:
        assert answer.status == 200
