"""A server that computes all the time, in short steps, and answers in between.

What its answers take is what a worker's could take at best while it has more work than
it can do, on this machine as busy as it is: bounds of waiting are multiples of that.
"""

import multiprocessing
import select
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.effort import compute_reference

_STEPS = 2
"""Of a reference each, between two looks at who asks."""

_IDLE_SECONDS = 0.05
"""So long after the last request it computes nothing."""


class GreedyServer:
    """One connection to it, over loopback."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def time_exchanges(self, seconds: float) -> list[float]:
        """What exchanges took, one after the other, with a pause between them."""
        taken = []
        until = time.monotonic() + seconds
        while time.monotonic() < until or len(taken) < 2:
            began = time.perf_counter()
            self._connection.sendall(b"?")
            assert self._connection.recv(1) == b"!"
            taken.append(time.perf_counter() - began)
            time.sleep(0.003)
        return taken[1:]  # it was idle before the first


@contextmanager
def greedy_server() -> Iterator[GreedyServer]:
    """One in a process of its own, while the block runs."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        forks: Any = multiprocessing.get_context("fork")
        process = forks.Process(target=_serve, args=(listening,), daemon=True)
        process.start()
        with socket.create_connection(listening.getsockname()) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            yield GreedyServer(connection)
        process.join()


def _serve(listening: socket.socket) -> None:
    connection, _ = listening.accept()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    busy_until = 0.0
    while True:
        is_busy = time.monotonic() < busy_until
        if select.select([connection], [], [], 0 if is_busy else None)[0]:
            if not connection.recv(1):
                return
            compute_reference()
            connection.sendall(b"!")
            busy_until = time.monotonic() + _IDLE_SECONDS
        for _ in range(_STEPS):
            compute_reference()
