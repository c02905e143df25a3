"""Processor time is measured step by step, is its account's, and decides who is next."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable

import pytest

from broker.runtime import shares as module
from broker.runtime.offload import offload
from broker.runtime.shares import (
    METER,
    FairQueue,
    Meter,
    SharedWork,
    Shares,
    StepTooLongError,
    give_way,
    stay_short,
)


def compute(seconds: float) -> None:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


def meter_of_request() -> Meter:
    meter = METER.get()
    assert meter is not None
    return meter


def meter(shares: Shares, account: str) -> Meter:
    """One that waits for its turn."""
    of_account = Meter(shares)
    of_account.account = account
    return of_account


async def measured(
    shares: Shares, account: str, work: Callable[[], Awaitable[object]]
) -> None:
    async def do() -> None:
        meter_of_request().account = account
        await work()

    await Meter(shares, do())


@pytest.fixture
def shares(monkeypatch: pytest.MonkeyPatch) -> Shares:
    """In which nothing is made up for, so that what was used can be compared."""
    monkeypatch.setattr(module, "_DRAIN", 1e-9)
    return Shares()


async def test_each_pays_for_its_own_steps(shares: Shares) -> None:
    async def work() -> None:
        compute(0.02)
        await asyncio.sleep(0.01)
        compute(0.02)

    async def wait() -> None:
        for _ in range(5):
            await asyncio.sleep(0.005)

    await asyncio.gather(measured(shares, "a", work), measured(shares, "b", wait))
    assert 0.04 <= shares.used("a") < 0.06
    assert shares.used("b") < 0.01


async def test_many_short_steps_are_counted_at_the_end(shares: Shares) -> None:
    async def work() -> None:
        for _ in range(20):
            compute(0.0005)
            await asyncio.sleep(0)

    await measured(shares, "a", work)
    assert shares.used("a") >= 0.01


async def test_many_short_requests_are_counted(shares: Shares) -> None:
    async def work() -> None:
        compute(0.0002)

    for _ in range(50):
        await measured(shares, "a", work)
    assert shares.used("a") >= 0.01


async def test_what_another_thread_computes_is_paid_for(shares: Shares) -> None:
    await measured(shares, "a", lambda: offload(lambda: compute(0.02)))
    assert shares.used("a") >= 0.02


async def test_what_came_before_the_proof_is_paid_for(shares: Shares) -> None:
    async def work() -> None:
        compute(0.01)
        await asyncio.sleep(0)
        meter_of_request().account = "a"

    await Meter(shares, work())
    assert shares.used("a") >= 0.01


async def test_what_is_thrown_in_arrives_and_is_measured(shares: Shares) -> None:
    arrived = False

    async def work() -> None:
        nonlocal arrived
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            arrived = True
            compute(0.01)
            raise

    task = asyncio.create_task(measured(shares, "a", work))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert arrived
    assert shares.used("a") >= 0.01
    with pytest.raises(ZeroDivisionError):
        await measured(shares, "a", lambda: 1 // 0)  # type: ignore[arg-type,return-value] # fails


def test_the_share_makes_up_for_what_was_used(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(module, "monotonic", lambda: now)
    shares = Shares(0.5)
    shares.add("a", 1.0)
    shares.add("b", 0.4)
    assert shares.is_spent("a")
    assert not shares.is_spent("b")
    now = 1.0
    assert shares.used("a") == 0.5
    assert shares.is_spent("a")
    assert shares.used("b") == 0
    now = 1.1
    assert not shares.is_spent("a")
    assert not Shares().is_spent("a")


def test_accounts_that_used_nothing_lately_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    monkeypatch.setattr(module, "monotonic", lambda: now)
    shares = Shares(0.5)
    for number in range(module._ACCOUNTS_MAX):
        shares.add(str(number), 0.1)
    now = 10.0
    shares.add("a", 0.1)
    assert set(shares.recent) == {"a"}


def test_any_thread_may_add(shares: Shares) -> None:
    def add() -> None:
        for _ in range(2_000):
            shares.add("a", 1)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert round(shares.used("a")) == 8_000


def test_next_is_the_account_that_used_least() -> None:
    queue = FairQueue[int]()
    for number, account in enumerate("aabbc"):
        queue.put(account, number)
    used = {"a": 3.0, "b": 1.0, "c": 2.0}
    assert queue.count("a") == 2
    assert [queue.take(lambda account: used[account]) for _ in range(6)] == [
        2,
        3,
        4,
        0,
        1,
        None,
    ]
    assert queue.count("a") == 0


async def test_long_work_goes_on_by_turns_and_others_in_between(
    shares: Shares,
) -> None:
    """Of two that compute for long, the one that used less is first each time."""
    order: list[str] = []
    rounds = 0

    async def go_on(account: str) -> None:
        for _ in range(10):
            compute(module.STEP_SECONDS * 1.5)
            order.append(account)
            assert await give_way()

    async def others() -> None:
        nonlocal rounds
        while True:
            rounds += 1
            await asyncio.sleep(0)

    shares.add("a", 10)
    beside = asyncio.create_task(others())
    await asyncio.gather(
        measured(shares, "a", lambda: go_on("a")),
        measured(shares, "b", lambda: go_on("b")),
    )
    beside.cancel()
    assert rounds >= 20
    assert order.index("b") <= 1
    assert order[-9:] == ["a"] * 9


async def test_what_is_short_gives_no_way(shares: Shares) -> None:
    taken: list[bool] = []

    async def work() -> None:
        taken.append(await give_way())

    await measured(shares, "a", work)
    assert taken == [False]
    assert not await give_way(), "nothing is measured outside a request"


async def test_turns_come_faster_while_they_are_short(shares: Shares) -> None:
    """Else an account with many cheap requests would have one each time around."""
    rounds = 0

    async def others() -> None:
        nonlocal rounds
        while True:
            rounds += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(others())
    await asyncio.gather(*(shares.take_turn(meter(shares, "a")) for _ in range(300)))
    beside.cancel()
    assert rounds < 60


async def test_who_used_little_waits_for_nobody(shares: Shares) -> None:
    shares.add("a", module._FREE_SECONDS * 2)
    waiting = asyncio.create_task(shares.admit(meter(shares, "a")))
    await shares.admit(meter(shares, "b"))
    assert not waiting.done()
    await waiting


async def test_a_turn_that_nobody_waits_for_any_more_is_the_next_ones(
    shares: Shares,
) -> None:
    gone = asyncio.create_task(shares.take_turn(meter(shares, "a")))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.wait_for(shares.take_turn(meter(shares, "a")), 10)


async def test_shared_work_is_paid_for_by_the_account_that_asked_first(
    shares: Shares,
) -> None:
    async def load() -> str:
        compute(0.02)
        await asyncio.sleep(0)
        return "loaded"

    async def work() -> None:
        assert await SharedWork(load()).join() == "loaded"

    await measured(shares, "a", work)
    assert shares.used("a") >= 0.02

    async def work_for_another() -> None:
        await SharedWork(load(), "c").join()

    await measured(shares, "b", work_for_another)
    assert shares.used("c") >= 0.02
    assert shares.used("b") < 0.01
    assert await SharedWork(load()).join() == "loaded"


async def test_shared_work_waits_in_the_place_of_the_account_that_used_least(
    shares: Shares,
) -> None:
    """Else an account that used much would keep back all who need what it began."""
    order: list[str] = []
    shares.add("a", 10)
    shares.add("b", 5)

    async def load() -> None:
        await shares.take_turn(meter_of_request())
        order.append("shared")

    async def wait(account: str) -> None:
        await shares.take_turn(meter(shares, account))
        order.append(account)

    loads: list[SharedWork[None]] = []

    async def begin() -> None:
        loads.append(SharedWork(load()))
        await loads[0].join()

    async def join() -> None:
        await loads[0].join()

    first = asyncio.create_task(measured(shares, "a", begin))
    waiting = [asyncio.create_task(wait("b")) for _ in range(3)]
    await asyncio.sleep(0)
    await measured(shares, "c", join)
    await asyncio.gather(first, *waiting)
    assert order.index("shared") < 2


async def test_who_leaves_shared_work_does_not_end_it() -> None:
    gate = asyncio.Event()

    async def load() -> str:
        await gate.wait()
        return "loaded"

    shared = SharedWork(load())
    leaver = asyncio.create_task(shared.join())
    await asyncio.sleep(0)
    leaver.cancel()
    gate.set()
    assert await shared.join() == "loaded"
    assert leaver.cancelled()


def test_long_work_is_told_to_end() -> None:
    check = stay_short()
    check()
    compute(module.STEP_SECONDS * 1.5)
    with pytest.raises(StepTooLongError):
        check()
