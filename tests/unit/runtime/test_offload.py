"""Long computations run one after the other, fairly, and only so many of them wait."""

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from broker.errors import Throttling
from broker.runtime.offload import (
    LONG,
    OWN_WAITING_MAX,
    WAITING_MAX,
    Steps,
    begin,
    offload,
    offload_if_long,
    offload_long,
    offload_steps,
)
from broker.runtime.shares import METER, STEP_SECONDS, Meter, SharedWork, Shares
from tests.unit.runtime.test_shares import compute, measured

TRIES = 20


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    gate = threading.Event()
    yield gate
    gate.set()


async def begun(work: asyncio.Task[object], at: threading.Event) -> None:
    while not at.is_set():
        assert not work.done()
        await asyncio.sleep(0.001)


async def test_what_waits_is_bounded_and_strangers_wait_apart(
    gate: threading.Event,
) -> None:
    started = threading.Event()
    first: asyncio.Task[object] = asyncio.create_task(
        offload(lambda: started.set() or gate.wait(), proved=False)  # type: ignore[func-returns-value]
    )
    await begun(first, started)
    waiting = [
        asyncio.create_task(offload(gate.wait, proved=False))
        for _ in range(WAITING_MAX)
    ]
    await asyncio.sleep(0)
    with pytest.raises(Throttling):
        await offload(gate.wait, proved=False)
    assert await offload(lambda: "served") == "served"
    gate.set()
    assert await asyncio.gather(*waiting) == [True] * WAITING_MAX
    assert await offload(lambda: "again", proved=False) == "again"


async def test_an_account_fills_its_own_places_alone(gate: threading.Event) -> None:
    shares, started = Shares(), threading.Event()
    order: list[str] = []

    def note(account: str) -> None:
        order.append(account)

    def hold() -> None:
        started.set()
        gate.wait()

    async def work(account: str) -> None:
        await measured(shares, account, lambda: offload(lambda: note(account)))

    shares.add("a", 1)
    first: asyncio.Task[object] = asyncio.create_task(
        measured(shares, "a", lambda: offload(hold))
    )
    await begun(first, started)
    waiting = [asyncio.create_task(work("a")) for _ in range(OWN_WAITING_MAX)]
    await asyncio.sleep(0)
    with pytest.raises(Throttling):
        await work("a")
    waiting.append(asyncio.create_task(work("b")))
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(*waiting, first)
    assert order == ["b", *["a"] * OWN_WAITING_MAX], "who used less is first"


async def test_long_work_in_steps_lets_others_in_between() -> None:
    shares = Shares()
    events: list[str] = []
    started = threading.Event()

    def steps() -> Steps[str]:
        for _ in range(100):
            started.set()
            compute(0.004)
            events.append("a")
            yield
        return "done"

    async def long() -> None:
        assert await offload_steps(steps()) == "done"

    task: asyncio.Task[object] = asyncio.create_task(measured(shares, "a", long))
    await begun(task, started)
    await measured(shares, "b", lambda: offload(lambda: events.append("b")))
    assert not task.done()
    await task
    assert events.index("b") < 90
    assert events.count("a") == 100


async def test_work_of_which_nobody_waits_for_the_end_is_paid_for(
    gate: threading.Event,
) -> None:
    shares, started, ended = Shares(), threading.Event(), threading.Event()

    def work() -> None:
        started.set()
        gate.wait()
        compute(0.02)

    task: asyncio.Task[object] = asyncio.create_task(
        measured(shares, "a", lambda: offload(work))
    )
    await begun(task, started)
    task.cancel()
    gate.set()
    await offload(ended.set)
    assert shares.used("a") > 0.005


async def test_a_step_that_fails_ends_the_work() -> None:
    def steps() -> Steps[str]:
        yield
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await offload_steps(steps())


async def test_only_what_is_long_leaves_the_event_loop() -> None:
    here = threading.current_thread().name
    assert await offload_long(LONG, lambda: threading.current_thread().name) == here
    there = await offload_long(LONG + 1, lambda: threading.current_thread().name)
    assert there.startswith("offload")
    there = await offload_long(8, lambda: threading.current_thread().name, long=7)
    assert there.startswith("offload")


async def test_an_error_comes_back_and_leaves_room() -> None:
    def fail() -> None:
        raise ValueError("no")

    for _ in range(WAITING_MAX + 1):
        with pytest.raises(ValueError, match="no"):
            await offload(fail)
    assert METER.get() is None
    assert Meter(Shares()).account == ""


async def test_work_that_turns_out_long_leaves_the_event_loop() -> None:
    names: list[str] = []

    def work(check: Callable[[], None], seconds: float) -> str:
        names.append(threading.current_thread().name)
        compute(seconds)
        check()
        return "done"

    here = threading.current_thread().name
    for _ in range(TRIES):  # another process may have the processor meanwhile
        names.clear()
        assert await offload_if_long(lambda check: work(check, 0)) == "done"
        if names == [here]:
            break
    assert names == [here]
    seconds = STEP_SECONDS * 1.5
    assert await offload_if_long(lambda check: work(check, seconds)) == "done"
    assert names[1] == here
    assert names[2].startswith("offload")


async def test_a_refusal_for_one_accounts_sake_does_not_reach_another(
    gate: threading.Event,
) -> None:
    """What both wait for goes on, however much of the one waits already."""
    shares, started = Shares(), threading.Event()
    shared: list[SharedWork[str]] = []

    async def load() -> str:
        return await offload(lambda: "loaded")

    async def ask() -> None:
        shared.append(SharedWork(load()))
        await shared[0].join()

    async def join() -> None:
        assert await shared[0].join() == "loaded"

    held: asyncio.Task[object] = asyncio.create_task(
        measured(shares, "a", lambda: offload(lambda: started.set() or gate.wait()))  # type: ignore[func-returns-value]
    )
    await begun(held, started)
    waiting = [
        asyncio.create_task(measured(shares, "a", lambda: offload(gate.wait)))
        for _ in range(OWN_WAITING_MAX)
    ]
    await asyncio.sleep(0)
    waiting.append(asyncio.create_task(measured(shares, "a", ask)))
    await asyncio.sleep(0)
    waiting.append(asyncio.create_task(measured(shares, "b", join)))
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(held, *waiting)


async def test_lasting_work_has_no_meter_of_the_request_that_begins_it() -> None:
    meters: list[Meter | None] = []

    async def last() -> None:
        meters.append(METER.get())

    async def request() -> None:
        await begin(last())

    await measured(Shares(), "a", request)
    assert meters == [None]


class _Document:
    """Something large that work reads, and a reference tells when it is freed."""


@pytest.mark.parametrize("fails", [False, True])
async def test_what_work_read_is_freed_with_it(fails: bool) -> None:
    """Not by the garbage collector some time later, which counts objects, not bytes."""
    documents: list[weakref.ref[_Document]] = []

    async def shared() -> str:
        document = _Document()
        documents.append(weakref.ref(document))

        def read() -> str:
            assert document is not None
            if fails:
                raise ValueError("as it was read")
            return "read"

        return await offload(read)

    async def request() -> str:
        return await SharedWork(shared()).join()

    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            meter = Meter(Shares(), request())
            meter.account = "a"
            with suppress(ValueError):
                assert await meter == "read"
            del meter
        await offload(lambda: None)  # the thread has begun something else
        await asyncio.sleep(0)
        assert [document() for document in documents] == [None] * 3
    finally:
        gc.enable()
