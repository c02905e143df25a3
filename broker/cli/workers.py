"""The supervisor of ``broker serve --workers N``: starts, watches and stops workers.

It imports nothing of the application. It forks the *template*, which imports the
application once and forks a worker whenever the supervisor asks: a new one starts
quickly and shares memory with the others. Workers watch the supervisor and not the
template, so that they go on serving when the template is killed.

uvicorn's own supervisor pings one worker after another and waits for each answer: one
that dies in between blocks the checks of all others for as long as a slow start may
take. Here each worker has a pipe to the supervisor, and its end is seen at once.
"""

import gc
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from socket import recv_fds, send_fds, socket, socketpair

import structlog
import uvicorn
from msgspec import Struct
from uvicorn.config import STARTUP_FAILURE

Configure = Callable[[bool], uvicorn.Config]
"""Makes a worker's server; told whether it is the first, which prepares the database."""

_log = structlog.get_logger(__name__)
_context = multiprocessing.get_context("fork")

STOP_SECONDS = 9.0
"""Container engines kill a container that takes longer than ten seconds to stop."""

_PAUSES = (0.0, 0.5, 1.0, 2.0, 5.0, 15.0, 30.0)
"""Seconds to wait before a start, by the number of deaths in a row before it."""

_STEADY_SECONDS = 2.0
"""A worker that served this long resets the count of deaths."""

_HOPELESS = 5
"""The service ends when every worker failed to start this often and none serves."""

_LOOK_SECONDS = 1.0

_SILENT_SECONDS = 5.0
"""A serving worker sends a heartbeat every second; nothing holds its loop so long."""

_START_SECONDS = 30.0
"""What a worker may take to start, or to end, on a busy machine."""

_BEAT, _LEAVES, _PID, _EXIT = b".", b"leaves", b"pid", b"exit"
"""What the supervisor reads of a worker; the last two are followed by a number."""


class _Server(uvicorn.Server):
    """A worker's server: sends a heartbeat every second, and ends with its supervisor."""

    def __init__(self, config: uvicorn.Config, life: Connection) -> None:
        super().__init__(config)
        self._life = life
        self._told_at = 0.0

    async def on_tick(self, counter: int) -> bool:
        """Send the heartbeat; uvicorn calls this ten times a second."""
        if (now := time.monotonic()) - self._told_at >= _LOOK_SECONDS:
            self._told_at = now
            self._tell(_BEAT)
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """Running calls are waited for, without heartbeats."""
        self._tell(_LEAVES)
        await super().shutdown(sockets)

    def _tell(self, message: bytes) -> None:
        try:
            self._life.send_bytes(message)
        except BlockingIOError:
            pass  # the supervisor is busy but alive
        except OSError:
            self.should_exit = True


def _work(
    config: uvicorn.Config,
    listeners: list[socket],
    life: Connection,
    others: Sequence[socket | Connection],
) -> None:  # pragma: no cover # in a process of its own
    for other in others:
        other.close()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    os.set_blocking(life.fileno(), False)
    _Server(config, life).run(listeners)


def _fork_workers(
    load: Callable[[], Configure],
    listeners: list[socket],
    control: socket,
    others: Sequence[socket | Connection],
) -> None:  # pragma: no cover # in a process of its own
    """The template: fork a worker for each pipe that it is sent, and say how it ended."""
    for other in others:
        other.close()  # else workers would not see the supervisor's end
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it ends with the supervisor
    configure = load()
    gc.freeze()  # a collection would copy the pages that workers share
    workers: dict[ForkProcess, Connection] = {}
    watched = [control]
    while watched or workers:
        asked = wait([*watched, *(worker.sentinel for worker in workers)])
        for worker, status in [(each, each.exitcode) for each in workers]:
            if status is not None:
                with workers.pop(worker) as life, suppress(OSError):
                    life.send_bytes(b"%b %d" % (_EXIT, status))
        if control not in asked:
            continue
        first, handles, *_ = recv_fds(control, 1, 1)
        if not handles:
            # Left open here, they would accept connections that no worker answers.
            for each in (*listeners, watched.pop()):
                each.close()
            continue
        life = Connection(handles[0], readable=False)
        worker = _context.Process(
            target=_work,
            args=(
                configure(first == b"1"),
                listeners,
                life,
                (control, *workers.values()),
            ),
        )
        try:
            worker.start()
        except OSError as error:  # out of memory or processes
            _log.error("cannot start a worker", error=str(error))
            life.close()
            continue
        workers[worker] = life
        with suppress(OSError):  # the supervisor waited too long
            life.send_bytes(b"%b %d" % (_PID, worker.pid or 0))


