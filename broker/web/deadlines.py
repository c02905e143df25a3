"""Waits that must end, all of them watched by one timer."""

import asyncio
from types import TracebackType

_STEP_SECONDS = 1.0


class Deadlines:
    """``with deadlines:`` ends with ``TimeoutError`` what waits for too long.

    Up to a second later than it says: one timer looks after every wait, where
    ``asyncio.timeout`` sets one up for each, at the price of a signature's check.
    Not to be nested within one task.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._step = min(_STEP_SECONDS, seconds)
        self._until: dict[asyncio.Task[object], float] = {}
        self._late: set[asyncio.Task[object]] = set()
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> None:
        """The running task's time begins."""
        loop = asyncio.get_running_loop()
        self._until[_running_task()] = loop.time() + self._seconds
        if self._timer is None:
            self._timer = loop.call_later(self._step, self._look, loop)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _where: TracebackType | None,
    ) -> None:
        """Tell our own cancellation from another's.

        Raises:
            TimeoutError: the time was over first.
        """
        task = _running_task()
        del self._until[task]
        if task in self._late:
            self._late.discard(task)
            if task.uncancel() <= 0 and kind is asyncio.CancelledError:
                raise TimeoutError

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for task, until in self._until.items():
            if until <= now and task not in self._late:
                self._late.add(task)
                task.cancel()
        self._timer = (
            loop.call_later(self._step, self._look, loop) if self._until else None
        )


def _running_task() -> asyncio.Task[object]:
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("a deadline needs a task")
    return task
