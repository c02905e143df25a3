"""Calls that come together travel together, and each gets its own answer."""

import asyncio
from collections.abc import Sequence

import pytest

from broker.stores.cache.redis_client import Batcher
from tests.support.waiting import until


class Receiver:
    """Answers numbers with their double, refuses odd ones, and can be cut."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()
        self.cut = False

    async def send(self, items: Sequence[int]) -> Sequence[int | Exception]:
        self.batches.append(list(items))
        await self.gate.wait()
        if self.cut:
            raise OSError("cut")
        return [KeyError(i) if i % 2 else i * 2 for i in items]


async def test_what_comes_meanwhile_goes_in_the_next_batch() -> None:
    receiver = Receiver()
    batcher = Batcher(receiver.send, lambda _: ValueError())
    first = asyncio.create_task(batcher.add(0))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    others = [asyncio.create_task(batcher.add(n)) for n in (2, 3, 4)]
    await asyncio.sleep(0)
    receiver.gate.set()
    answers = await asyncio.gather(first, *others, return_exceptions=True)
    assert receiver.batches == [[0], [2, 3, 4]]
    assert [answers[0], answers[1], answers[3]] == [0, 4, 8]
    assert isinstance(answers[2], KeyError)


async def test_a_cut_line_fails_each_caller_with_an_exception_of_its_own() -> None:
    receiver = Receiver()
    receiver.cut = True
    receiver.gate.set()
    batcher = Batcher(receiver.send, lambda error: ValueError(str(error)))
    answers = await asyncio.gather(
        *(batcher.add(n) for n in range(3)), return_exceptions=True
    )
    assert [type(answer) for answer in answers] == [ValueError] * 3
    assert len({id(answer) for answer in answers}) == 3
    receiver.cut = False
    assert await batcher.add(4) == 8


async def test_a_caller_that_gives_up_costs_the_others_nothing() -> None:
    receiver = Receiver()
    batcher = Batcher(receiver.send, lambda _: ValueError())
    first, second = (asyncio.create_task(batcher.add(n)) for n in (0, 2))
    await until(lambda: receiver.batches)
    first.cancel()
    receiver.gate.set()
    assert await second == 4
    await batcher.close()
    with pytest.raises(asyncio.CancelledError):
        await first
