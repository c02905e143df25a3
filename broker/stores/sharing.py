"""Changes that wait for each other share a transaction, and its commit.

Changes of one line (an account's on PostgreSQL, all of them on SQLite) take turns in
the order of coming. While others wait, one that is done does not commit: the next
goes on in the same transaction, behind a savepoint of its own, and one that fails
takes back what it wrote itself and nothing else. Nobody is told anything before the
commit, and when that fails nobody's change was made.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import monotonic
from typing import Any, Protocol

from sqlalchemy.engine import Dialect, Row
from sqlalchemy.sql import Executable

MOST = 16
"""Changes in one transaction, at most."""

LONGEST_SECONDS = 0.005
"""No further change joins a transaction that is older, unless a commit takes longer.

Mints and other workers wait for it: not for long, measured by what they wait for anyway.
"""

_SAVE = "SAVEPOINT change"
_TAKE_BACK = "ROLLBACK TO SAVEPOINT change"
_RELEASE = "RELEASE SAVEPOINT change"


class StatementResult(Protocol):
    """What a statement of a transaction gave."""

    @property
    def rowcount(self) -> int: ...
    def all(self) -> Sequence[Row[Any]]: ...
    def one(self) -> Row[Any]: ...


class SharedSession(Protocol):
    """A connection without a transaction of its own: what runs says where it begins."""

    begin: str
    """The statement that begins a writing transaction."""

    @property
    def dialect(self) -> Dialect: ...
    async def execute(
        self, statement: Executable, parameters: Mapping[str, object] | None = None, /
    ) -> StatementResult: ...
    async def prepare(self, *statements: str) -> None:
        """Run these before the next statement at the latest."""
        ...

    async def run(self, *statements: str) -> None:
        """Run these now."""
        ...

    async def end(self, *statements: str) -> None:
        """Run these now, and give the connection back."""
        ...

    async def close(self) -> None:
        """Give the connection back if it is not; what it did not commit is undone."""
        ...


class Turn:
    """One change's part of a transaction, from its turn to the commit."""

    def __init__(self, first: tuple[str, ...]) -> None:
        loop = asyncio.get_running_loop()
        self._first = first
        self._session: asyncio.Future[SharedSession] = loop.create_future()
        self._kept: asyncio.Future[bool] = loop.create_future()
        self._outcome: asyncio.Future[None] = loop.create_future()

    @property
    def dialect(self) -> Dialect:
        """The database's."""
        return self._session.result().dialect

    async def start(self) -> None:
        """Wait for the turn."""
        await self._session

    async def execute(
        self, statement: Executable, parameters: Mapping[str, object] | None = None, /
    ) -> StatementResult:
        """Run a statement."""
        if self._kept.done():
            raise RuntimeError("the transaction is another's by now")
        return await self._session.result().execute(statement, parameters)

    async def commit(self) -> None:
        """End the turn, and wait until it is durable."""
        self._kept.set_result(True)
        await self.settled()

    def leave(self) -> bool:
        """End the turn and keep nothing of it; whether it was under way."""
        never = self._session.cancel() or self._session.cancelled()
        if self._kept.done():
            return False
        self._kept.set_result(False)
        return not never

    async def settled(self) -> None:
        """Wait until what this turn has seen of others is durable.

        Raises what the driver raised if it cannot be.
        """
        await asyncio.shield(self._outcome)

    # What follows is the line's.

    @property
    def is_waiting(self) -> bool:
        """Whether somebody still waits for this turn."""
        return not self._session.done()

    async def take(self, session: SharedSession, *statements: str) -> bool:
        """Let the change run to its end in this session; whether it is to be kept."""
        await session.prepare(*statements, _SAVE, *self._first)
        if not self._session.done():
            self._session.set_result(session)
        return await self._kept

    def settle(self, error: BaseException | None = None) -> None:
        """Tell what became of the transaction, unless it is told."""
        if error is not None and not self._session.done():
            self._session.set_exception(error)
        if self._outcome.done():
            return
        if error is None:
            self._outcome.set_result(None)
        else:
            self._outcome.set_exception(error)
            self._outcome.exception()  # whose it is may have gone


class Line:
    """Who waits to change the same things; one transaction after the other."""

    def __init__(self, connect: Callable[[], Awaitable[SharedSession]]) -> None:
        self._connect = connect
        self._waiting: deque[Turn] = deque()
        self._conductor: asyncio.Task[None] | None = None
        self._commit_seconds = 0.0

    def join(self, *first: str) -> Turn:
        """Wait in line; these statements run when the turn begins."""
        turn = Turn(first)
        self._waiting.append(turn)
        if self._conductor is None:
            self._conductor = asyncio.create_task(self._conduct(), name="changes")
        return turn

    async def close(self, seconds: float) -> None:
        """Wait for what is under way, but not for ever."""
        if self._conductor is not None:
            await asyncio.wait([self._conductor], timeout=seconds)

    async def _conduct(self) -> None:
        # In a task of its own: whoever is cancelled takes nobody else along.
        try:
            while (turn := self._next()) is not None:
                await self._share(turn)
        finally:
            self._conductor = None

    def _next(self) -> Turn | None:
        while self._waiting:
            turn = self._waiting.popleft()
            if turn.is_waiting:
                return turn
        return None

    async def _share(self, turn: Turn) -> None:
        """One transaction: of this turn, and of those that come while it is open."""
        turns = [turn]
        session = None
        try:
            session = await self._connect()
            await self._run(session, turns)
        except BaseException as error:
            for one in turns:
                one.settle(error)
            if not isinstance(error, Exception):
                raise
        finally:
            if session is not None:
                await session.close()

    async def _run(self, session: SharedSession, turns: list[Turn]) -> None:
        until = monotonic() + max(LONGEST_SECONDS, self._commit_seconds)
        before = session.begin
        kept = False
        while True:
            turn = turns[-1]
            if await turn.take(session, before):
                kept = True
            else:
                if not kept:
                    turn.settle()  # it saw nothing of others
                await session.run(_TAKE_BACK)
            following = (
                self._next() if len(turns) < MOST and monotonic() < until else None
            )
            if following is None:
                break
            turns.append(following)
            before = _RELEASE
        if kept:
            began = monotonic()
            await session.end(_RELEASE, "COMMIT")
            self._commit_seconds = monotonic() - began
        else:
            await session.end("ROLLBACK")
        for turn in turns:
            turn.settle()
