"""Long computations run one after the other, and only so many of them wait."""

import asyncio
import threading

import pytest

from broker.errors import Throttling
from broker.runtime.offload import LONG, WAITING_MAX, offload, offload_long


async def test_what_waits_is_bounded_and_strangers_wait_apart() -> None:
    gate = threading.Event()
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


async def test_only_what_is_long_leaves_the_event_loop() -> None:
    here = threading.current_thread().name
    assert await offload_long(LONG, lambda: threading.current_thread().name) == here
    there = await offload_long(LONG + 1, lambda: threading.current_thread().name)
    assert there.startswith("offload")


async def test_an_error_comes_back_and_leaves_room() -> None:
    def fail() -> None:
        raise ValueError("no")

    for _ in range(WAITING_MAX + 1):
        with pytest.raises(ValueError, match="no"):
            await offload(fail)
