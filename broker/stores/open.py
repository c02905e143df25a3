"""Opens directory, ledger and cache by the operator's addresses."""

import contextlib
from dataclasses import dataclass
from pathlib import Path

from broker.clock import Clock
from broker.stores.cache.port import Cache
from broker.stores.database import Database
from broker.stores.directory.port import Directory
from broker.stores.directory.sql import SqlDirectory
from broker.stores.ledger.port import Ledger
from broker.stores.ledger.spool import Spool
from broker.stores.migrations import migrate
from broker.stores.urls import (
    DatabaseLocation,
    SqliteLocation,
    StoreUrlError,
    parse_database_url,
    parse_redis_url,
)

DEFAULT_REDIS_PREFIX = "broker"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """The three stores of one worker, started; ``database`` serves ``installation``."""

    database: Database
    directory: Directory
    ledger: Ledger
    cache: Cache

    async def close(self) -> None:
        """Write out what is queued and close everything."""
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(self.directory.close)
            stack.push_async_callback(self.ledger.close)
            stack.push_async_callback(self.cache.close)


async def open_stores(
    database_url: str,
    redis_url: str = "",
    *,
    clock: Clock,
    spool_folder: Path,
    redis_prefix: str = DEFAULT_REDIS_PREFIX,
    migrate_first: bool = True,
) -> Stores:
    """Open and start the stores; an empty ``redis_url`` means the embedded cache.

    ``spool_folder`` takes audit records while the database is away. Redis may be
    away at the start; the database may not.

    Raises:
        StoreUrlError: an address cannot be used; the text shows no secret.
        StoreUnavailableError: the database is away.
        SchemaTooNewError: a newer version has migrated the database.
    """
    location = parse_database_url(database_url)
    if not redis_url and not isinstance(location, SqliteLocation):
        raise StoreUrlError("with PostgreSQL a Redis address is needed as well")
    if redis_url:
        parse_redis_url(redis_url)
    if migrate_first:
        await migrate(location)
    ledger, cache = _build(
        location, redis_url, Spool(spool_folder), clock, redis_prefix
    )
    database = Database(location)
    stores = Stores(
        database=database,
        directory=SqlDirectory(database, clock),
        ledger=ledger,
        cache=cache,
    )
    try:
        await ledger.start()
        await cache.start()
    except BaseException:
        await stores.close()
        raise
    return stores


def _build(
    location: DatabaseLocation, redis_url: str, spool: Spool, clock: Clock, prefix: str
) -> tuple[Ledger, Cache]:
    # Each driver is loaded only where it is used: imports are half of a start.
    ledger: Ledger
    if isinstance(location, SqliteLocation):
        from broker.stores.ledger.sqlite import SqliteLedger  # noqa: PLC0415  # above
        from broker.stores.sqlite_writer import SqliteWriter  # noqa: PLC0415  # above

        writer = SqliteWriter(location.path, spool)
        ledger = SqliteLedger(location.path, writer)
        if not redis_url:
            from broker.stores.cache.sqlite import SqliteCache  # noqa: PLC0415  # above

            return ledger, SqliteCache(location.path, writer, clock)
    else:
        from broker.stores.ledger.postgresql import (  # noqa: PLC0415  # above
            PostgresqlLedger,
        )

        ledger = PostgresqlLedger(location, spool)
    from broker.stores.cache.redis import RedisCache  # noqa: PLC0415  # above

    return ledger, RedisCache(parse_redis_url(redis_url), prefix=prefix, clock=clock)
