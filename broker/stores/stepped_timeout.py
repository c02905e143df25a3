"""A time-out that a busy event loop does not shorten.

When hundreds of calls arrive at once, one pass of the loop can take as long as the whole
time-out. `asyncio.timeout` would then cancel work whose answer has arrived but was not
yet read, and a healthy store would count as away.
"""

import asyncio
from types import TracebackType

_STEPS = 10


class SteppedTimeout:
    """Raises ``TimeoutError`` when its block takes longer than ``seconds``.

    The time is counted in steps, each starting when the loop got to the one before, so
    that the block has had as many chances to continue. Good for one block.
    """

    __slots__ = ("_handle", "_is_over", "_left", "_step", "_task")

    def __init__(self, seconds: float) -> None:
        self._step = seconds / _STEPS
        self._left = _STEPS
        self._is_over = False
        self._task: asyncio.Task[object] | None = None
        self._handle: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> None:
        """Start counting."""
        self._task = asyncio.current_task()
        self._wait()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        _where: TracebackType | None,
    ) -> None:
        """Stop; a cancellation by the time-out becomes ``TimeoutError``."""
        if self._handle is not None:
            self._handle.cancel()
        if self._is_over and self._task is not None:
            others = self._task.uncancel()
            if not others and kind is asyncio.CancelledError:
                raise TimeoutError from error

    def _wait(self) -> None:
        loop = asyncio.get_running_loop()
        self._handle = loop.call_later(self._step, self._count)

    def _count(self) -> None:
        self._left -= 1
        if self._left > 0:
            self._wait()
        elif self._task is not None:
            self._is_over = True
            self._task.cancel()
