"""Opens directory, ledger and cache by the operator's addresses."""

import contextlib
from importlib import import_module
from pathlib import Path

from msgspec import Struct

from broker.kinds.control_policies import ControlKind, control_policies
from broker.runtime.clock import Clock
from broker.stores import urls
from broker.stores.cache.port import Cache
from broker.stores.database import Database
from broker.stores.directory.kinds import ACCOUNT
from broker.stores.directory.policies import GRANTING
from broker.stores.directory.port import Directory, DirectoryReader
from broker.stores.directory.sql import Judge, SqlChange, SqlDirectory
from broker.stores.ledger.port import Ledger
from broker.stores.migrations import migrate
from broker.stores.spool import Spool
from broker.stores.sqlite_writer import SqliteWriter

DEFAULT_REDIS_PREFIX = "broker"
CACHE_FILE = "cache.db"


class Stores(Struct, frozen=True, kw_only=True):
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

    ``spool_folder`` takes audit records while the database is away, and the embedded
    cache of an installation on PostgreSQL: then every machine has a cache of its
    own. Redis may be away at start-up; the database may not.

    Raises:
        StoreUrlError: an address cannot be used; the text shows no secret.
        StoreUnavailableError: the database is away.
        SchemaRevisionError: another version must be started.
    """
    location = urls.parse_database_url(database_url)
    redis = urls.parse_redis_url(redis_url) if redis_url else None
    if isinstance(location, urls.PostgresqlLocation):
        from broker.stores.postgresql_servers import servers_of  # noqa: PLC0415  # below

        servers_of(location).remember_in(spool_folder)
    if migrate_first:
        await migrate(location)
    spool = Spool(spool_folder)
    cache_file = None
    if redis is None and not isinstance(location, urls.SqliteLocation):
        spool_folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # noqa: ASYNC240  # once
        cache_file = spool_folder / CACHE_FILE
        await migrate(urls.SqliteLocation(cache_file))
    ledger, cache = _build(
        location, redis, cache_file, spool, clock=clock, prefix=redis_prefix
    )
    database = Database(location)
    stores = Stores(
        database=database,
        directory=SqlDirectory(database, clock, keep_invariants(clock)),
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


def keep_invariants(clock: Clock) -> Judge:
    """What judges every change of the directory."""

    async def judge(
        change: SqlChange, before: DirectoryReader, *, is_first: bool, is_above: bool
    ) -> None:
        if GRANTING.isdisjoint(change.changed.tables):
            return
        account = await change.find(ACCOUNT, change.account)
        if account is None or not control_policies(account, ControlKind.INVARIANT):
            return
        # Few accounts have any: imports are half of a start.
        from broker.permit.invariants import judge_change  # noqa: PLC0415

        await judge_change(
            change,
            before,
            account,
            change.changed,
            is_first=is_first,
            overridden_at=clock.now() if is_above else None,
        )

    return judge


def load_drivers(database_url: str, redis_url: str) -> None:
    """Import what `open_stores` would, for processes that are forked afterwards."""
    embedded = isinstance(urls.parse_database_url(database_url), urls.SqliteLocation)
    names = "ledger.sqlite" if embedded else "ledger.postgresql postgresql_engine"
    for name in (*names.split(), "cache.redis" if redis_url else "cache.sqlite"):
        import_module(f"broker.stores.{name}")


def _build(
    location: urls.DatabaseLocation,
    redis: urls.RedisLocation | None,
    cache_file: Path | None,
    spool: Spool,
    *,
    clock: Clock,
    prefix: str,
) -> tuple[Ledger, Cache]:
    # Each driver is loaded only where it is used: imports are half of a start.
    ledger: Ledger
    writer: SqliteWriter | None = None
    if isinstance(location, urls.SqliteLocation):
        from broker.stores.ledger.sqlite import SqliteLedger  # noqa: PLC0415  # above

        cache_file = location.path
        writer = SqliteWriter(location.path, spool)
        ledger = SqliteLedger(location.path, writer)
    else:
        from broker.stores.ledger.postgresql import PostgresqlLedger  # noqa: PLC0415  # above

        ledger = PostgresqlLedger(location, spool)
    if redis is not None:
        from broker.stores.cache.redis import RedisCache  # noqa: PLC0415  # above

        return ledger, RedisCache(redis, prefix=prefix, clock=clock)
    if cache_file is None:
        raise urls.StoreUrlError("the embedded cache has no file")
    from broker.stores.cache.sqlite import SqliteCache  # noqa: PLC0415  # above

    # Beside PostgreSQL this writer serves the cache alone; the spool is the ledger's.
    writer = writer or SqliteWriter(cache_file, None)
    return ledger, SqliteCache(cache_file, writer, clock)
