"""An embedded cache that comes back as it was, as a Redis does from an old snapshot."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

_ENTRIES = "SELECT space, key, value, expires_at_ms FROM cache_entries"


class Snapshot:
    """What the cache of a data folder held at one moment."""

    def __init__(self, data: Path) -> None:
        self._path = data / "broker.db"
        with closing(sqlite3.connect(self._path)) as connection:
            self._rows: list[Any] = connection.execute(_ENTRIES).fetchall()

    def bring_back(self) -> None:
        """Have the cache hold that again, and nothing else."""
        with closing(sqlite3.connect(self._path, timeout=5)) as connection, connection:
            connection.execute("DELETE FROM cache_entries")
            connection.executemany(
                "INSERT INTO cache_entries (space, key, value, expires_at_ms)"
                " VALUES (?, ?, ?, ?)",
                self._rows,
            )
