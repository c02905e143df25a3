"""Plain connections to the durable database, and how long anything waits for it.

SQLite runs in WAL mode with ``synchronous=FULL``; PostgreSQL connects within a second
or not at all.
"""

import sqlite3
from pathlib import Path
from typing import Any

from broker.stores.sqlite_engine import SQLITE_PRAGMAS
from broker.stores.stepped_timeout import SteppedTimeout
from broker.stores.urls import PostgresqlLocation

CONNECT_SECONDS = 1.0
STATEMENT_SECONDS = 5.0
POOL_WAIT_SECONDS = 5.0


async def connect_postgresql(
    location: PostgresqlLocation, *, statement_seconds: float, **options: object
) -> Any:  # noqa: ANN401  # asyncpg publishes no types
    """An asyncpg connection with time limits at both ends of the wire.

    It leads to the newest server of the location; see ``postgresql_servers``.
    """
    # An embedded installation never loads it.
    from broker.stores.postgresql_servers import servers_of  # noqa: PLC0415

    async with SteppedTimeout(CONNECT_SECONDS):
        return await servers_of(location).connect(
            command_timeout=statement_seconds,
            server_settings={
                "application_name": "broker",
                "statement_timeout": str(int(statement_seconds * 1000)),
                "idle_in_transaction_session_timeout": "60000",
            },
            **options,
        )


def connect_sqlite(path: Path, *, busy_seconds: float) -> sqlite3.Connection:
    """A plain connection with the broker's pragmas, for one thread at a time."""
    connection = sqlite3.connect(
        path,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
        timeout=busy_seconds,
    )
    for pragma in SQLITE_PRAGMAS[:-1]:
        connection.execute(pragma)
    return connection
