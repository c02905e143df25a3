"""Runs long computations off the event loop, and lasting work beside the calls.

Each worker has one thread that runs them in turn, so that however many are queued, the
event loop gets the interpreter back at once. Next is always the work of the account that
used least of the processor lately, and what takes long goes on in steps, with a turn
each (`offload_steps`). What an account may have waiting is bounded. Work before a proof
has its own thread, so that unauthenticated clients cannot delay authenticated ones.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from contextvars import copy_context
from functools import partial
from time import thread_time
from typing import Any, TypeVar

from broker.errors import Throttling
from broker.runtime.shares import (
    METER,
    STEP_SECONDS,
    FairQueue,
    Meter,
    Shares,
    StepTooLongError,
    stay_short,
)

Value = TypeVar("Value")

Steps = Generator[None, None, Value]
"""Work that yields where it can be interrupted, and returns its result."""

LONG = 65_536
"""From this many characters or bytes on, input is read off the event loop."""

WAITING_MAX = 64
"""Of those who are not authenticated yet, all together."""

OWN_WAITING_MAX = 16
"""Of one account."""

LONG_POLICY = 2_000
"""The same for the text of a policy, of which a character takes much longer."""

_ALL = 1 << 30
_BACKGROUND = Meter(Shares())
"""That of work which no request asked for."""

Check = Callable[[], None]


class _Job:
    """Work that waits for its thread, in one place or several; begun, it is let go of.

    The meter knows the places for as long as it lives, and is itself part of the job:
    whatever the work was to read would wait for the garbage collector, which counts
    objects, not bytes.
    """

    __slots__ = ("_parts",)

    def __init__(
        self, future: Future[Any], work: Callable[[], Any], meter: Meter
    ) -> None:
        self._parts: tuple[Future[Any], Callable[[], Any], Meter] | None
        self._parts = future, work, meter

    def run(self) -> bool:
        """Do it, unless it had its turn in another place, or is not waited for."""
        if self._parts is None:
            return False
        future, work, meter = self._parts
        self._parts = None
        if not future.set_running_or_notify_cancel():
            return False
        began = thread_time()
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001  # for those who wait
            meter.add(thread_time() - began)
            future.set_exception(error)
        else:
            meter.add(thread_time() - began)
            future.set_result(result)
        del future  # it holds an error, whose traceback holds this frame
        return True


class _Offload:
    """One thread, which takes the next from what waits each time that it is free."""

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(1, name)  # it starts with the first work
        self._waiting = FairQueue[_Job]()

    async def run(
        self, work: Callable[[], Value], meter: Meter, waiting_max: int
    ) -> Value:
        if self._waiting.count(meter.account) >= waiting_max:
            raise Throttling(detail="too many long computations are waiting")
        future = Future[Value]()
        meter.wait_in(self._waiting, _Job(future, work, meter))
        self._pool.submit(self._run_next, meter.shares)
        try:
            return await asyncio.wrap_future(future)
        finally:
            del future  # as in `_Job.run`

    def _run_next(self, shares: Shares) -> None:
        while (job := self._waiting.take(shares.used)) is not None:
            if job.run():
                return


_proved = _Offload("offload")
_unproved = _Offload("offload-unproved")


async def offload(work: Callable[[], Value], *, proved: bool = True) -> Value:
    """What ``work`` returns or raises; it must not share mutable state.

    ``proved`` says whether the caller is authenticated yet.

    Raises:
        Throttling: too many of the same account are waiting already.
    """
    meter = METER.get() or _BACKGROUND
    if not proved:
        return await _unproved.run(work, meter, WAITING_MAX)
    # What others wait for as well is not refused for one account's sake.
    is_own = meter.account and not meter.is_shared
    return await _proved.run(work, meter, OWN_WAITING_MAX if is_own else _ALL)


async def offload_steps(work: Steps[Value]) -> Value:
    """The same for work in steps, between which others have their turn.

    Raises:
        Throttling: too many of the same account are waiting already.
    """

    def go_on() -> tuple[Value] | None:
        until = thread_time() + STEP_SECONDS
        try:
            while thread_time() < until:
                next(work)
        except StopIteration as end:
            return (end.value,)
        return None

    meter = METER.get() or _BACKGROUND
    ended = await offload(go_on)
    while ended is None:
        ended = await _proved.run(go_on, meter, _ALL)
    return ended[0]


def run_steps(work: Steps[Value]) -> Value:
    """The result of work in steps, where nothing else waits."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            value: Value = end.value
            return value


async def offload_if_long(work: Callable[[Check], Value]) -> Value:
    """The same for work that is short nearly always, and then done at once.

    It calls the check that it is given again and again. What takes too long is begun
    once more off the event loop.

    Raises:
        Throttling: too many of the same account are waiting already.
    """
    try:
        return work(stay_short())
    except StepTooLongError:
        return await offload(partial(work, _go_on))


def _go_on() -> None:
    """Check nothing, where work may take its time."""


async def offload_long(
    size: int, work: Callable[[], Value], *, proved: bool = True, long: int = 0
) -> Value:
    """The same, but only for input that is longer than `LONG`, or ``long``."""
    return work() if size <= (long or LONG) else await offload(work, proved=proved)


def begin(
    work: Coroutine[Any, Any, Value], name: str | None = None
) -> asyncio.Task[Value]:
    """A task beside the calls: of what it takes, nothing is the caller's that began it.

    What is for one request, or for those that ask for the same, is `SharedWork`.
    """
    context = copy_context()
    context.run(METER.set, None)
    return asyncio.create_task(work, name=name, context=context)


@asynccontextmanager
async def in_background(
    work: Coroutine[Any, Any, None], name: str
) -> AsyncIterator[None]:
    """Run something while the block runs; with the block it is cancelled."""
    task = begin(work, name)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
