"""A database file with its tables, copied rather than migrated for each test.

How the tables come to be has tests of its own.
"""

import asyncio
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from broker.settings import Settings
from broker.stores.migrations import migrate
from broker.stores.urls import SqliteLocation, parse_database_url


def lay_tables(settings: Settings) -> None:
    """Do beforehand what opening the services would; a server's database is left."""
    location = parse_database_url(settings.database)
    if isinstance(location, SqliteLocation):
        settings.make_data_dir()
        lay_tables_at(location.path)


def lay_tables_at(path: Path) -> None:
    """Make the database file, private to its owner, unless it is there."""
    if not path.exists():
        path.touch(mode=0o600)
        path.write_bytes(_tables())


@cache
def _tables() -> bytes:
    # In a thread of its own, which has no event loop yet.
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(1) as thread:
        file = Path(folder) / "broker.db"
        thread.submit(asyncio.run, migrate(SqliteLocation(file))).result()
        return file.read_bytes()
