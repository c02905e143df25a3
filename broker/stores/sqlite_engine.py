"""The directory's SQLite file: statements run in threads, a hop to one for each.

Hops between threads cost more than SQLite itself, so one hop opens, reads and closes a
cursor. A cancelled caller still waits for the running statement, since its connection
is in use until then.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from msgspec import Struct
from sqlalchemy import create_engine, event
from sqlalchemy.engine import Connection, Dialect, Engine, Row
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.sql import Executable

Result = TypeVar("Result")

SQLITE_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    # 16 MB: a page that many commits change is copied to the database once for all.
    "PRAGMA wal_autocheckpoint=4000",
    # A statement of many rows keeps what it may have to undo: in a file it costs as
    # many writes as the commit itself.
    "PRAGMA temp_store=MEMORY",
    "PRAGMA busy_timeout=5000",
)
_THREADS = 4
_WAIT_SECONDS = 5.0


class SqliteResult(Struct, frozen=True):
    """What a statement gave, read to its end."""

    rows: Sequence[Row[Any]]
    rowcount: int

    def all(self) -> Sequence[Row[Any]]:
        """Every row."""
        return self.rows

    def one(self) -> Row[Any]:
        """The only row."""
        (row,) = self.rows
        return row


class SqliteEngine:
    """As many connections as threads; a file that may be shared with others."""

    def __init__(self, path: Path) -> None:
        self._engine = create_engine(
            f"sqlite:///{path}",
            pool_size=_THREADS,
            max_overflow=0,
            pool_timeout=_WAIT_SECONDS,
            connect_args={"isolation_level": None, "check_same_thread": False},
        )
        event.listen(self._engine, "connect", _prepare)
        self._threads = ThreadPoolExecutor(_THREADS, "sqlite")

    async def rows(
        self, statement: Executable, parameters: Mapping[str, object] | None
    ) -> Sequence[Row[Any]]:
        """All rows of one reading statement, outside any transaction."""
        return await self.run(_read, self._engine, statement, parameters)

    async def watched_rows(self, statement: Executable) -> Sequence[Row[Any]]:
        """As ``rows``: no statement holds a thread for long but a change's first."""
        return await self.rows(statement, None)

    async def connect(self) -> "SqliteSession":
        """A connection for one transaction."""
        return SqliteSession(self, self._engine)

    async def run(self, work: Callable[..., Result], *params: object) -> Result:
        """The result of a blocking call, which outlives its caller's cancellation."""
        future = asyncio.get_running_loop().run_in_executor(
            self._threads, work, *params
        )
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait([future])
            raise

    async def dispose(self) -> None:
        """Close every connection."""
        await self.run(self._engine.dispose)
        self._threads.shutdown()


class SqliteSession:
    """See ``Session``; what is prepared runs in the same hop as what follows it."""

    # A transaction that begins as a reader and then writes may fail half-way when
    # another writer came between; one that begins as a writer waits its turn.
    begin = "BEGIN IMMEDIATE"

    def __init__(self, engine: SqliteEngine, source: Engine) -> None:
        self._engine = engine
        self._source = source
        self._connection: Connection | None = None
        self._prepared: list[str] = []

    @property
    def dialect(self) -> Dialect:
        """SQLite's."""
        return self._source.dialect

    async def execute(
        self, statement: Executable, parameters: Mapping[str, object] | None = None, /
    ) -> SqliteResult:
        """Run a statement."""
        return await self._engine.run(self._execute, statement, parameters)

    async def prepare(self, *statements: str) -> None:
        """Have these run before the next statement."""
        self._prepared += statements

    async def run(self, *statements: str) -> None:
        """Run these now."""
        self._prepared += statements
        await self._engine.run(self._run_prepared)

    async def end(self, *statements: str) -> None:
        """Run these now, and give the connection back."""
        self._prepared += statements
        await self._engine.run(self._end)

    async def close(self) -> None:
        """Give the connection back; what is open is rolled back."""
        if self._connection is not None:
            await self._engine.run(self._close)

    # These run in a thread, one after the other.

    def _run_prepared(self) -> Connection:
        if self._connection is None:
            self._connection = self._source.connect()
        connection, begins = self._connection, self._prepared[:1] == [self.begin]
        driver: Any = connection.connection.driver_connection
        if not begins and not driver.in_transaction:
            # A full disk ends it: what follows would be a transaction of its own.
            raise sqlite3.OperationalError("the transaction has ended")
        prepared, self._prepared = self._prepared, []
        for statement in prepared:
            driver.execute(statement)
        return connection

    def _execute(
        self, statement: Executable, parameters: Mapping[str, object] | None
    ) -> SqliteResult:
        result = self._run_prepared().execute(statement, parameters)
        rows = result.all() if result.returns_rows else ()
        return SqliteResult(rows, result.rowcount)

    def _end(self) -> None:
        self._run_prepared()
        self._close()

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(SQLAlchemyError):
                connection.close()


def _read(
    engine: Engine, statement: Executable, parameters: Mapping[str, object] | None
) -> Sequence[Row[Any]]:
    with engine.connect() as connection:
        return connection.execute(statement, parameters).all()


def _prepare(connection: Any, _record: object) -> None:  # noqa: ANN401  # any driver's
    cursor = connection.cursor()
    for pragma in SQLITE_PRAGMAS:
        cursor.execute(pragma)
    cursor.close()
