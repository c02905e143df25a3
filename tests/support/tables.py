"""A database file with its tables, copied rather than migrated for each test.

How the tables come to be has tests of its own.
"""

import tempfile
from pathlib import Path

from broker.settings import Settings
from broker.stores.migrations import migrate
from broker.stores.urls import SqliteLocation, parse_database_url

_made: list[bytes] = []


async def lay_tables(settings: Settings) -> None:
    """Do beforehand what opening the services would; a server's database is left."""
    location = parse_database_url(settings.database)
    if isinstance(location, SqliteLocation):
        settings.make_data_dir()
        if not location.path.exists():
            location.path.write_bytes(await _tables())


async def _tables() -> bytes:
    if not _made:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "broker.db"
            await migrate(SqliteLocation(file))
            _made.append(file.read_bytes())
    return _made[0]
