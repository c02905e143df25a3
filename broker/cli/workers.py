"""The processes of ``broker serve --workers N``: started, watched, stopped in time.

uvicorn's own supervisor asks one worker after the other for a sign of life and waits
for it: one that dies between question and answer is missed for as long as a slow start
may take, and the others with it. Here the system tells of a death at once, and nothing
that is done for one worker makes another wait. Workers are forked from a process that
has imported the application and done nothing else: a new one is there at once.
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

_IMPORTED = ("broker.app", "broker.cli.main", "uvloop")
"""By the process that workers are forked from; it starts no thread."""

STOP_SECONDS = 9.0
"""Container engines kill what takes longer than ten."""

_PAUSES = (0.0, 0.5, 1.0, 2.0, 5.0, 15.0, 30.0)
"""Seconds before a start, by how many failed in a row before it."""

_STEADY_SECONDS = 2.0
"""A worker that served for as long may be replaced at once, whatever came before."""

_HOPELESS = 5
"""Failed starts in a row of every worker, with none serving, that end the service."""

_LOOK_SECONDS = 1.0


class _Server(uvicorn.Server):
    """A worker's server: says every second that it serves, ends with its supervisor."""

    def __init__(self, config: uvicorn.Config, life: Connection) -> None:
        super().__init__(config)
        self._life = life
        os.set_blocking(life.fileno(), False)

    async def on_tick(self, counter: int) -> bool:
        """As uvicorn's, ten times a second from the event loop."""
        if counter % 10 == 0:
            try:
                self._life.send_bytes(b".")
            except BlockingIOError:
                pass  # the supervisor is held up, and alive
            except OSError:
                self.should_exit = True
        return await super().on_tick(counter)


def _work(
    config: uvicorn.Config, listeners: list[socket], life: Connection
) -> None:  # pragma: no cover # in a process of its own
    _Server(config, life).run(listeners)


@dataclass(slots=True)
class _Place:
    """One of the N places for a worker, and who is in it."""

    process: ForkServerProcess | None = None
    life: Connection | None = None
    began_at: float = 0.0
    seen_at: float = 0.0
    serves_since: float | None = None
    leaves: bool = False
    """It was asked to, for another to take its place."""

    is_due_at: float = 0.0
    deaths: int = 0
    """In a row, none after long service."""

    failed_starts: int = 0
    """In a row, by its own account; not those that somebody killed."""

    def end(self) -> None:
        """Kill whoever is in it, if it lives, and forget it."""
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
    """Workers on the same sockets.

    A worker that dies is replaced at once, the sooner it died the later. One that
    shows no sign of life for the config's ``timeout_worker_healthcheck`` seconds is
    killed, one that is only starting included.
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
        """Run until a signal ends it; the exit status."""
        while not self._stop and not self._is_hopeless():
            now = time.monotonic()
            for place in self._places:
                if place.process is None and place.is_due_at <= now:
                    self._start(place)
            self._wait()
            for place in self._places:
                self._look(place)
            self._renew()
        # Held open here, they would let clients in whom no worker answers any more.
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
        except OSError as error:  # no memory, no process more
            _log.error("a worker cannot be started", error=str(error))
            place.is_due_at = now + _LOOK_SECONDS
            place.end()
            return
        finally:
            theirs.close()
        place.process = process
        place.began_at = place.seen_at = now

    def _wait(self) -> None:
        """Until a worker says something or dies, a signal comes, or one is due."""
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
            place.process.join(0.1)  # its end of the pipe closes a moment earlier
        if place.process.is_alive():
            if now - place.seen_at <= self._config.timeout_worker_healthcheck:
                return
            _log.error("a worker shows no sign of life", worker=place.process.pid)
        elif not place.leaves:
            _log.error(
                "a worker ended",
                worker=place.process.pid,
                exit_status=place.process.exitcode,
            )
        self._clear(place, now)

    def _clear(self, place: _Place, now: float) -> None:
        """Take a dead or deaf worker out, and say when the next one is due."""
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
        """Ask one worker from before the last SIGHUP to end, once all others serve."""
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
