"""One timer ends every wait that takes too long, and nothing else."""

import asyncio

import pytest

from broker.edges.deadlines import Deadlines


async def wait(deadlines: Deadlines, seconds: float) -> str:
    with deadlines.begin():
        await asyncio.sleep(seconds)
    return "in time"


async def test_what_takes_too_long_ends_and_the_rest_goes_on() -> None:
    deadlines = Deadlines(0.05)
    results = await asyncio.gather(
        wait(deadlines, 60), wait(deadlines, 0), return_exceptions=True
    )
    assert isinstance(results[0], TimeoutError)
    assert results[1] == "in time"


async def test_another_wait_begins_its_own_time() -> None:
    deadlines = Deadlines(0.05)
    for _ in range(2):
        with pytest.raises(TimeoutError):
            await wait(deadlines, 60)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0


async def test_a_foreign_cancellation_stays_one() -> None:
    task = asyncio.create_task(wait(Deadlines(60), 60))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_of_the_work_stays_itself() -> None:
    with pytest.raises(KeyError), Deadlines(60).begin():
        raise KeyError