class _Place(Struct):
    """One of the N places for a worker, and the worker in it."""

    life: Connection | None = None
    """The worker's pipe; None while the place is empty."""

    pid: int | None = None
    exit_status: int | None = None
    began_at: float = 0.0
    seen_at: float = 0.0
    serves_since: float | None = None
    leaves: bool = False
    """It was asked to end."""

    ended_at: float = float("-inf")
    deaths: int = 0
    """In a row; reset by steady service."""

    failed_starts: int = 0
    """In a row, counting failures of its own and not kills by a signal."""

    @property
    def serves(self) -> bool:
        return self.serves_since is not None and not self.leaves

    def has_ended(self, now: float) -> bool:
        """Read what the worker sent; whether it is gone."""
        try:
            while self.life is not None and self.life.poll():
                word, _, number = self.life.recv_bytes().partition(b" ")
                self.seen_at = now
                if word == _PID:
                    self.pid = int(number)
                elif word == _EXIT:
                    self.exit_status = int(number)
                elif word == _LEAVES:
                    self.leaves = True
                elif self.serves_since is None:
                    self.serves_since = now
                    self.failed_starts = 0
        except (EOFError, OSError):
            return True
        return self.exit_status is not None

    def signal(self, number: int) -> None:
        if self.pid is not None and self.exit_status is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def clear(self) -> None:
        """Kill the worker, if it is alive, and clear the place."""
        self.signal(signal.SIGKILL)
        if self.pid is not None:
            with suppress(ChildProcessError):
                # As a container's first process we inherit what the template leaves.
                _, status = os.waitpid(self.pid, 0)
                self.exit_status = os.waitstatus_to_exitcode(status)
        if self.life is not None:
            self.life.close()
        self.life = self.pid = self.exit_status = self.serves_since = None
        self.leaves = False


