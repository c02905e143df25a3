"""The durable database under directory and ledger: one engine, one error rule.

SQLite runs in WAL mode with ``synchronous=FULL``; PostgreSQL connects within a
second or not at all. Whatever says that the database is away is
``StoreUnavailableError``; nothing here retries a write.
"""

import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Connection, Row
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    ProgrammingError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.sql import Executable

from broker.stores.errors import ConflictError, StoreUnavailableError
from broker.stores.urls import DatabaseLocation, PostgresqlLocation, SqliteLocation

SQLITE_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA busy_timeout=5000",
)
CONNECT_SECONDS = 1.0
STATEMENT_SECONDS = 5.0
_READ_ONLY = "broker_read_only"
_POOL_SIZE = 4
_POOL_WAIT_SECONDS = 5.0
# serialization_failure and deadlock_detected: the transaction was rolled back.
_COLLISIONS = frozenset({"40001", "40P01"})


@contextmanager
def translate_errors() -> Iterator[None]:
    """Turn what drivers raise about an absent database into the stores' errors."""
    try:
        yield
    except (ProgrammingError, DataError):
        raise
    except IntegrityError as error:
        # Every name is looked up before it is written: another transaction won.
        raise ConflictError("another transaction took the same name") from error
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) in _COLLISIONS:
            raise ConflictError("the transaction collided with another") from error
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


class Database:
    """One engine on the durable database; opened lazily, closed by ``close``."""

    def __init__(self, location: DatabaseLocation) -> None:
        self.location = location
        if isinstance(location, SqliteLocation):
            self._engine = _sqlite_engine(location.path)
            self._reader = self._engine.execution_options(**{_READ_ONLY: True})
        else:
            self._engine = _postgresql_engine(location)
            self._reader = self._engine.execution_options(isolation_level="AUTOCOMMIT")

    async def rows(self, statement: Executable) -> Sequence[Row[Any]]:
        """All rows of one reading statement, outside any transaction."""
        with translate_errors():
            async with self._reader.connect() as connection:
                return (await connection.execute(statement)).all()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection]:
        """A connection for one writing transaction; commit is the caller's."""
        with translate_errors():
            connection = await self._engine.connect()
        try:
            yield connection
        finally:
            # What was not committed is rolled back; a connection that is lost by now
            # changes nothing about what was.
            with suppress(SQLAlchemyError, OSError):
                await connection.close()

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()


def _sqlite_engine(path: Path) -> AsyncEngine:
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{path}",
        pool_size=_POOL_SIZE,
        max_overflow=0,
        pool_timeout=_POOL_WAIT_SECONDS,
        connect_args={"isolation_level": None},
    )
    event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:  # noqa: ANN401  # SQLAlchemy's adapter has no public type
    cursor = connection.cursor()
    for pragma in SQLITE_PRAGMAS:
        cursor.execute(pragma)
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that begins as a reader and then writes may fail half-way when
    # another writer came between; one that begins as a writer waits its turn.
    if not connection.get_execution_options().get(_READ_ONLY):
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _postgresql_engine(location: PostgresqlLocation) -> AsyncEngine:
    async def connect() -> Any:  # noqa: ANN401  # asyncpg publishes no types
        return await connect_postgresql(
            location, statement_seconds=STATEMENT_SECONDS, statement_cache_size=100
        )

    return create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connect,
        pool_size=_POOL_SIZE,
        max_overflow=0,
        pool_timeout=_POOL_WAIT_SECONDS,
        pool_pre_ping=True,
    )


async def connect_postgresql(
    location: PostgresqlLocation, *, statement_seconds: float, **options: object
) -> Any:  # noqa: ANN401  # asyncpg publishes no types
    """An asyncpg connection that gives up in time, on both ends of the wire."""
    import asyncpg  # noqa: PLC0415  # an embedded installation never loads it

    return await asyncpg.connect(
        location.dsn,
        timeout=CONNECT_SECONDS,
        command_timeout=statement_seconds,
        server_settings={
            "application_name": "broker",
            "statement_timeout": str(int(statement_seconds * 1000)),
            "idle_in_transaction_session_timeout": "60000",
        },
        **options,
    )


def connect_sqlite(path: Path, *, busy_seconds: float) -> sqlite3.Connection:
    """A plain connection with the house's pragmas, for any one thread at a time."""
    connection = sqlite3.connect(
        path,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
        timeout=busy_seconds,
    )
    for pragma in SQLITE_PRAGMAS[:2]:
        connection.execute(pragma)
    return connection
