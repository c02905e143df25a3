"""Changes that would wait for each other share a transaction and its commit.

Changes in one queue (an account's on PostgreSQL, all of them on SQLite) run one after
the other, first come, first served. While others wait, a finished change does not
commit: the next one continues in the same transaction behind its own savepoint, and one
that fails rolls back to that savepoint only. No caller gets an answer before the
commit, and if the commit fails, none of the changes was made.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import monotonic
from typing import Any, Protocol

from sqlalchemy.engine import Dialect, Row
from sqlalchemy.sql import Executable

from broker.runtime.offload import begin

CHANGES_MAX = 16
"""In one transaction."""

OPEN_SECONDS_MAX = 0.005
"""No change joins a transaction older than this, or than the last commit took.

Mints and other workers wait for the transaction, so it stays open no longer than they
would wait for a commit anyway.
"""

_SAVE = "SAVEPOINT change"
_ROLL_BACK = "ROLLBACK TO SAVEPOINT change"
_RELEASE = "RELEASE SAVEPOINT change"


class StatementResult(Protocol):
    """The result of one statement."""

    @property
    def rowcount(self) -> int: ...
    def all(self) -> Sequence[Row[Any]]: ...
    def one(self) -> Row[Any]: ...


class SharedSession(Protocol):
    """A connection on which the caller begins and ends transactions."""

    begin: str
    """The statement that begins a writing transaction."""

    @property
    def dialect(self) -> Dialect: ...
    async def execute(
        self, statement: Executable, parameters: Mapping[str, object] | None = None, /
    ) -> StatementResult: ...
    async def prepare(self, *statements: str) -> None:
        """Run these before the next statement, perhaps together with it."""
        ...

    async def run(self, *statements: str) -> None:
        """Run these now."""
        ...

    async def end(self, *statements: str) -> None:
        """Run these now and return the connection to its pool."""
        ...

    async def close(self) -> None:
        """Return the connection if that is still to do; roll back what is open."""
        ...


class QueuedChange:
    """One change's part of a shared transaction."""

    def __init__(self, first: tuple[str, ...]) -> None:
        loop = asyncio.get_running_loop()
        self._first = first
        self._session: asyncio.Future[SharedSession] = loop.create_future()
        self._kept: asyncio.Future[bool] = loop.create_future()
        self._outcome: asyncio.Future[None] = loop.create_future()
        self.is_first = True
        """Whether no change before it in its transaction is kept."""

    @property
    def dialect(self) -> Dialect:
        """The database's."""
        return self._session.result().dialect

    async def start(self) -> None:
        """Wait until the change may run."""
        await self._session

    async def execute(
        self, statement: Executable, parameters: Mapping[str, object] | None = None, /
    ) -> StatementResult:
        """Run a statement."""
        if self._kept.done():
            raise RuntimeError(
                "this change is over; the transaction belongs to another"
            )
        return await self._session.result().execute(statement, parameters)

    async def commit(self) -> None:
        """End the change and wait until it is durable."""
        self._kept.set_result(True)
        await self.settled()

    def leave(self) -> bool:
        """End the change without keeping it; whether it had begun."""
        never = self._session.cancel() or self._session.cancelled()
        if self._kept.done():
            return False
        self._kept.set_result(False)
        return not never

    async def settled(self) -> None:
        """Wait until what this change read of others' is durable.

        Raises what the driver raised if the transaction fails.
        """
        await asyncio.shield(self._outcome)

    # The rest is for the queue.

    @property
    def is_apart(self) -> bool:
        """Whether it takes locks beside its queue's own, which no other may hold first."""
        return len(self._first) > 1

    @property
    def is_waiting(self) -> bool:
        """Whether a caller still waits for this change to begin."""
        return not self._session.done()

    async def take(self, session: SharedSession, *statements: str) -> bool:
        """Run the change to its end in this session; whether to keep it."""
        await session.prepare(*statements, _SAVE, *self._first)
        if not self._session.done():
            self._session.set_result(session)
        return await self._kept

    def settle(self, error: BaseException | None = None) -> None:
        """Pass on how the transaction ended, once."""
        if error is not None and not self._session.done():
            self._session.set_exception(error)
        if self._outcome.done():
            return
        if error is None:
            self._outcome.set_result(None)
        else:
            self._outcome.set_exception(error)
            self._outcome.exception()  # the caller may have gone


class ChangeQueue:
    """Changes that exclude each other; runs them in shared transactions."""

    def __init__(self, connect: Callable[[], Awaitable[SharedSession]]) -> None:
        self._connect = connect
        self._waiting: deque[QueuedChange] = deque()
        self._runner: asyncio.Task[None] | None = None
        self._commit_seconds = 0.0

    def join(self, *first: str) -> QueuedChange:
        """Queue a change; these statements run as it begins."""
        change = QueuedChange(first)
        self._waiting.append(change)
        if self._runner is None:
            self._runner = begin(self._run_all(), "changes")
        return change

    async def close(self, seconds: float) -> None:
        """Wait for running changes, at most for so long."""
        if self._runner is not None:
            await asyncio.wait([self._runner], timeout=seconds)

    async def _run_all(self) -> None:
        # In its own task, so that cancelling one caller does not cancel the others.
        try:
            while (change := self._next()) is not None:
                await self._share(change)
        finally:
            self._runner = None

    def _next(self, *, joins: bool = False) -> QueuedChange | None:
        while self._waiting:
            if joins and self._waiting[0].is_apart:
                return None
            change = self._waiting.popleft()
            if change.is_waiting:
                return change
        return None

    async def _share(self, change: QueuedChange) -> None:
        """One transaction: this change, and those that arrive while it is open."""
        changes = [change]
        session = None
        try:
            session = await self._connect()
            await self._run(session, changes)
        except BaseException as error:
            for queued_change in changes:
                queued_change.settle(error)
            if not isinstance(error, Exception):
                raise
        finally:
            if session is not None:
                await session.close()

    async def _run(self, session: SharedSession, changes: list[QueuedChange]) -> None:
        until = monotonic() + max(OPEN_SECONDS_MAX, self._commit_seconds)
        before = session.begin
        kept = False
        while True:
            change = changes[-1]
            change.is_first = not kept
            if await change.take(session, before):
                kept = True
            else:
                if not kept:
                    change.settle()  # it read nothing uncommitted
                await session.run(_ROLL_BACK)
            following = (
                self._next(joins=True)
                if len(changes) < CHANGES_MAX and monotonic() < until
                else None
            )
            if following is None:
                break
            changes.append(following)
            before = _RELEASE
        if kept:
            began = monotonic()
            await session.end(_RELEASE, "COMMIT")
            self._commit_seconds = monotonic() - began
        else:
            await session.end("ROLLBACK")
        for change in changes:
            change.settle()
