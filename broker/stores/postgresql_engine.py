"""SQLAlchemy's connections to a PostgreSQL server; an embedded broker loads none."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Dialect, Row
from sqlalchemy.exc import DisconnectionError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.sql import Executable

from broker.stores.change_queue import SharedSession, StatementResult
from broker.stores.connect import (
    POOL_WAIT_SECONDS,
    STATEMENT_SECONDS,
    connect_postgresql,
)
from broker.stores.errors import StoreUnavailableError
from broker.stores.postgresql_servers import servers_of
from broker.stores.urls import PostgresqlLocation

_POOL_SIZE = 4
_CHANGING_MOST = 3
"""Connections that may hold a transaction: its other reads need one more."""


class PostgresqlEngine:
    """A few connections to a server, first come, first served, and one for the watch.

    SQLAlchemy's pool alone lets late callers overtake waiting ones. The health check
    has its own connection, since a busy pool does not mean that the database is away.
    """

    def __init__(self, location: PostgresqlLocation) -> None:
        self._is_current = is_current = servers_of(location).is_current
        self._places = asyncio.Semaphore(_POOL_SIZE)
        self._changes = asyncio.Semaphore(_CHANGING_MOST)

        async def connect() -> Any:  # noqa: ANN401  # asyncpg publishes no types
            return await connect_postgresql(
                location, statement_seconds=STATEMENT_SECONDS, statement_cache_size=100
            )

        def refuse_old(connection: Any, _record: object, _proxy: object) -> None:  # noqa: ANN401  # as above
            # A server that shuts down closes every connection. Pinging each one first
            # would cost more than the statement it is for.
            driver = connection.driver_connection
            if driver.is_closed() or not is_current(driver):
                raise DisconnectionError("the connection was closed, or is outdated")

        def make(pool_size: int) -> AsyncEngine:
            engine = create_async_engine(
                "postgresql+asyncpg://",
                async_creator=connect,
                pool_size=pool_size,
                max_overflow=0,
                pool_timeout=POOL_WAIT_SECONDS,
                # Transactions are begun and ended by statements, in one round trip
                # with others.
                isolation_level="AUTOCOMMIT",
            )
            event.listen(engine.sync_engine, "checkout", refuse_old)
            return engine

        self._engine, self._watch = make(_POOL_SIZE), make(1)

    async def rows(
        self, statement: Executable, parameters: Mapping[str, object] | None
    ) -> Sequence[Row[Any]]:
        """All rows of one reading statement, outside any transaction."""
        await _wait_for(self._places)
        try:
            async with self._engine.connect() as connection:
                return (await connection.execute(statement, parameters)).all()
        finally:
            self._places.release()

    async def watched_rows(self, statement: Executable) -> Sequence[Row[Any]]:
        """All rows of one reading statement, however busy the connections are."""
        async with self._watch.connect() as connection:
            return (await connection.execute(statement)).all()

    async def connect(self) -> SharedSession:
        """A connection for one transaction."""
        await _wait_for(self._changes)
        try:
            await _wait_for(self._places)
        except BaseException:
            self._changes.release()
            raise
        try:
            connection = await self._engine.connect()
            raw = await connection.get_raw_connection()
        except BaseException:
            self._give_back()
            raise
        return PostgresqlSession(
            connection, raw.driver_connection, self._is_current, self._give_back
        )

    def _give_back(self) -> None:
        self._places.release()
        self._changes.release()

    async def dispose(self) -> None:
        """Close every connection."""
        await self._engine.dispose()
        await self._watch.dispose()


async def _wait_for(places: asyncio.Semaphore) -> None:
    try:
        async with asyncio.timeout(POOL_WAIT_SECONDS):
            await places.acquire()
    except TimeoutError as error:
        raise StoreUnavailableError("every connection is in use") from error


class PostgresqlSession:
    """See ``SharedSession``."""

    begin = "BEGIN"

    def __init__(
        self,
        connection: AsyncConnection,
        driver: Any,  # noqa: ANN401  # asyncpg publishes no types
        is_current: Callable[[Any], bool],
        give_back: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._driver = driver
        self._is_current = is_current
        self._give_back: Callable[[], None] | None = give_back

    @property
    def dialect(self) -> Dialect:
        """PostgreSQL's."""
        return self._connection.dialect

    async def execute(
        self, statement: Executable, parameters: Mapping[str, object] | None = None, /
    ) -> StatementResult:
        """Run a statement."""
        return await self._connection.execute(statement, parameters)

    async def run(self, *statements: str) -> None:
        """Run these now, in one round trip.

        Raises:
            StoreUnavailableError: the cluster has gone on elsewhere meanwhile.
        """
        if not self._is_current(self._driver):
            raise StoreUnavailableError("another server has taken over")
        await self._driver.execute("; ".join(statements))

    prepare = run

    async def end(self, *statements: str) -> None:
        """Run these and return the connection."""
        await self.run(*statements)
        await self.close()

    async def close(self) -> None:
        """Return the connection, or close it if its transaction is still open."""
        give_back, self._give_back = self._give_back, None
        if give_back is None:
            return
        try:
            # A connection lost now does not change how the transaction ended.
            with suppress(SQLAlchemyError, OSError):
                if self._driver.is_closed() or self._driver.is_in_transaction():
                    await self._connection.invalidate()
                await self._connection.close()
        finally:
            give_back()
