"""The database's row about itself, and opening everything by address."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace
from sqlalchemy import text

from broker.compose.storage import open_stores
from broker.model.sealing import KeyKind, KeyState, SealingKey, SealingKeys
from broker.runtime.clock import SystemClock
from broker.stores.cache.redis import RedisCache
from broker.stores.cache.sqlite import SqliteCache
from broker.stores.database import Database
from broker.stores.directory.accounts import list_accounts
from broker.stores.errors import StoreUnavailableError
from broker.stores.installation import (
    change_sealing_keys,
    read_installation,
    read_sealing_keys,
    set_mark,
)
from broker.stores.ledger.postgresql import PostgresqlLedger
from broker.stores.ledger.sqlite import SqliteLedger
from broker.stores.migrations import SchemaRevisionError, find_revision, migrate
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


KEY = SealingKey(
    number=1,
    kind=KeyKind.SESSION,
    created_at=NOW,
    seals_from=NOW + timedelta(microseconds=1),
    master="a1",
    wrapped=b"wrapped",
)


async def test_an_empty_database_has_no_identity(database: Database) -> None:
    first = await read_installation(database, now=NOW)
    assert first.identity is None
    assert first.created_at == NOW
    again = await read_installation(database, now=datetime.now(UTC))
    assert again == first
    assert await read_sealing_keys(database) == ()


async def test_the_first_keys_are_made_once(database: Database) -> None:
    def claim(name: str) -> Awaitable[SealingKeys]:
        def change(
            identity: str | None, keys: SealingKeys
        ) -> tuple[str | None, SealingKeys]:
            return (identity, keys) if keys else (name, (replace(KEY, master=name),))

        return change_sealing_keys(database, change, now=NOW)

    claims = await asyncio.gather(*(claim(f"print{n}") for n in range(4)))
    assert len(set(claims)) == 1
    assert await claim("late") == claims[0]
    assert await read_sealing_keys(database) == claims[0]
    installation = await read_installation(database, now=NOW)
    assert installation.identity == claims[0][0].master


async def test_keys_read_back_as_they_were_changed(database: Database) -> None:
    gone = replace(
        KEY, number=2**32 - 1, seals_from=None, state=KeyState.REVOKED, wrapped=None
    )
    storage = replace(KEY, number=2, kind=KeyKind.STORAGE)
    for keys in (
        (KEY, storage, gone),
        (replace(KEY, wrapped=b"again"), gone),
        (storage, gone),
    ):
        after = await change_sealing_keys(
            database, lambda identity, _, keys=keys: (identity, keys), now=NOW
        )
        assert after == keys
        assert await read_sealing_keys(database) == keys


async def test_changes_at_the_same_time_lose_no_key(
    database: Database, location: DatabaseLocation
) -> None:
    other = Database(location)

    def add(identity: str | None, keys: SealingKeys) -> tuple[str | None, SealingKeys]:
        return identity, (*keys, replace(KEY, number=len(keys) + 1))

    await asyncio.gather(
        *(change_sealing_keys(each, add, now=NOW) for each in [database, other] * 4)
    )
    await other.close()
    sealing_keys = await read_sealing_keys(database)
    assert [key.number for key in sealing_keys] == list(range(1, 9))


async def test_a_change_that_fails_changes_nothing(database: Database) -> None:
    def fail(_: str | None, __: SealingKeys) -> tuple[str | None, SealingKeys]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await change_sealing_keys(database, fail, now=NOW)
    assert await read_sealing_keys(database) == ()


async def test_marks_are_kept_beside_each_other(database: Database) -> None:
    await asyncio.gather(
        *(set_mark(database, f"mark{n}", n, now=NOW) for n in range(5))
    )
    await set_mark(database, "demo", value=True, now=NOW)
    installation = await read_installation(database, now=NOW)
    assert installation.marks == {"demo": True} | {f"mark{n}": n for n in range(5)}


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
    assert await stores.directory.last_changes() == {}
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
    assert (await list_accounts(stores.directory)) == ()
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
