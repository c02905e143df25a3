"""What each account's requests take of this worker's processor, and whose turn it is.

Nothing is estimated: a `Meter` drives a request and reads what each of its steps takes
of the thread's processor time; `broker.runtime.offload` adds what its work takes on
another thread. What is measured is the account's that the request was proved to come
from. Who used more waits behind those who used less: for a turn on the event loop
(`Shares.take_turn`), and for the thread of long work.

Work that several requests wait for (`SharedWork`) is paid for by the account that asked
first, and has the place in every queue of that one of them which used least.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextvars import ContextVar
from threading import Lock
from time import monotonic, perf_counter, thread_time
from typing import Any, Generic, TypeVar

Waiter = TypeVar("Waiter")
Value = TypeVar("Value")

STEP_SECONDS = 0.002
"""How long a step of long work holds the event loop, or the thread of long work."""

_SHORT_SECONDS = 0.001
_FREE_SECONDS = 0.05
"""What an account has used lately without being made to wait for turns."""

_DRAIN = 0.6
"""The share of an account, of each second, where there is no limit."""

_TURNS_MAX = 32
_ACCOUNTS_MAX = 1024


class StepTooLongError(Exception):
    """A step of a request held the event loop for as long as it may."""


class Shares:
    """Seconds of processor time by account, which the account's share makes up for.

    ``share`` is of each second of one worker; nought sets no limit: then accounts only
    wait for each other. Any thread may tell it of work. ``recent`` are the accounts that
    used anything lately, with what and when.
    """

    def __init__(self, share: float = 0) -> None:
        self._share = share
        self._drain = share or _DRAIN
        self.recent: dict[str, tuple[float, float]] = {}
        self.seen = 0.0
        """The processor time of the event loop's thread, as last read."""

        self._lock = Lock()
        self._turns = FairQueue[asyncio.Future[None]]()
        self._turns_at_once = 0
        self._released = 0.0

    def add(self, account: str, seconds: float) -> None:
        """Note what an account's work took."""
        with self._lock:
            self.recent[account] = self.used(account) + seconds, monotonic()
            if len(self.recent) > _ACCOUNTS_MAX:
                self.recent = {
                    name: e for name, e in self.recent.items() if self.used(name)
                }

    def used(self, account: str) -> float:
        """The seconds that an account used and its share has not made up for yet."""
        entry = self.recent.get(account)  # another thread may forget it meanwhile
        if entry is None:
            return 0.0
        seconds, since = entry
        return max(0.0, seconds - (monotonic() - since) * self._drain)

    def is_busy(self, account: str) -> bool:
        """Whether an account used more lately than others usually do."""
        return self.used(account) > _FREE_SECONDS

    def is_spent(self, account: str) -> bool:
        """Whether an account has used what it may in a second, at one service or all."""
        return bool(self._share) and self.used(account) >= self._share

    async def admit(self, meter: "Meter") -> None:
        """Wait for a turn, if the request's account is busy."""
        if self.is_busy(meter.account):
            await self.take_turn(meter)

    async def take_turn(self, meter: "Meter") -> None:
        """Wait behind those who used less, while the event loop serves everybody else.

        Each time that the loop comes round, as many go on as take a step together.
        """
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        meter.wait_in(self._turns, turn)
        if not self._turns_at_once:
            self._turns_at_once = 1
            loop.call_soon(self._release)
        await turn

    def _release(self) -> None:
        now = monotonic()
        is_late = now - self._released > STEP_SECONDS
        self._turns_at_once = 1 if is_late else min(2 * self._turns_at_once, _TURNS_MAX)
        self._released = now
        for _ in range(self._turns_at_once):
            turn = self._turns.take(self.used)
            if turn is None:
                self._turns_at_once = 0
                return
            if not turn.done():
                turn.set_result(None)
        asyncio.get_running_loop().call_soon(self._release)


class FairQueue(Generic[Waiter]):
    """What waits, by account: next is that of the account which used least.

    Any thread may use it. Who waits may have a place under several accounts: whoever
    takes it again by another of them sees that it waits no more.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, deque[Waiter]] = {}
        self._lock = Lock()

    def put(self, account: str, waiter: Waiter) -> None:
        """Add it behind the account's others."""
        with self._lock:
            self._waiting.setdefault(account, deque()).append(waiter)

    def take(self, used: Callable[[str], float]) -> Waiter | None:
        """The next, if any waits, by what each account used."""
        with self._lock:
            if not self._waiting:
                return None
            account = min(self._waiting, key=used)
            queue = self._waiting[account]
            waiter = queue.popleft()
            if not queue:
                del self._waiting[account]
            return waiter

    def count(self, account: str) -> int:
        """How many of the account wait."""
        return len(self._waiting.get(account, ()))


