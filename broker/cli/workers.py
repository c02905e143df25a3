"""The supervisor of ``broker serve --workers N``: starts, watches and stops workers.

uvicorn's own supervisor pings one worker after another and waits for each answer: one
that dies in between blocks the checks of all others for as long as a slow start may
take. Here the operating system reports a death at once, and no worker waits for
another. Workers are forked from a process that has only imported the application, so a
new one starts quickly.
"""

import multiprocessing
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from socket import socket

import structlog
import uvicorn
from uvicorn.config import STARTUP_FAILURE

_log = structlog.get_logger(__name__)
_context = multiprocessing.get_context("forkserver")
multiprocessing.allow_connection_pickling()  # of the listeners

_IMPORTED = ("broker.app", "broker.cli.serve", "uvloop")
"""Imported by the process that workers are forked from; it starts no threads."""

STOP_SECONDS = 9.0
"""Container engines kill a container that takes longer than ten seconds to stop."""

_PAUSES = (0.0, 0.5, 1.0, 2.0, 5.0, 15.0, 30.0)
"""Seconds to wait before a start, by the number of deaths in a row before it."""

_STEADY_SECONDS = 2.0
"""A worker that served this long resets the count of deaths."""

_HOPELESS = 5
"""The service ends when every worker failed to start this often and none serves."""

_LOOK_SECONDS = 1.0


class _Server(uvicorn.Server):
    """A worker's server: sends a heartbeat every second, and ends with its supervisor."""

    def __init__(self, config: uvicorn.Config, life: Connection) -> None:
        super().__init__(config)
        self._life = life
        os.set_blocking(life.fileno(), False)

    async def on_tick(self, counter: int) -> bool:
        """Send the heartbeat; uvicorn calls this ten times a second."""
        if counter % 10 == 0:
            try:
                self._life.send_bytes(b".")
            except BlockingIOError:
                pass  # the supervisor is busy but alive
            except OSError:
                self.should_exit = True
        return await super().on_tick(counter)


def _work(
    config: uvicorn.Config, listeners: list[socket], life: Connection
) -> None:  # pragma: no cover # in a process of its own
    _Server(config, life).run(listeners)


@dataclass(slots=True)
class _Place:
    """One of the N places for a worker, and the worker in it."""

    process: ForkServerProcess | None = None
    life: Connection | None = None
    began_at: float = 0.0
    seen_at: float = 0.0
    serves_since: float | None = None
    leaves: bool = False
    """It was asked to end, to be replaced."""

    is_due_at: float = 0.0
    deaths: int = 0
    """In a row; reset by steady service."""

    failed_starts: int = 0
    """In a row, counting failures of its own and not kills by a signal."""

    def end(self) -> None:
        """Kill the worker, if it is alive, and clear the place."""
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.process.close()
        if self.life is not None:
            self.life.close()
        self.process = self.life = None
        self.serves_since = None
        self.leaves = False


class Workers:
    """Runs workers that share the same sockets.

    A worker that dies is replaced, after a growing delay if it keeps dying early. A
    worker, even a starting one, that sends no heartbeat for the config's
    ``timeout_worker_healthcheck`` seconds is killed.
    """

    def __init__(self, config: uvicorn.Config, listeners: Sequence[socket]) -> None:
        _context.set_forkserver_preload([*_IMPORTED])
        self._config = config
        self._listeners = list(listeners)
        self._places = [_Place() for _ in range(config.workers)]
        self._woken, self._wake = multiprocessing.Pipe(duplex=False)
        self._has_served = False
        self._stop = False
        self._renewed_at = float("-inf")
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._note_signal)

    def serve(self) -> int:
        """Run until a signal ends it; return the exit status."""
        while not self._stop and not self._is_hopeless():
            now = time.monotonic()
            for place in self._places:
                if place.process is None and place.is_due_at <= now:
                    self._start(place)
            self._wait()
            for place in self._places:
                self._look(place)
            self._renew()
        # Left open here, they would accept connections that no worker answers.
        for listener in self._listeners:
            listener.close()
        self._end()
        return 0 if self._stop else STARTUP_FAILURE

    def _note_signal(self, number: int, _frame: object) -> None:
        if number == signal.SIGHUP:
            self._renewed_at = time.monotonic()
        else:
            self._stop = True
        if not self._woken.poll():
            self._wake.send_bytes(b".")

    def _start(self, place: _Place) -> None:
        place.life, theirs = multiprocessing.Pipe(duplex=False)
        process = _context.Process(
            target=_work, args=(self._config, self._listeners, theirs)
        )
        now = time.monotonic()
        try:
            process.start()
        except (OSError, EOFError) as error:
            # Out of memory or processes; or what workers are forked from was killed.
            _log.error("cannot start a worker", error=str(error))
            place.is_due_at = now + _LOOK_SECONDS
            place.end()
            return
        finally:
            theirs.close()
        place.process = process
        place.began_at = place.seen_at = now

    def _wait(self) -> None:
        """Wait for a heartbeat, a death, a signal, or the time of the next start."""
        now = time.monotonic()
        due = [p.is_due_at - now for p in self._places if p.process is None]
        watched: list[object] = [self._woken]
        for place in self._places:
            if place.process is not None and place.life is not None:
                watched += (place.process.sentinel, place.life)
        wait(watched, max(0.0, min((*due, _LOOK_SECONDS))))  # type: ignore[arg-type] # connections and sentinels
        while self._woken.poll():
            self._woken.recv_bytes()

    def _look(self, place: _Place) -> None:
        if place.process is None or place.life is None:
            return
        now = time.monotonic()
        try:
            while place.life.poll():
                place.life.recv_bytes()
                place.seen_at = now
                self._has_served = True
                if place.serves_since is None and not place.leaves:
                    place.serves_since = now
                place.failed_starts = 0
        except (EOFError, OSError):
            place.process.join(0.1)  # its pipe closes a moment before it exits
        if place.process.is_alive():
            if now - place.seen_at <= self._config.timeout_worker_healthcheck:
                return
            _log.error("a worker sends no heartbeat", worker=place.process.pid)
        elif not place.leaves:
            _log.error(
                "a worker ended",
                worker=place.process.pid,
                exit_status=place.process.exitcode,
            )
        self._clear(place, now)

    def _clear(self, place: _Place, now: float) -> None:
        """Remove a dead or hung worker, and schedule the next one."""
        since = now if place.serves_since is None else place.serves_since
        if place.leaves or now - since >= _STEADY_SECONDS:
            place.deaths = 0
        status = place.process.exitcode if place.process is not None else None
        if place.serves_since is None and status is not None and status > 0:
            place.failed_starts += 1
        place.is_due_at = now + _PAUSES[min(place.deaths, len(_PAUSES) - 1)]
        place.deaths += 1
        place.end()

    def _renew(self) -> None:
        """After SIGHUP, replace old workers one at a time, while all others serve."""
        if any(place.serves_since is None for place in self._places):
            return
        for place in self._places:
            if place.process is not None and place.began_at < self._renewed_at:
                place.leaves, place.serves_since = True, None
                place.process.terminate()
                return

    def _is_hopeless(self) -> bool:
        if any(place.serves_since is not None for place in self._places):
            return False
        enough = _HOPELESS if self._has_served else 1
        return all(place.failed_starts >= enough for place in self._places)

    def _end(self) -> None:
        living = [p.process for p in self._places if p.process is not None]
        for process in living:
            process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for process in living:
            process.join(max(0.0, deadline - time.monotonic()))
        for place in self._places:
            place.end()
