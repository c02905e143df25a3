"""The durable database under directory and ledger: one engine, one error rule.

SQLite runs in WAL mode with ``synchronous=FULL``; PostgreSQL connects within a
second or not at all. Whatever says that the database is away is
``StoreUnavailableError``; nothing here retries a write.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
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

from broker.stores.errors import ConflictError, StoreUnavailableError
from broker.stores.patience import Patience
from broker.stores.sharing import Line, SharedSession, StatementResult
from broker.stores.sqlite_engine import SQLITE_PRAGMAS, SqliteEngine
from broker.stores.urls import DatabaseLocation, PostgresqlLocation, SqliteLocation

CONNECT_SECONDS = 1.0
STATEMENT_SECONDS = 5.0
POOL_WAIT_SECONDS = 5.0
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


class Connection(Protocol):
    """A place in a transaction; ``commit`` is the caller's, and the last thing."""

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
        self._lines: WeakValueDictionary[str, Line] = WeakValueDictionary()
        if isinstance(location, SqliteLocation):
            self._engine: Engine = SqliteEngine(location.path)
        else:
            from broker.stores.postgresql_engine import (  # noqa: PLC0415  # embedded: never loaded
                PostgresqlEngine,
            )

            self._engine = PostgresqlEngine(location)

    async def rows(
        self, statement: Executable, parameters: Mapping[str, object] | None = None
    ) -> Sequence[Row[Any]]:
        """All rows of one reading statement, outside any transaction."""
        with translate_errors():
            return await self._engine.rows(statement, parameters)

    async def watched_rows(self, statement: Executable) -> Sequence[Row[Any]]:
        """As ``rows``; waits for nobody who only keeps the database busy."""
        with translate_errors():
            return await self._engine.watched_rows(statement)

    @asynccontextmanager
    async def connection(
        self, account: str = "", *first: str
    ) -> AsyncIterator[Connection]:
        """A writing transaction; what is not committed at the end is undone.

        What would wait for another anyway (on PostgreSQL a change of the same
        account, on SQLite any) waits here first: in the order of coming, and without
        a connection, so that reads go on. Those who wait share a commit; see
        ``sharing``. ``first`` are statements without an answer that it begins with.
        """
        whose = "" if isinstance(self.location, SqliteLocation) else account
        line = self._lines.get(whose)
        if line is None:
            line = self._lines[whose] = Line(self._engine.connect)
        turn = line.join(*first)
        try:
            with translate_errors():
                async with asyncio.timeout(POOL_WAIT_SECONDS):
                    await turn.start()
            yield turn
        except Exception:
            if turn.leave():
                # It may be about something that another change made just before.
                with translate_errors():
                    await turn.settled()
            raise
        finally:
            turn.leave()

    async def close(self) -> None:
        """Close every connection."""
        for line in list(self._lines.values()):
            await line.close(POOL_WAIT_SECONDS)
        await self._engine.dispose()


async def connect_postgresql(
    location: PostgresqlLocation, *, statement_seconds: float, **options: object
) -> Any:  # noqa: ANN401  # asyncpg publishes no types
    """An asyncpg connection that gives up in time, on both ends of the wire."""
    import asyncpg  # noqa: PLC0415  # an embedded installation never loads it

    async with Patience(CONNECT_SECONDS):
        return await asyncpg.connect(
            location.dsn,
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
    for pragma in SQLITE_PRAGMAS[:-1]:
        connection.execute(pragma)
    return connection
