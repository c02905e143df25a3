"""How ``broker serve --workers N`` keeps its workers, and how it ends."""

import http.client
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from uvicorn.config import STARTUP_FAILURE

from broker.cli.workers import Workers
from tests.support.broker import running_broker
from tests.support.servers import find_children, find_free_port, find_workers
from tests.unit.cli.conftest import CommandLine

PROGRAM = """
import os
import sys
import time
from broker.cli import workers
from broker.cli.listening import listen
from broker.cli.logs import configure_logs

def load():
    import uvicorn
    if os.path.exists("slow-import"):
        time.sleep(7)
    from application import app
    return lambda _: uvicorn.Config(app, log_level="critical", lifespan="on")

if __name__ == "__main__":
    configure_logs()
    workers._PAUSES = {pauses}
    listeners = listen("127.0.0.1", int(sys.argv[1]))
    raise SystemExit(workers.Workers(load, listeners, 2).serve())
"""

APPLICATION = """
import asyncio
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
    if scope["path"] == "/slow":
        (HERE / "slow").touch()
        await asyncio.sleep(7)
    body = str(os.getpid()).encode()
    headers = [(b"content-length", str(len(body)).encode()), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
"""

SOON = 90
"""Seconds, for a busy machine."""

SILENT_SECONDS = 5
"""A serving worker that shows no heartbeat for as long is replaced."""


class Running:
    """Two workers of a small application, and their supervisor."""

    def __init__(self, folder: Path, pauses: tuple[float, ...]) -> None:
        self.folder = folder
        self.port = find_free_port()
        (folder / "application.py").write_text(APPLICATION)
        (folder / "program.py").write_text(PROGRAM.replace("{pauses}", str(pauses)))
        with (folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "program.py", str(self.port)],
                cwd=folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def workers(self) -> set[int]:
        return find_workers(self.process.pid)

    def template(self) -> int:
        """What workers are forked from."""
        (child,) = find_children(self.process.pid)
        return child

    def answering(self, path: str = "/", timeout: float = 0.5) -> int:
        """The worker that answers, 0 when none does."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request("GET", path)
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


def wait_for(condition: Callable[[], object], running: Running) -> None:
    deadline = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < deadline, running.log
        time.sleep(0.01)


@contextmanager
def two_workers(
    folder: Path, pauses: tuple[float, ...] = (0.0, 0.3)
) -> Iterator[Running]:
    made = Running(folder, pauses)
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


def test_none_is_waited_with_while_nobody_serves(tmp_path: Path) -> None:
    """Killed again and again, as soon as they serve."""
    with two_workers(tmp_path, pauses=(0.0, 0.3, 10 * SOON)) as running:
        for _ in range(7):
            wait_for(lambda: running.answering() != 0, running)
            for pid in running.workers():
                kill(pid)
        wait_for(lambda: running.answering() != 0, running)


def test_what_workers_are_forked_from_may_be_killed(tmp_path: Path) -> None:
    """Healthy workers stay, are watched as before, and end with the supervisor."""
    with two_workers(tmp_path) as running:
        both = running.all_serve()
        template = running.template()
        kill(template)
        wait_for(lambda: {*find_children(running.process.pid)} - {template}, running)
        assert running.workers() == running.all_serve() == both
        killed, other = sorted(both)
        kill(killed)
        wait_for(lambda: killed not in running.workers(), running)
        assert other in running.all_serve()
        assert "no heartbeat" not in running.log
        running.process.kill()
        running.process.wait(SOON)
        wait_for(lambda: not running.workers(), running)


def test_what_imports_the_application_slowly_is_waited_for(running: Running) -> None:
    killed = min(running.all_serve())
    (running.folder / "slow-import").touch()
    kill(running.template())
    wait_for(lambda: "template ended" in running.log, running)
    kill(killed)
    running.all_serve()
    (running.folder / "slow-import").unlink()
    assert "no heartbeat" not in running.log


def test_all_may_be_killed_at_once(running: Running) -> None:
    for pid in (*running.all_serve(), running.template()):
        kill(pid)
    running.all_serve()
    assert running.process.poll() is None


@pytest.mark.parametrize("thawed", [True, False])
def test_they_may_be_frozen_while_a_worker_is_asked_of_them(
    running: Running, *, thawed: bool
) -> None:
    worker, other = running.all_serve()
    template = running.template()
    os.kill(template, signal.SIGSTOP)
    kill(worker)
    wait_for(lambda: "heartbeat" in running.log, running)
    if thawed:
        with suppress(ProcessLookupError):  # replaced by now
            os.kill(template, signal.SIGCONT)
    assert other in running.all_serve()
    assert running.process.poll() is None


def test_a_frozen_worker_is_replaced_after_seconds(running: Running) -> None:
    frozen, other = running.all_serve()
    os.kill(frozen, signal.SIGSTOP)
    began = time.monotonic()
    wait_for(lambda: frozen not in running.workers(), running)
    assert SILENT_SECONDS - 2 < time.monotonic() - began < 3 * SILENT_SECONDS
    assert other in running.all_serve()


def test_workers_that_were_frozen_with_the_supervisor_stay(running: Running) -> None:
    """A machine that was suspended."""
    both = running.all_serve()
    everyone = (running.process.pid, *both)
    for pid in everyone:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(SILENT_SECONDS + 2)
    for pid in everyone:
        os.kill(pid, signal.SIGCONT)
        time.sleep(0.5)
    assert running.all_serve() == both
    assert not running.log


def test_a_worker_that_is_told_to_end_finishes_its_calls(running: Running) -> None:
    """It sends no heartbeat meanwhile."""
    running.all_serve()
    with ThreadPoolExecutor() as threads:
        answer = threads.submit(running.answering, "/slow", SOON)
        wait_for((running.folder / "slow").exists, running)
        for worker in running.workers():
            os.kill(worker, signal.SIGTERM)
        assert answer.result() != 0
    assert "heartbeat" not in running.log


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
        wait_for(lambda: not both & running.workers(), running)
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


def test_the_supervisor_imports_nothing_of_the_application(tmp_path: Path) -> None:
    with running_broker(tmp_path, workers=2, forked=False) as broker:
        assert broker.process is not None
        mapped = {
            pid: "/lxml" in Path(f"/proc/{pid}/maps").read_text()
            for pid in (broker.process.pid, *find_workers(broker.process.pid))
        }
        assert list(mapped.values()) == [False, True, True]
        # The first worker alone announces how the broker runs.
        assert broker.log.count('"event":"starting"') == 1


@pytest.mark.parametrize("status", [0, STARTUP_FAILURE])
def test_the_command_ends_with_their_status(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "")  # the command sets it
    monkeypatch.setattr(Workers, "serve", lambda _: status)
    monkeypatch.setattr("broker.cli.serve.listen", lambda *_: [])
    cli("serve", "--workers", "2", fails=status != 0)
