"""Batches calls: those that arrive while one is under way go together in the next."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")

_BATCH_MAX = 128


class Batcher(Generic[Item, Answer]):
    """Gathers items for ``send``, which answers each in its order.

    An answer that is an exception is raised to the caller of its item alone; what
    ``send`` raises is raised to all, each time as an exception made by ``fail``.
    """

    def __init__(
        self,
        send: Callable[[Sequence[Item]], Awaitable[Sequence[Answer | Exception]]],
        fail: Callable[[Exception], Exception],
    ) -> None:
        self._send = send
        self._fail = fail
        self._waiting: list[tuple[Item, asyncio.Future[Answer]]] = []
        self._task: asyncio.Task[None] | None = None

    async def add(self, item: Item) -> Answer:
        """Send an item with the next batch and return its answer."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        return await future

    async def close(self) -> None:
        """Wait for what is on its way."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while self._waiting:
            batch, self._waiting = (
                self._waiting[:_BATCH_MAX],
                self._waiting[_BATCH_MAX:],
            )
            answers: Sequence[Answer | Exception]
            try:
                answers = await self._send([item for item, _ in batch])
            except Exception as error:  # noqa: BLE001  # no caller may wait forever
                answers = [self._fail(error) for _ in batch]
            for (_, future), answer in zip(batch, answers, strict=True):
                if future.done():
                    continue  # the caller gave up
                if isinstance(answer, Exception):
                    future.set_exception(answer)
                else:
                    future.set_result(answer)
        self._task = None
