"""Runs long computations off the event loop, and lasting work beside the calls.

Each worker has one thread that runs them in turn, so that however many are queued, the
event loop gets the interpreter back at once. The queue is bounded. Work before a proof
has its own thread, so that unauthenticated clients cannot delay authenticated ones.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

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


@asynccontextmanager
async def in_background(
    work: Coroutine[Any, Any, None], name: str
) -> AsyncIterator[None]:
    """Run something while the block runs; with the block it is cancelled."""
    task = asyncio.create_task(work, name=name)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
