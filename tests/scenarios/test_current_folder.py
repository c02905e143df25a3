"""Started in a folder that somebody else writes to, the broker runs nothing of it."""

import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.servers import find_free_port, find_workers
from tests.support.waiting import until

PROGRAM = str(Path(sys.executable).with_name("broker"))
TRAP = "import pathlib; pathlib.Path(__file__).with_name('executed').touch()\n"
NAMES = (
    *("broker/__init__.py", "uvloop/__init__.py", "json/__init__.py"),
    *("sitecustomize.py", "usercustomize.py", "socket.py", "lxml.py"),
)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    hostile = tmp_path / "hostile"
    for name in NAMES:
        path = hostile / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(TRAP)
    yield hostile
    assert not list(hostile.rglob("executed"))
    assert not list(hostile.rglob("__pycache__"))


@contextmanager
def started(folder: Path, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    with (folder.parent / "log").open("wb") as log:
        process = subprocess.Popen(
            [PROGRAM, *words],
            cwd=folder,
            env=environment(folder),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def environment(folder: Path) -> dict[str, str]:
    data = folder.parent / "data"
    return {"PATH": os.environ["PATH"], "BROKER_DATA_DIR": str(data)}


def is_ready(process: subprocess.Popen[bytes], port: int) -> bool:
    assert process.poll() is None
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as a:
            return bool(a.status == 200)
    except OSError:
        return False


@pytest.mark.parametrize("workers", [1, 2])
async def test_serve(folder: Path, workers: int) -> None:
    port = find_free_port()
    words = ("serve", "--port", str(port), "--workers", str(workers))
    with started(folder, *words) as process:
        await until(lambda: is_ready(process, port), seconds=60)
        for worker in (first := find_workers(process.pid)):
            os.kill(worker, signal.SIGKILL)
        if workers > 1:
            await until(lambda: bool(find_workers(process.pid) - first), seconds=60)
        await until(lambda: is_ready(process, port), seconds=60)


async def test_demo(folder: Path) -> None:
    port = find_free_port()
    with started(folder, "demo", "--port", str(port)) as process:
        await until(lambda: is_ready(process, port), seconds=60)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--version", "broker "),
        ("init --help", "first administrator"),
        ("account create 123456789012", "AccessKeyId"),
        ("doctor", "keyring"),
        ("agent check", "agent"),
    ],
)
def test_commands(folder: Path, words: str, says: str) -> None:
    done = subprocess.run(
        [PROGRAM, *words.split()],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert says in done.stdout + done.stderr
