"""Of a cluster that went on elsewhere, only the newest server is used.

Both can be written here, the old primary and the replica that was promoted.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from broker.stores.connect import connect_postgresql
from broker.stores.database import Database
from broker.stores.directory.sql import SqlDirectory
from broker.stores.errors import StoreUnavailableError
from broker.stores.ledger.postgresql import PostgresqlLedger
from broker.stores.migrations import migrate
from broker.stores.postgresql_servers import (
    FILE,
    PostgresqlServers,
    ServerTimeline,
    servers_of,
)
from broker.stores.spool import Spool
from broker.stores.urls import PostgresqlLocation, parse_database_url
from tests.conformance.stores.test_outages import ACCOUNT, make_mark, make_record
from tests.support.replicas import Pair, replica_of, start_pair
from tests.support.servers import PostgresqlServer, find_postgresql

WHERE = text("SELECT current_setting('port')")
SECONDS = 5.0


def location_of(url: str) -> PostgresqlLocation:
    location = parse_database_url(url)
    assert isinstance(location, PostgresqlLocation)
    return location


@pytest.fixture(scope="module")
def promoted() -> Iterator[Pair]:
    if find_postgresql() is None:
        pytest.skip("PostgreSQL is not installed")
    with start_pair() as pair:
        pair.promote()
        yield pair


@pytest.fixture
def servers(promoted: Pair) -> PostgresqlServers:
    """A process that has seen nothing yet."""
    return PostgresqlServers(location_of(promoted.url()))


@pytest.fixture
async def opened() -> AsyncIterator[list[Any]]:
    """Connections, which end with the test."""
    connections: list[Any] = []
    yield connections
    for connection in connections:
        connection.terminate()


async def port_of(connection: Any) -> int:
    return int(await connection.fetchval("SELECT current_setting('port')"))


async def test_whoever_was_connected_to_the_old_primary_leaves_it(
    tmp_path: Path, clock: Any
) -> None:
    """The replica is promoted while the old primary goes on."""
    if find_postgresql() is None:
        pytest.skip("PostgreSQL is not installed")
    with start_pair() as pair:
        await leave_the_old_primary(pair, tmp_path, clock)


async def leave_the_old_primary(pair: Pair, tmp_path: Path, clock: Any) -> None:
    location = location_of(pair.url())
    await migrate(location)
    pair.catch_up()
    database, ledger = Database(location), PostgresqlLedger(location, Spool(tmp_path))
    directory = SqlDirectory(database, clock)
    await ledger.start()
    await ledger.mint(make_record("before"), make_mark("before"))
    await ledger.find("before")
    for rows in (database.rows, database.watched_rows):
        assert (await rows(WHERE))[0][0] == str(pair.primary.port)
    pair.catch_up()

    async def change_while_it_is_promoted() -> None:
        async with directory.change(ACCOUNT):
            pair.promote()
            (await connect_postgresql(location, statement_seconds=SECONDS)).terminate()

    with pytest.raises(StoreUnavailableError):
        await change_while_it_is_promoted()
    for rows in (database.rows, database.watched_rows):
        assert (await rows(WHERE))[0][0] == str(pair.replica.port)
    async with directory.change(ACCOUNT):
        pass
    await ledger.mint(make_record("after"), make_mark("after"))
    assert await ledger.find("after") is not None
    await directory.close()
    await ledger.close()
    for server, number in ((pair.primary, 1), (pair.replica, 2)):
        assert server.sql("SELECT count(*) FROM audit") == str(number)
        generations = server.sql("SELECT count(*) FROM generations")
        assert generations == str(number - 1)


async def test_who_has_seen_nothing_asks_every_server(
    servers: PostgresqlServers, promoted: Pair, opened: list[Any]
) -> None:
    for _ in range(3):
        opened.append(await servers.connect())
        assert await port_of(opened[-1]) == promoted.replica.port


async def test_a_server_that_does_not_answer_delays_nothing_for_long(
    servers: PostgresqlServers, promoted: Pair, opened: list[Any]
) -> None:
    promoted.primary.freeze()
    try:
        for _ in range(2):
            async with asyncio.timeout(SECONDS):
                opened.append(await servers.connect(timeout=10 * SECONDS))
            assert await port_of(opened[-1]) == promoted.replica.port
    finally:
        promoted.primary.thaw()


async def test_what_was_seen_is_known_to_the_processes_that_follow(
    servers: PostgresqlServers, promoted: Pair, opened: list[Any], tmp_path: Path
) -> None:
    servers.remember_in(tmp_path / "spool")
    opened.append(await servers.connect())
    alone = PostgresqlServers(location_of(promoted.primary.url))
    alone.remember_in(tmp_path / "spool")
    with pytest.raises(StoreUnavailableError, match=f"remove .*{FILE}"):
        await alone.connect()
    (tmp_path / "spool" / FILE).unlink()
    anew = PostgresqlServers(location_of(promoted.primary.url))
    anew.remember_in(tmp_path / "spool")
    opened.append(await anew.connect())


async def test_what_cannot_be_read_was_not_seen(
    servers: PostgresqlServers, opened: list[Any], tmp_path: Path
) -> None:
    (tmp_path / FILE).write_text("{", "utf-8")
    servers.remember_in(tmp_path)
    opened.append(await servers.connect())
    assert b"number" in (tmp_path / FILE).read_bytes()


async def test_an_earlier_note_does_not_undo_what_was_seen(
    servers: PostgresqlServers, promoted: Pair, opened: list[Any], tmp_path: Path
) -> None:
    first = PostgresqlServers(location_of(promoted.primary.url))
    first.remember_in(tmp_path)
    opened.append(await first.connect())
    assert first.is_current(opened[-1])
    opened.append(await servers.connect())
    servers.remember_in(tmp_path)
    assert servers.is_current(opened[-1])


async def test_a_server_that_only_follows_is_the_last_choice(
    promoted: Pair, opened: list[Any]
) -> None:
    with replica_of(promoted.replica) as standby:
        hosts = f"127.0.0.1:{standby.port},127.0.0.1:{promoted.replica.port}"
        servers = PostgresqlServers(
            location_of(f"postgresql://broker@{hosts}/postgres")
        )
        opened.append(await servers.connect())
        assert await port_of(opened[-1]) == promoted.replica.port
        alone = PostgresqlServers(location_of(standby.url))
        opened.append(await alone.connect())
        assert alone.is_current(opened[-1])


async def test_a_server_that_does_not_say_where_it_is_can_be_used(
    promoted: Pair, opened: list[Any]
) -> None:
    server = promoted.replica
    refuse_to_tell(server)
    plain = f"postgresql://plain@127.0.0.1:{server.port}/postgres"
    servers = PostgresqlServers(location_of(plain))
    opened.append(await servers.connect())
    assert servers.is_current(opened[-1])


def refuse_to_tell(server: PostgresqlServer) -> None:
    server.sql("CREATE ROLE plain LOGIN")
    server.sql("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")


async def test_another_cluster_is_not_behind(promoted: Pair, opened: list[Any]) -> None:
    servers = PostgresqlServers(location_of(promoted.primary.url))
    servers._see(ServerTimeline(1, 7))
    opened.append(await servers.connect())
    assert servers.is_current(opened[-1])


async def test_where_none_can_be_used_the_reason_is_told() -> None:
    with pytest.raises(OSError, match="Connect call failed"):
        await PostgresqlServers(
            location_of("postgresql://broker@127.0.0.1:1,127.0.0.1:2/postgres")
        ).connect()


def test_a_process_has_one_view_of_an_address() -> None:
    location = PostgresqlLocation("postgresql://broker@127.0.0.1/one")
    assert servers_of(location) is servers_of(PostgresqlLocation(location.dsn))
