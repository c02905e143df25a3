"""How ``broker serve --workers N`` keeps its workers, and how it ends."""

import http.client
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.broker import running_broker
from tests.support.servers import find_children, find_free_port, find_workers

PROGRAM = """
import sys
import uvicorn
from broker.cli import workers
from broker.cli.listening import listen
from broker.cli.logs import configure_logs

if __name__ == "__main__":
    configure_logs()
    config = uvicorn.Config("application:app", workers=2, log_level="critical",
                            timeout_worker_healthcheck=600)
    workers._IMPORTED = ("uvicorn", "uvloop")
    workers._PAUSES = (0.0, 0.3)
    raise SystemExit(workers.Workers(config, listen("127.0.0.1", int(sys.argv[1]))).serve())
"""

APPLICATION = """
import os
from pathlib import Path

HERE = Path(__file__).parent

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        if (HERE / "fails").exists():
            await send({"type": "lifespan.startup.failed", "message": "as told"})
            return
        try:
            (HERE / "dies").rename(HERE / f"dies-{os.getpid()}")
        except OSError:
            pass
        else:
            (HERE / f"dies-{os.getpid()}").rename(HERE / "dies")
            os._exit(1)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    body = str(os.getpid()).encode()
    headers = [(b"content-length", str(len(body)).encode()), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
"""

SOON = 90
"""Seconds; less than a worker that shows no heartbeat is waited for."""


class Running:
    """Two workers of a small application, and their supervisor."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = find_free_port()
        (folder / "application.py").write_text(APPLICATION)
        (folder / "program.py").write_text(PROGRAM)
        with (folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "program.py", str(self.port)],
                cwd=folder,
                stdout=log,
                stderr=log,
            )

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def workers(self) -> set[int]:
        return find_workers(self.process.pid)

    def answering(self) -> int:
        """The worker that answers, 0 when none does."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=0.5)
        try:
            connection.request("GET", "/")
            return int(connection.getresponse().read())
        except (OSError, http.client.HTTPException):
            return 0
        finally:
            connection.close()

    def all_serve(self) -> set[int]:
        """Both workers, once both answer."""
        seen: set[int] = set()

        def both() -> bool:
            assert self.process.poll() is None, self.log
            seen.add(self.answering())
            seen.intersection_update(self.workers())
            return len(seen) == 2

        wait_for(both, self)
        return seen


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def wait_for(condition: Callable[[], bool], running: Running) -> None:
    deadline = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < deadline, running.log
        time.sleep(0.01)


@contextmanager
def two_workers(folder: Path) -> Iterator[Running]:
    made = Running(folder)
    try:
        yield made
    finally:
        for pid in (*made.workers(), made.process.pid):
            kill(pid)
        made.process.wait(SOON)


@pytest.fixture(scope="module")
def supervised(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with two_workers(tmp_path_factory.mktemp("workers")) as made:
        yield made


@pytest.fixture
def running(supervised: Running) -> Running:
    """Whole again after the test before; its log begins anew."""
    supervised.all_serve()
    os.truncate(supervised.folder / "log", 0)
    return supervised


def kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def test_workers_that_are_killed_are_replaced_at_whatever_moment(
    running: Running,
) -> None:
    """Serving, spawned a moment ago, and both at once."""
    moments = random.Random(13)
    for pid in running.all_serve():
        kill(pid)
    for _ in range(3):
        time.sleep(moments.uniform(0.0, 0.4))
        for pid in running.workers():
            kill(pid)
    running.all_serve()
    assert "no heartbeat" not in running.log
    assert running.process.poll() is None


def test_what_workers_are_forked_from_may_be_killed_too(running: Running) -> None:
    running.all_serve()
    for child in find_children(running.process.pid):
        kill(child)
    running.all_serve()
    assert running.process.poll() is None


def test_they_may_be_killed_while_a_worker_is_asked_of_them(running: Running) -> None:
    worker, other = running.all_serve()
    (forks,) = [
        child
        for child in find_children(running.process.pid)
        if b"multiprocessing.forkserver" in _command_line(child)
    ]
    kill(worker)
    wait_for(lambda: len(running.workers() - {worker, other}) == 1, running)
    for again in running.workers() - {other}:
        kill(again)
    # Before the second start there is a pause, in which the asked is stopped.
    wait_for(lambda: running.log.count("a worker ended") >= 2, running)
    os.kill(forks, signal.SIGSTOP)
    time.sleep(0.6)
    kill(forks)
    running.all_serve()
    assert running.process.poll() is None


def test_a_worker_that_cannot_start_leaves_the_others_alone(running: Running) -> None:
    """As after a migration by a newer broker on another host."""
    first, second = running.all_serve()
    (running.folder / "fails").touch()
    kill(first)
    wait_for(lambda: running.log.count('"exit_status":3') >= 2, running)
    assert running.answering() == second
    assert running.process.poll() is None
    (running.folder / "fails").unlink()
    running.all_serve()


def test_one_that_dies_over_and_over_does_not_keep_the_other_waiting(
    running: Running,
) -> None:
    first, second = running.all_serve()
    (running.folder / "dies").touch()
    kill(first)
    wait_for(lambda: running.log.count('"exit_status":1') >= 2, running)
    (running.folder / "dies").unlink()
    kill(second)
    wait_for(lambda: running.answering() not in {0, second}, running)


@pytest.mark.parametrize("first", [True, False])
def test_when_none_can_start_the_service_ends_with_a_status(
    tmp_path: Path, *, first: bool
) -> None:
    if first:
        (tmp_path / "fails").touch()
    with two_workers(tmp_path) as running:
        if not first:
            both = running.all_serve()
            (tmp_path / "fails").touch()
            for pid in both:
                kill(pid)
        assert running.process.wait(SOON) == 3


def test_workers_do_not_outlive_their_supervisor(tmp_path: Path) -> None:
    with two_workers(tmp_path) as running:
        both = running.all_serve()
        running.process.kill()
        running.process.wait(SOON)
        wait_for(lambda: not any(_command_line(pid) for pid in both), running)
        assert running.answering() == 0


def test_sighup_renews_one_worker_after_the_other(running: Running) -> None:
    both = running.all_serve()
    running.process.send_signal(signal.SIGHUP)
    while running.workers() & both:
        # One that ends closes a connection that came to it in that moment.
        assert any(running.answering() for _ in range(3)), running.log
        assert running.process.poll() is None, running.log
    assert not running.all_serve() & both
    assert "a worker ended" not in running.log


def test_workers_that_show_no_sign_of_life_do_not_hold_up_the_stop(
    tmp_path: Path,
) -> None:
    with running_broker(tmp_path, workers=2) as broker:
        assert broker.process is not None
        children = find_workers(broker.process.pid)
        assert len(children) == 2
        for child in children:
            os.kill(child, signal.SIGSTOP)
        broker.process.send_signal(signal.SIGTERM)
        assert broker.process.wait(60) == 0
        assert not [child for child in children if Path(f"/proc/{child}").exists()]
        # None was taken for dead and started anew.
        assert "a worker" not in broker.log
