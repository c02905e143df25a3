"""Time-outs of which a busy event loop takes nothing away.

When hundreds of calls come at once, each turn of the loop takes as long as a store may
be silent. `asyncio.timeout` then ends what was answered long ago and only waits for its
turn, and a store that is there counts as away.
"""

import asyncio
from types import TracebackType

_STEPS = 10


class Patience:
    """Raises ``TimeoutError`` when its block takes longer than so many seconds.

    The time is counted in steps, each from when the loop came to the one before: the
    block has had as many chances to go on. For one block only.
    """

    __slots__ = ("_handle", "_is_over", "_left", "_step", "_task")

    def __init__(self, seconds: float) -> None:
        self._step = seconds / _STEPS
        self._left = _STEPS
        self._is_over = False
        self._task: asyncio.Task[object] | None = None
        self._handle: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> None:
        """Begin to count."""
        self._task = asyncio.current_task()
        self._wait()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        _where: TracebackType | None,
    ) -> None:
        """End; what the time-out interrupted becomes a ``TimeoutError``."""
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
