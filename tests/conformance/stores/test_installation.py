"""The database's row about itself, and opening everything by address."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text

from broker.clock import SystemClock
from broker.migrations import SchemaRevisionError, find_revision, migrate
from broker.storage import open_stores
from broker.stores.cache.redis import RedisCache
from broker.stores.cache.sqlite import SqliteCache
from broker.stores.database import Database
from broker.stores.errors import StoreUnavailableError
from broker.stores.installation import (
    claim_keyring,
    read_installation,
    set_mark,
)
from broker.stores.ledger.postgresql import PostgresqlLedger
from broker.stores.ledger.sqlite import SqliteLedger
from broker.stores.urls import (
    DatabaseLocation,
    PostgresqlLocation,
    StoreUrlError,
    parse_database_url,
)
from tests.support.servers import PostgresqlServer, RedisServer, find_free_port

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
async def database(location: DatabaseLocation) -> AsyncIterator[Database]:
    made = Database(location)
    yield made
    await made.close()


async def test_an_empty_database_belongs_to_no_keyring(database: Database) -> None:
    first = await read_installation(database, now=NOW)
    assert first.keyring_fingerprint is None
    assert first.created_at == NOW
    again = await read_installation(database, now=datetime.now(UTC))
    assert again == first


async def test_the_first_keyring_is_bound_and_stays(database: Database) -> None:
    claims = await asyncio.gather(
        *(claim_keyring(database, f"print{n}", now=NOW) for n in range(4))
    )
    assert len(set(claims)) == 1
    assert await claim_keyring(database, "late", now=NOW) == claims[0]
    found = await read_installation(database, now=NOW)
    assert found.keyring_fingerprint == claims[0]


async def test_marks_are_kept_beside_each_other(database: Database) -> None:
    await asyncio.gather(
        *(set_mark(database, f"mark{n}", n, now=NOW) for n in range(5))
    )
    await set_mark(database, "demo", value=True, now=NOW)
    found = await read_installation(database, now=NOW)
    assert found.marks == {"demo": True} | {f"mark{n}": n for n in range(5)}


async def test_many_starters_migrate_postgresql_once(
    postgresql_server: PostgresqlServer,
) -> None:
    url = postgresql_server.create_database("fresh")
    location = parse_database_url(url)
    assert await find_revision(location) is None
    await asyncio.gather(*(migrate(location) for _ in range(4)))
    assert await find_revision(location) is not None
    await asyncio.to_thread(postgresql_server.drop_database, "fresh")


@pytest.mark.parametrize(
    ("revision", "told"),
    [
        ("0012", "upgrades from '0013': start once the last commit that has .*0012_"),
        ("9999", "start the newer version"),
    ],
)
async def test_a_database_of_another_version_is_refused_by_its_revision(
    database: Database, location: DatabaseLocation, revision: str, told: str
) -> None:
    async with database.connection() as connection:
        await connection.execute(
            text("UPDATE alembic_version SET version_num = :it"), {"it": revision}
        )
        await connection.commit()
    with pytest.raises(SchemaRevisionError, match=f"revision '{revision}'.*{told}"):
        await migrate(location)


async def test_the_embedded_stores_open_in_one_file(tmp_path: Path) -> None:
    stores = await open_stores(
        f"sqlite:///{tmp_path}/broker.db", clock=SystemClock(), spool_folder=tmp_path
    )
    assert isinstance(stores.ledger, SqliteLedger)
    assert isinstance(stores.cache, SqliteCache)
    await stores.cache.ping()
    assert await stores.directory.generations() == {}
    await stores.close()


async def test_the_large_stores_open_by_their_addresses(
    postgresql_location: PostgresqlLocation, redis_server: RedisServer, tmp_path: Path
) -> None:
    stores = await open_stores(
        postgresql_location.dsn,
        redis_server.url,
        clock=SystemClock(),
        spool_folder=tmp_path,
    )
    assert isinstance(stores.ledger, PostgresqlLedger)
    assert isinstance(stores.cache, RedisCache)
    await stores.cache.ping()
    assert (await stores.directory.list_accounts()) == ()
    await stores.close()


async def test_postgresql_alone_keeps_its_cache_in_a_file_beside_the_spool(
    postgresql_location: PostgresqlLocation, tmp_path: Path
) -> None:
    stores = await open_stores(
        postgresql_location.dsn, clock=SystemClock(), spool_folder=tmp_path
    )
    assert isinstance(stores.ledger, PostgresqlLedger)
    assert isinstance(stores.cache, SqliteCache)
    await stores.cache.ping()
    await stores.close()


async def test_a_redis_that_is_away_does_not_stop_the_start(tmp_path: Path) -> None:
    stores = await open_stores(
        f"sqlite:///{tmp_path}/broker.db",
        f"redis://127.0.0.1:{find_free_port()}",
        clock=SystemClock(),
        spool_folder=tmp_path,
    )
    with pytest.raises(StoreUnavailableError):
        await stores.cache.ping()
    await stores.close()


async def test_a_database_that_is_away_or_a_wrong_address_stops_it(
    tmp_path: Path,
) -> None:
    away = f"postgresql://u:hunter2@127.0.0.1:{find_free_port()}/x"
    with pytest.raises(StoreUnavailableError) as unavailable:
        await open_stores(away, clock=SystemClock(), spool_folder=tmp_path)
    assert "hunter2" not in str(unavailable.value)
    for database_url, redis_url in [("mysql://h/x", ""), (away, "http://h")]:
        with pytest.raises(StoreUrlError):
            await open_stores(
                database_url, redis_url, clock=SystemClock(), spool_folder=tmp_path
            )
