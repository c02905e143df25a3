"""Time-outs that share a single timer."""

import asyncio
from types import TracebackType

_STEP_SECONDS = 1.0


class Deadlines:
    """``with deadlines.begin():`` ends with ``TimeoutError`` what waits for too long.

    It may fire up to a second late: one timer serves every wait, whereas
    ``asyncio.timeout`` sets up one each, which costs as much as checking a signature.
    Not to be nested within one task.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._step = min(_STEP_SECONDS, seconds)
        self._waits: set[_Wait] = set()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> "_Wait":
        """The running task's time begins; it ends with the block."""
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        if task is None:
            raise RuntimeError("a deadline needs a task")
        if self._timer is None:
            self._timer = loop.call_later(self._step, self._look, loop)
        wait = _Wait(self._waits, task, loop.time() + self._seconds)
        self._waits.add(wait)
        return wait

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for wait in self._waits:
            if wait.until <= now and not wait.is_late:
                wait.is_late = True
                wait.task.cancel()
        self._timer = (
            loop.call_later(self._step, self._look, loop) if self._waits else None
        )


class _Wait:
    """One wait, while it lasts."""

    __slots__ = ("_waits", "is_late", "task", "until")

    def __init__(
        self, waits: "set[_Wait]", task: asyncio.Task[object], until: float
    ) -> None:
        self._waits = waits
        self.task = task
        self.until = until
        self.is_late = False

    def __enter__(self) -> None:
        """Nothing more: the time runs already."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _where: TracebackType | None,
    ) -> None:
        """Convert our own cancellation, and pass on any other.

        Raises:
            TimeoutError: the time was over first.
        """
        self._waits.discard(self)
        if (
            self.is_late
            and self.task.uncancel() <= 0
            and kind is asyncio.CancelledError
        ):
            raise TimeoutError
