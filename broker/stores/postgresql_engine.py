"""SQLAlchemy's connections to a PostgreSQL server; an embedded broker loads none."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Dialect, Row
from sqlalchemy.exc import DisconnectionError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.sql import Executable

from broker.stores.database import (
    POOL_WAIT_SECONDS,
    STATEMENT_SECONDS,
    connect_postgresql,
)
from broker.stores.sharing import Answer, Session
from broker.stores.urls import PostgresqlLocation

_POOL_SIZE = 4


class PostgresqlEngine:
    """A pool of connections to a server."""

    def __init__(self, location: PostgresqlLocation) -> None:
        async def connect() -> Any:  # noqa: ANN401  # asyncpg publishes no types
            return await connect_postgresql(
                location, statement_seconds=STATEMENT_SECONDS, statement_cache_size=100
            )

        self._engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=connect,
            pool_size=_POOL_SIZE,
            max_overflow=0,
            pool_timeout=POOL_WAIT_SECONDS,
        )
        event.listen(self._engine.sync_engine, "checkout", _refuse_closed)
        # Transactions are begun and ended by statements, in one round trip with others.
        self._plain = self._engine.execution_options(isolation_level="AUTOCOMMIT")

    async def rows(
        self, statement: Executable, parameters: Mapping[str, object] | None
    ) -> Sequence[Row[Any]]:
        """All rows of one reading statement, outside any transaction."""
        async with self._plain.connect() as connection:
            return (await connection.execute(statement, parameters)).all()

    async def connect(self) -> Session:
        """A connection for one transaction."""
        connection = await self._plain.connect()
        raw = await connection.get_raw_connection()
        return PostgresqlSession(connection, raw.driver_connection)

    async def dispose(self) -> None:
        """Close every connection."""
        await self._engine.dispose()


class PostgresqlSession:
    """See ``Session``."""

    begin = "BEGIN"

    def __init__(self, connection: AsyncConnection, driver: Any) -> None:  # noqa: ANN401  # asyncpg publishes no types
        self._connection = connection
        self._driver = driver

    @property
    def dialect(self) -> Dialect:
        """PostgreSQL's."""
        return self._connection.dialect

    async def execute(
        self, statement: Executable, parameters: Mapping[str, object] | None = None, /
    ) -> Answer:
        """Run a statement."""
        return await self._connection.execute(statement, parameters)

    async def run(self, *statements: str) -> None:
        """Run these now, in one round trip."""
        await self._driver.execute("; ".join(statements))

    prepare = run

    async def end(self, *statements: str) -> None:
        """Run these, and give the connection back."""
        await self.run(*statements)
        await self.close()

    async def close(self) -> None:
        """Give the connection back, or end it if its transaction did not end."""
        # What was lost by now changes nothing about what was.
        with suppress(SQLAlchemyError, OSError):
            if self._connection.closed:
                return
            if self._driver.is_closed() or self._driver.is_in_transaction():
                await self._connection.invalidate()
            await self._connection.close()


def _refuse_closed(connection: Any, _record: object, _proxy: object) -> None:  # noqa: ANN401  # asyncpg publishes no types
    # A server that went says so on every connection. To ask each of them whether it
    # still answers would cost more than the statement that it is wanted for.
    if connection.driver_connection.is_closed():
        raise DisconnectionError("the connection was closed")
