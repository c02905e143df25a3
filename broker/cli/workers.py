"""The processes of ``broker serve --workers N``: started, watched, stopped in time.

uvicorn's supervisor waits for one worker's sign of life after the other and looks at
signals in between only: with three workers that were just starting, a stop took half a
minute. Here a signal ends the waiting at once, and the stop has an end of its own.
"""

import multiprocessing
import signal
import time
from types import FrameType

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

STOP_SECONDS = 9.0
"""Container engines kill what takes longer than ten."""


class _StopRequestedError(Exception):
    """A signal asked for the end."""


class Workers(Multiprocess):
    """Workers on one socket.

    A worker that shows no sign of life within the config's
    ``timeout_worker_healthcheck`` is replaced, one that is only starting included.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config, sockets=[config.bind_socket()])
        self._stopping = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._request_stop)

    def serve(self) -> int:
        """Run until a signal ends it; the exit status."""
        try:
            self.init_processes()
            while not self.should_exit.wait(0.5):
                self.handle_signals()
                self.keep_subprocess_alive()
        except _StopRequestedError:
            status = 0
        else:
            status = STARTUP_FAILURE
        self._stopping = True
        # Held open here, it would let clients in whom no worker answers any more.
        for listener in self.sockets:
            listener.close()
        _end(multiprocessing.active_children())
        return status

    def _request_stop(self, _number: int, _frame: FrameType | None) -> None:
        if not self._stopping:
            self._stopping = True
            raise _StopRequestedError


def _end(workers: list[multiprocessing.process.BaseProcess]) -> None:
    for worker in workers:
        worker.terminate()
    deadline = time.monotonic() + STOP_SECONDS
    for worker in workers:
        worker.join(max(0.0, deadline - time.monotonic()))
        if worker.is_alive():
            worker.kill()
            worker.join()
