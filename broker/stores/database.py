"""The durable database under directory and ledger: one engine, one error rule.

Every sign that the database is away becomes ``StoreUnavailableError``; no write is
retried here.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Protocol
from weakref import WeakValueDictionary

from sqlalchemy.engine import Dialect, Row
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    ProgrammingError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.sql import Executable

from broker.stores.change_queue import ChangeQueue, SharedSession, StatementResult
from broker.stores.connect import POOL_WAIT_SECONDS
from broker.stores.errors import (
    ConflictError,
    StoreUnavailableError,
    UnstorableTextError,
)
from broker.stores.sqlite_engine import SqliteEngine
from broker.stores.urls import DatabaseLocation, SqliteLocation

# serialization_failure and deadlock_detected: the transaction was rolled back.
_COLLISIONS = frozenset({"40001", "40P01"})
_UNSTORABLE = "22021"
"""character_not_in_repertoire: a NUL, which SQLite would take."""


@contextmanager
def translate_errors() -> Iterator[None]:
    """Turn drivers' errors about an absent database into the stores' own."""
    try:
        yield
    except (ProgrammingError, DataError):
        raise
    except IntegrityError as error:
        # Callers look names up before they write them, so another transaction won.
        raise ConflictError("another transaction took the same name") from error
    except DBAPIError as error:
        state = getattr(error.orig, "sqlstate", None)
        if state in _COLLISIONS:
            raise ConflictError("the transaction collided with another") from error
        if state == _UNSTORABLE:
            raise UnstorableTextError("a text has a NUL") from error
        raise StoreUnavailableError("the database did not answer") from error
    except (PoolTimeoutError, OSError, TimeoutError) as error:
        raise StoreUnavailableError("the database cannot be reached") from error
    except Exception as error:
        if isinstance(error, SQLAlchemyError) or not _is_from_driver(error):
            raise
        raise StoreUnavailableError("the database cannot be reached") from error


def _is_from_driver(error: Exception) -> bool:
    # By name, so that an embedded installation never loads asyncpg.
    return type(error).__module__.partition(".")[0] in {"asyncpg", "sqlite3"}


class DatabaseConnection(Protocol):
    """A change's part of a transaction; the caller's last call is ``commit``."""

    is_first: bool
    """Whether all that it reads of others is committed."""

    @property
    def dialect(self) -> Dialect: ...
    async def execute(
        self, statement: Executable, parameters: Mapping[str, object] | None = None, /
    ) -> StatementResult: ...
    async def commit(self) -> None: ...


class Engine(Protocol):
    """Connections to one database."""

    async def rows(
        self, statement: Executable, parameters: Mapping[str, object] | None
    ) -> Sequence[Row[Any]]: ...
    async def watched_rows(self, statement: Executable) -> Sequence[Row[Any]]: ...
    async def connect(self) -> SharedSession: ...
    async def dispose(self) -> None: ...


class Database:
    """One engine on the durable database; opened lazily, closed by ``close``."""

    def __init__(self, location: DatabaseLocation) -> None:
        self.location = location
        self._queues: WeakValueDictionary[str, ChangeQueue] = WeakValueDictionary()
        if isinstance(location, SqliteLocation):
            self._engine: Engine = SqliteEngine(location.path)
        else:
            # An embedded installation never loads SQLAlchemy's asyncio and asyncpg.
            from broker.stores.postgresql_engine import PostgresqlEngine  # noqa: PLC0415

            self._engine = PostgresqlEngine(location)

    async def rows(
        self, statement: Executable, parameters: Mapping[str, object] | None = None
    ) -> Sequence[Row[Any]]:
        """All rows of one reading statement, outside any transaction."""
        with translate_errors():
            return await self._engine.rows(statement, parameters)

    async def watched_rows(self, statement: Executable) -> Sequence[Row[Any]]:
        """As ``rows``, but never waits for a busy connection pool."""
        with translate_errors():
            return await self._engine.watched_rows(statement)

    @asynccontextmanager
    async def connection(
        self, account: str = "", *first: str
    ) -> AsyncIterator[DatabaseConnection]:
        """A writing transaction, rolled back unless committed.

        Changes that would block each other (on PostgreSQL those of one account, on
        SQLite all) queue here first, in order of arrival and without holding a
        connection, so that reads go on. They share a commit; see ``change_queue``.
        ``first`` are statements without a result to begin with.
        """
        key = "" if isinstance(self.location, SqliteLocation) else account
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = ChangeQueue(self._engine.connect)
        change = queue.join(*first)
        try:
            with translate_errors():
                async with asyncio.timeout(POOL_WAIT_SECONDS):
                    await change.start()
            yield change
        except Exception:
            if change.leave():
                # The error may be about what another, uncommitted change wrote.
                with translate_errors():
                    await change.settled()
            raise
        finally:
            change.leave()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[DatabaseConnection]:
        """One of its own, which is committed at the block's end."""
        async with self.connection() as connection:
            with translate_errors():
                yield connection
                await connection.commit()

    async def write(
        self, statement: Executable, parameters: Mapping[str, object] | None = None
    ) -> StatementResult:
        """Run one writing statement in a transaction of its own."""
        async with self.transaction() as connection:
            return await connection.execute(statement, parameters)

    async def close(self) -> None:
        """Close every connection."""
        for queue in list(self._queues.values()):
            await queue.close(POOL_WAIT_SECONDS)
        await self._engine.dispose()
