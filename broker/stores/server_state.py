"""What a PostgreSQL server says of itself, for those who check an installation."""

from datetime import datetime

from sqlalchemy import text

from broker.stores.database import Database

_ASYNCHRONOUS_LEVELS = frozenset({"off", "local"})
_SYNCHRONOUS = text(
    "SELECT current_setting('synchronous_standby_names') AS standbys,"
    " current_setting('synchronous_commit') AS level"
)


async def read_server_time(database: Database) -> datetime:
    """The server's clock."""
    (row,) = await database.rows(text("SELECT now() AS moment"))
    moment: datetime = row.moment
    return moment


async def replicates_synchronously(database: Database) -> bool:
    """Whether a commit is at a second server when it is answered."""
    (row,) = await database.rows(_SYNCHRONOUS)
    return bool(row.standbys) and row.level not in _ASYNCHRONOUS_LEVELS