class Meter:
    """One request's processor time, and the account that it is proved to come from.

    To await it is to do the request's ``work``, whose steps are measured. ``account`` is
    empty until the proof; what came before is the account's all the same. ``is_shared``
    says whether others may wait for the work, too.
    """

    __slots__ = (
        "_began",
        "_counted",
        "_others",
        "_place",
        "_seconds",
        "_work",
        "account",
        "is_shared",
        "shares",
    )

    def __init__(
        self, shares: Shares, work: Coroutine[Any, Any, Any] | None = None
    ) -> None:
        self.shares = shares
        self.account = ""
        self.is_shared = False
        self._work = work
        self._began = self._seconds = self._counted = 0.0
        self._others: set[str] | None = None
        self._place: Callable[[str], None] | None = None

    def __await__(self) -> Generator[Any, None, Any]:
        work = self._work
        if work is None:
            return None
        METER.set(self)
        self.shares.seen = thread_time()
        step: Any = work.send
        argument: BaseException | None = None
        while True:
            self._began = began = perf_counter()
            try:
                awaited = step(argument)
            except BaseException as error:
                seconds = perf_counter() - began
                if seconds > _SHORT_SECONDS:
                    self._end_step(seconds)
                else:
                    self._seconds += seconds
                if self.account:  # however little: many such requests are much
                    self.shares.add(self.account, self._seconds - self._counted)
                if isinstance(error, StopIteration):
                    return error.value
                # The traceback holds this frame, and these hold the error.
                argument = awaited = None
                raise
            seconds = perf_counter() - began
            if seconds > _SHORT_SECONDS:
                self._end_step(seconds)
            else:
                self._seconds += seconds
            try:
                yield awaited
            except BaseException as error:  # noqa: BLE001  # the work's to handle
                step, argument = work.throw, error
            else:
                step, argument = work.send, None

    def add(self, seconds: float) -> None:
        """Note what was spent for the request elsewhere."""
        self._seconds += seconds
        self._count()

    @property
    def is_long(self) -> bool:
        """Whether the step that is under way has taken long."""
        return perf_counter() - self._began > STEP_SECONDS

    @property
    def seconds(self) -> float:
        """What the request has taken until now."""
        return self._seconds + perf_counter() - self._began

    def wait_in(self, queue: FairQueue[Waiter], waiter: Waiter) -> None:
        """Have something wait for the request, in the place of its account.

        It is in that of each account which asked for the work, or asks for it yet.
        """
        if not self.is_shared:
            queue.put(self.account, waiter)
            return

        def place(account: str) -> None:
            queue.put(account, waiter)

        self._place = place
        for account in (self.account, *(self._others or ())):
            place(account)

    def join(self, account: str) -> None:
        """Note that one more account waits for the work."""
        if account == self.account or (self._others and account in self._others):
            return
        self._others = {*(self._others or ()), account}
        if self._place is not None:
            self._place(account)

    def _end_step(self, seconds: float) -> None:
        """Note a step that took so long by the clock: its processor time is less.

        To read that takes a call of the system, so that it is not read at every step:
        since ``seen``, other requests took short steps at most.
        """
        seen = thread_time()
        self._seconds += min(seconds, seen - self.shares.seen)
        self.shares.seen = seen
        self._count()

    def _count(self) -> None:
        if self.account and self._seconds - self._counted > _SHORT_SECONDS:
            self.shares.add(self.account, self._seconds - self._counted)
            self._counted = self._seconds


METER: ContextVar[Meter | None] = ContextVar("METER", default=None)
"""That of the request under way, which lasting work beside it does not have."""


def spent() -> float:
    """The seconds of the request under way, or else of the thread."""
    meter = METER.get()
    return thread_time() if meter is None else meter.seconds


async def give_way() -> bool:
    """Let others go on, if this step of a request has taken long; whether it had.

    For work of any length: a call of this costs less than what it stands between.
    """
    meter = METER.get()
    if meter is None or not meter.is_long:
        return False
    await meter.shares.take_turn(meter)
    return True


def stay_short() -> Callable[[], None]:
    """A check that work makes again and again, which ends it as soon as it is long.

    What it raises is `StepTooLongError`; then the work is done again where it may take
    its time.
    """
    until = perf_counter() + STEP_SECONDS

    def check() -> None:
        if perf_counter() > until:
            raise StepTooLongError

    return check


class SharedWork(Generic[Value]):
    """Work in a task of its own, which several requests may wait for, and may leave.

    What it takes is of ``account``, or of the request's that begins it. Its ``task`` is
    for those who keep it.
    """

    __slots__ = ("_meter", "task")

    def __init__(self, work: Coroutine[Any, Any, Value], account: str = "") -> None:
        asking = METER.get()
        if asking is None:
            self._meter: Meter | None = None
            self.task: asyncio.Task[Value] = asyncio.create_task(work)
            return
        self._meter = Meter(asking.shares, work)
        self._meter.account = account or asking.account
        self._meter.is_shared = True
        self.task = asyncio.create_task(_run(self._meter))

    async def join(self) -> Value:
        """Wait for what it comes to; to be cancelled ends the waiting alone."""
        asking, meter = METER.get(), self._meter
        if asking is not None and meter is not None:
            meter.join(asking.account)
        try:
            return await asyncio.shield(self.task)
        finally:
            del self  # the task holds an error, whose traceback holds this frame


async def _run(meter: Meter) -> Any:  # noqa: ANN401  # as the work
    return await meter
