"""Each port's suite runs against each implementation, on real servers."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from broker.stores.cache.port import Cache
from broker.stores.cache.redis import RedisCache
from broker.stores.cache.sqlite import SqliteCache
from broker.stores.database import Database
from broker.stores.directory.sql import SqlDirectory
from broker.stores.ledger.port import Ledger
from broker.stores.ledger.sqlite import SqliteLedger
from broker.stores.spool import Spool
from broker.stores.sqlite_writer import SqliteWriter
from broker.stores.urls import (
    DatabaseLocation,
    RedisLocation,
    SqliteLocation,
    parse_database_url,
    parse_redis_url,
)
from tests.support.clocks import SteppedClock
from tests.support.servers import (
    PostgresqlServer,
    RedisServer,
    find_postgresql,
    find_redis,
    start_redis,
    start_redis_cluster,
    start_redis_sentinel,
)
from tests.support.tables import lay_tables_at, own_database, shared_postgresql


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture(scope="session")
def postgresql_server() -> PostgresqlServer:
    if find_postgresql() is None:
        pytest.skip("PostgreSQL is not installed")
    return shared_postgresql()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    if find_redis() is None:
        pytest.skip("redis-server is not installed")
    with start_redis() as server:
        yield server


@pytest.fixture
def sqlite_location(tmp_path: Path) -> SqliteLocation:
    location = SqliteLocation(tmp_path / "broker.db")
    lay_tables_at(location.path)
    return location


@pytest.fixture
def postgresql_location(
    postgresql_server: PostgresqlServer,  # noqa: ARG001  # unless there is none
) -> Iterator[DatabaseLocation]:
    with own_database() as url:
        yield parse_database_url(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def location(request: pytest.FixtureRequest) -> DatabaseLocation:
    """A migrated database of its own for the test."""
    stored_location: DatabaseLocation = request.getfixturevalue(
        f"{request.param}_location"
    )
    return stored_location


@pytest.fixture
async def directory(
    location: DatabaseLocation, clock: SteppedClock
) -> AsyncIterator[SqlDirectory]:
    made = SqlDirectory(Database(location), clock)
    yield made
    await made.close()


@pytest.fixture
async def other_directory(
    location: DatabaseLocation, clock: SteppedClock
) -> AsyncIterator[SqlDirectory]:
    """Another worker's."""
    made = SqlDirectory(Database(location), clock)
    yield made
    await made.close()


def make_ledger(location: DatabaseLocation, spool_folder: Path) -> Ledger:
    spool = Spool(spool_folder)
    if isinstance(location, SqliteLocation):
        return SqliteLedger(location.path, SqliteWriter(location.path, spool))
    from broker.stores.ledger.postgresql import PostgresqlLedger

    return PostgresqlLedger(location, spool)


@pytest.fixture
async def ledger(location: DatabaseLocation, tmp_path: Path) -> AsyncIterator[Ledger]:
    made = make_ledger(location, tmp_path)
    await made.start()
    yield made
    await made.close()


@pytest.fixture
async def other_ledger(
    location: DatabaseLocation, tmp_path: Path
) -> AsyncIterator[Ledger]:
    """Another worker's."""
    made = make_ledger(location, tmp_path)
    await made.start()
    yield made
    await made.close()


@pytest.fixture(scope="session")
def redis_urls(redis_server: RedisServer) -> Iterator[dict[str, str]]:
    """The same port by each way to reach it."""
    with (
        start_redis_cluster() as cluster,
        start_redis_sentinel(redis_server, "main") as sentinel,
    ):
        yield {
            "redis": redis_server.url,
            "cluster": f"redis+cluster://127.0.0.1:{cluster.port}",
            "sentinel": f"redis+sentinel://127.0.0.1:{sentinel.port}/main",
        }


@pytest.fixture(params=["sqlite", "redis", "cluster", "sentinel"])
def cache_place(request: pytest.FixtureRequest) -> SqliteLocation | RedisLocation:
    """An empty cache of its own for the test."""
    if request.param == "sqlite":
        location: SqliteLocation = request.getfixturevalue("sqlite_location")
        return location
    urls: dict[str, str] = request.getfixturevalue("redis_urls")
    return parse_redis_url(urls[request.param])


@asynccontextmanager
async def open_cache(
    place: SqliteLocation | RedisLocation, clock: SteppedClock, folder: Path
) -> AsyncIterator[Cache]:
    cache: Cache
    if isinstance(place, SqliteLocation):
        writer = SqliteWriter(place.path, Spool(folder))
        cache = SqliteCache(place.path, writer, clock)
    else:
        # What is promised here holds on a busy machine, too; time-outs have their
        # own tests.
        cache = RedisCache(place, prefix=folder.name, clock=clock, timeout_seconds=5)
    await cache.start()
    try:
        yield cache
    finally:
        await cache.close()


@pytest.fixture
async def cache(
    cache_place: SqliteLocation | RedisLocation, clock: SteppedClock, tmp_path: Path
) -> AsyncIterator[Cache]:
    async with open_cache(cache_place, clock, tmp_path) as opened:
        yield opened


@pytest.fixture
async def other_cache(
    cache_place: SqliteLocation | RedisLocation, clock: SteppedClock, tmp_path: Path
) -> AsyncIterator[Cache]:
    """Another worker's."""
    async with open_cache(cache_place, clock, tmp_path) as opened:
        yield opened
