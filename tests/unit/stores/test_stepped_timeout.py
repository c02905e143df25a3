"""A time-out ends what is silent, and nothing that only waits for its turn."""

import asyncio
import time

import pytest

from broker.stores.stepped_timeout import SteppedTimeout


async def test_what_is_silent_is_ended() -> None:
    async def wait() -> None:
        async with SteppedTimeout(0.02):
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await wait()
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()


async def test_what_is_quick_is_left_alone() -> None:
    async with SteppedTimeout(0.02):
        pass
    await asyncio.sleep(0.05)
    with pytest.raises(LookupError):
        async with SteppedTimeout(0.02):
            raise LookupError


async def test_an_answer_that_is_there_counts_although_the_loop_was_busy() -> None:
    """As with a hundred calls before it in each turn of the loop."""
    loop = asyncio.get_running_loop()
    steps = [loop.create_future() for _ in range(3)]

    def answer(number: int) -> None:
        time.sleep(0.03)
        steps[number].set_result(None)

    async def talk() -> None:
        for number, step in enumerate(steps):
            loop.call_soon(answer, number)
            await step

    async with SteppedTimeout(0.02):
        await talk()


async def test_a_cancellation_from_outside_stays_one() -> None:
    begun = asyncio.Event()

    async def wait() -> None:
        async with SteppedTimeout(60):
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
