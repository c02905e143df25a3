"""What handles stand for that must survive the cache: sign-ins to the portal, logins.

It is in the durable database beside the ledger, and no part of what decides, so that
it raises no generation. Expired rows are absent, and deleted once an hour.
"""

from datetime import datetime

from sqlalchemy import text

from broker.runtime.clock import Clock
from broker.stores.database import Database
from broker.stores.times import to_micros

_INSERT = """
INSERT INTO handles (space, key, value, expires_at)
VALUES (:space, :key, :value, :expires_at)
ON CONFLICT (space, key) DO UPDATE
SET value = excluded.value, expires_at = excluded.expires_at
"""
_PUT = text(_INSERT)
_ADD = text(f"{_INSERT}WHERE handles.expires_at <= :now")
_GET = text(
    "SELECT value FROM handles"
    " WHERE space = :space AND key = :key AND expires_at > :now"
)
_TAKE = text(
    "DELETE FROM handles WHERE space = :space AND key = :key"
    " RETURNING value, expires_at"
)
_PURGE_ROWS = 1000
# In portions, so that no transaction grows long.
_PURGE = text(
    "DELETE FROM handles WHERE (space, key) IN"
    " (SELECT space, key FROM handles WHERE expires_at <= :now LIMIT :most)"
)


class HandleTable:
    """Handles of all workers; every method raises ``StoreUnavailableError``."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def put(
        self, space: str, key: bytes, value: bytes, *, expires_at: datetime
    ) -> None:
        end = to_micros(expires_at)
        row = {"space": space, "key": key, "value": value, "expires_at": end}
        await self._database.write(_PUT, row)

    async def add(
        self, space: str, key: bytes, value: bytes, *, expires_at: datetime
    ) -> bool:
        end = to_micros(expires_at)
        row = {"space": space, "key": key, "value": value, "expires_at": end}
        added = await self._database.write(_ADD, {**row, "now": self._now()})
        return added.rowcount == 1

    async def get(self, space: str, key: bytes) -> bytes | None:
        place = {"space": space, "key": key, "now": self._now()}
        rows = await self._database.rows(_GET, place)
        return bytes(rows[0].value) if rows else None

    async def take(self, space: str, key: bytes) -> bytes | None:
        taken = await self._database.write(_TAKE, {"space": space, "key": key})
        rows = taken.all()
        now = self._now()
        return next((bytes(row.value) for row in rows if row.expires_at > now), None)

    async def drop(self, space: str, key: bytes) -> None:
        await self.take(space, key)

    async def purge(self) -> None:
        """Delete what has expired."""
        params = {"now": self._now(), "most": _PURGE_ROWS}
        while (await self._database.write(_PURGE, params)).rowcount == _PURGE_ROWS:
            pass

    def _now(self) -> int:
        return to_micros(self._clock.now())