class Workers:
    """Runs workers that share the same sockets.

    A worker that dies is replaced, after a growing delay if it keeps dying early while
    others serve. One that sends no heartbeat is killed. The first worker starts alone,
    for as long as that takes: it prepares the database.

    ``load`` imports the application, in a process that workers are forked from: it
    starts no threads.
    """

    def __init__(
        self, load: Callable[[], Configure], listeners: Sequence[socket], count: int
    ) -> None:
        self._load = load
        self._listeners = list(listeners)
        self._places = [_Place() for _ in range(count)]
        self._woken, self._wake = multiprocessing.Pipe(duplex=False)
        self._template: ForkProcess | None = None
        self._control: socket | None = None
        self._forked_at = 0.0
        """When the template was forked."""

        self._is_loaded = False
        """Whether the template has imported the application."""

        self._has_served = False
        self._stop = False
        self._renewed_at = float("-inf")
        self._looked_at = time.monotonic()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._note_signal)

    def serve(self) -> int:
        """Run until a signal ends it; return the exit status."""
        while not self._stop and not self._is_hopeless():
            now = time.monotonic()
            for place in self._places:
                if place.life is None and self._due_at(place) <= now:
                    self._start(place)
            self._wait()
            self._look()
            self._renew()
        self._end()
        return 0 if self._stop else STARTUP_FAILURE

    def _note_signal(self, number: int, _frame: object) -> None:
        if number == signal.SIGHUP:
            self._renewed_at = time.monotonic()
        else:
            self._stop = True
        if not self._woken.poll():
            self._wake.send_bytes(b".")

    def _due_at(self, place: _Place) -> float:
        """When an empty place gets its next worker."""
        if not self._has_served and place is not self._places[0]:
            return float("inf")
        pause = _PAUSES[min(place.deaths, len(_PAUSES)) - 1] if place.deaths else 0.0
        if not place.failed_starts and not any(each.serves for each in self._places):
            pause = min(pause, _PAUSES[1])
        return place.ended_at + pause

    def _start(self, place: _Place) -> None:
        # If any of this fails, the pipe ends as that of a worker that ended. The
        # template must not inherit an end of it.
        with suppress(OSError):
            self._control = self._control or self._fork_template()
        place.life, theirs = multiprocessing.Pipe(duplex=False)
        place.began_at = place.seen_at = time.monotonic()
        with theirs, suppress(OSError):
            if self._control is not None:
                first = b"0" if self._has_served else b"1"
                send_fds(self._control, [first], [theirs.fileno()])

    def _fork_template(self) -> socket:
        control, theirs = socketpair()
        control.setblocking(False)
        lives = [place.life for place in self._places if place.life is not None]
        ours = (control, self._woken, self._wake, *lives)
        self._is_loaded = False
        self._forked_at = time.monotonic()
        with theirs:
            self._template = _context.Process(
                target=_fork_workers, args=(self._load, self._listeners, theirs, ours)
            )
            self._template.start()
        return control

    def _wait(self) -> None:
        now = time.monotonic()
        due = [self._due_at(p) - now for p in self._places if p.life is None]
        lives = [place.life for place in self._places if place.life is not None]
        watched: list[Connection | socket] = [self._woken, *lives]
        if self._control is not None:
            watched.append(self._control)
        wait(watched, max(0.0, min((*due, _LOOK_SECONDS))))
        while self._woken.poll():
            self._woken.recv_bytes()

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._looked_at > 2 * _LOOK_SECONDS:
            # Suspended or starved, probably as the workers were: no silence of theirs.
            for place in self._places:
                place.seen_at = now
        self._looked_at = now
        for place in self._places:
            if place.life is None:
                continue
            if place.has_ended(now):
                if not place.leaves:
                    _log.error(
                        "a worker ended",
                        worker=place.pid,
                        exit_status=place.exit_status,
                    )
                self._clear(place, now)
            elif now - place.seen_at > self._patience(place):
                _log.error("a worker sends no heartbeat", worker=place.pid)
                if place.pid is None and self._template is not None:
                    self._template.kill()
                self._clear(place, now)
            self._is_loaded |= (
                place.pid is not None and place.began_at > self._forked_at
            )
            self._has_served |= place.serves
        self._look_at_template()

    def _patience(self, place: _Place) -> float:
        """How long a worker may be silent."""
        if not self._has_served:
            return float("inf")
        is_asked = place.pid is None and self._is_loaded
        return _SILENT_SECONDS if place.serves or is_asked else _START_SECONDS

    def _look_at_template(self) -> None:
        """Replace the template if it was killed; if it fails, when a worker is due."""
        if self._template is None or self._control is None or self._template.is_alive():
            return
        _log.error("the workers' template ended", exit_status=self._template.exitcode)
        self._control.close()
        self._control = self._fork_template() if self._is_loaded else None

    def _clear(self, place: _Place, now: float) -> None:
        since = now if place.serves_since is None else place.serves_since
        if place.leaves or now - since >= _STEADY_SECONDS:
            place.deaths = 0
        has_served = place.serves_since is not None
        status = place.exit_status
        if place.pid is None and self._template is not None:
            status = self._template.exitcode
        if not has_served and status is not None and status > 0:
            place.failed_starts += 1
        place.ended_at = now
        place.deaths += 1
        place.clear()

    def _renew(self) -> None:
        """After SIGHUP, replace old workers one at a time, while all others serve."""
        if not all(place.serves for place in self._places):
            return
        for place in self._places:
            if place.began_at < self._renewed_at:
                place.leaves = True
                place.signal(signal.SIGTERM)
                return

    def _is_hopeless(self) -> bool:
        if any(place.serves for place in self._places):
            return False
        if not self._has_served:
            return self._places[0].failed_starts > 0
        return all(place.failed_starts >= _HOPELESS for place in self._places)

    def _end(self) -> None:
        for each in (*self._listeners, *filter(None, [self._control])):
            each.close()  # the template then closes its own
        for place in self._places:
            place.signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while (now := time.monotonic()) < deadline:
            places = [place for place in self._places if not place.has_ended(now)]
            lives = [place.life for place in places if place.life is not None]
            if not lives:
                break
            wait(lives, deadline - now)
        for place in self._places:
            place.clear()
        if self._template is not None:
            self._template.join(_LOOK_SECONDS)
            self._template.kill()
