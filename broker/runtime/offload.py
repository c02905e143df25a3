"""Runs long computations off the event loop.

Each worker has one thread that runs them in turn, so that however many are queued, the
event loop gets the interpreter back at once. The queue is bounded. Work before a proof
has its own thread, so that unauthenticated clients cannot delay authenticated ones.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from broker.errors import Throttling

Value = TypeVar("Value")

LONG = 65_536
"""From this many characters or bytes on, input is read off the event loop."""

WAITING_MAX = 64


class _Offload:
    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(1, name)  # it starts with the first work
        self._waiting = 0

    async def run(self, work: Callable[[], Value]) -> Value:
        if self._waiting >= WAITING_MAX:
            raise Throttling(detail="too many long computations are waiting")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._waiting -= 1


_proved = _Offload("offload")
_unproved = _Offload("offload-unproved")


async def offload(work: Callable[[], Value], *, proved: bool = True) -> Value:
    """What ``work`` returns or raises; it must not share mutable state.

    ``proved`` says whether the caller is authenticated yet.

    Raises:
        Throttling: too many are waiting already.
    """
    return await (_proved if proved else _unproved).run(work)


async def offload_long(
    size: int, work: Callable[[], Value], *, proved: bool = True
) -> Value:
    """The same, but only for input of at least `LONG`."""
    return work() if size <= LONG else await offload(work, proved=proved)
