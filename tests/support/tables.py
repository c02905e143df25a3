"""A database with its tables, copied rather than migrated for each test.

How the tables come to be has tests of its own.
"""

import asyncio
import itertools
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from broker.compose.installation import open_installation
from broker.settings import Settings
from broker.stores.migrations import migrate
from broker.stores.urls import DatabaseLocation, SqliteLocation, parse_database_url
from tests.support.kept import UNTIL_THE_END
from tests.support.servers import PostgresqlServer, start_postgresql

_numbers = itertools.count()


def lay_tables(settings: Settings) -> None:
    """Do beforehand what opening the services would; a server's database is left."""
    location = parse_database_url(settings.database)
    if isinstance(location, SqliteLocation):
        settings.make_data_dir()
        lay_tables_at(location.path)


def make_installation(settings: Settings) -> None:
    """An empty installation, as the commands that make one leave it."""

    async def make() -> None:
        async with open_installation(settings):
            pass

    lay_tables(settings)
    asyncio.run(make())


def lay_tables_at(path: Path) -> None:
    """Make the database file, private to its owner, unless it is there."""
    if not path.exists():
        path.touch(mode=0o600)
        path.write_bytes(_tables())


@cache
def shared_postgresql() -> PostgresqlServer:
    """One for all tests of this process that leave the server itself alone."""
    return UNTIL_THE_END.enter_context(start_postgresql())


@contextmanager
def own_database() -> Iterator[str]:
    """The address of an empty database, with its tables, on the shared server."""
    server = shared_postgresql()
    name = f"own_{next(_numbers)}"
    yield server.create_database(name, postgresql_template())
    server.drop_database(name)


@cache
def postgresql_template() -> str:
    """The name of a database on the shared server that is there to be copied."""
    name = "tables"
    url = shared_postgresql().create_database(name)
    _migrate(parse_database_url(url))
    return name


@cache
def _tables() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "broker.db"
        _migrate(SqliteLocation(file))
        return file.read_bytes()


def _migrate(location: DatabaseLocation) -> None:
    """In a thread of its own, which has no event loop yet."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, migrate(location)).result()
