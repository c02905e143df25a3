"""The database's row about itself, and its sealing keys."""

from collections.abc import Callable, Mapping
from datetime import datetime

from msgspec import Struct
from sqlalchemy import delete, insert, select, update

from broker.model.sealing import SealingKey, SealingKeys
from broker.stores.database import Database, translate_errors
from broker.stores.directory.statements import insert_or_ignore
from broker.stores.directory.stored import (
    EntityTable,
    dump_mapping,
    load_mapping,
)
from broker.stores.schema import INSTALLATION, SEALING_KEYS
from broker.stores.times import from_micros, to_micros

DEMO_MARK = "demo"
"""Set by the demo on storage that it made: nothing in it is secret."""

_ID = 1
_KEYS = EntityTable(SEALING_KEYS, SealingKey)
_EVERY_KEY = select(SEALING_KEYS).order_by(SEALING_KEYS.c.number)


class StoredInstallation(Struct, frozen=True, kw_only=True):
    """What the database says about itself; ``marks`` are the broker's own notes.

    Without an identity it has no sealing keys yet and holds nothing sealed.
    """

    identity: str | None
    created_at: datetime
    marks: Mapping[str, object] = {}


async def read_installation(database: Database, *, now: datetime) -> StoredInstallation:
    """The row; the first reader of an empty database writes it.

    Raises:
        StoreUnavailableError: the database is away.
    """
    rows = await database.rows(select(INSTALLATION))
    if not rows:
        async with database.transaction() as connection:
            values = {"id": _ID, "created_at": to_micros(now), "marks": "{}"}
            statement = insert_or_ignore(connection.dialect.name, INSTALLATION)
            await connection.execute(statement, values)
        rows = await database.rows(select(INSTALLATION))
    row = rows[0]
    return StoredInstallation(
        identity=row.keyring_fingerprint,
        created_at=from_micros(row.created_at),
        marks=load_mapping(row.marks),
    )


async def read_sealing_keys(database: Database) -> SealingKeys:
    """Every sealing key, oldest first.

    Raises:
        StoreUnavailableError: the database is away.
    """
    return tuple(map(_KEYS.read, await database.watched_rows(_EVERY_KEY)))


async def change_sealing_keys(
    database: Database,
    change: Callable[[str | None, SealingKeys], tuple[str | None, SealingKeys]],
    *,
    now: datetime,
) -> SealingKeys:
    """Change the sealing keys in one transaction; returns them as they are afterwards.

    ``change`` gets the installation's identity and its keys and returns both as they
    shall be. Changes wait for each other, so it sees what the one before it did.

    Raises:
        StoreUnavailableError: the database is away.
    """
    await read_installation(database, now=now)
    async with database.connection() as connection:
        with translate_errors():
            # The first write takes the lock.
            await connection.execute(update(INSTALLATION).values(id=_ID))
            row = (await connection.execute(select(INSTALLATION))).one()
            rows = (await connection.execute(_EVERY_KEY)).all()
        before = tuple(map(_KEYS.read, rows))
        identity, after = change(row.keyring_fingerprint, before)
        with translate_errors():
            await connection.execute(
                update(INSTALLATION).values(keyring_fingerprint=identity)
            )
            for key in set(before) - set(after):
                await connection.execute(
                    delete(SEALING_KEYS).where(SEALING_KEYS.c.number == key.number)
                )
            for key in set(after) - set(before):
                await connection.execute(insert(SEALING_KEYS), _KEYS.values(key))
            await connection.commit()
    return after


async def claim_mark(
    database: Database, name: str, value: object, *, now: datetime
) -> object:
    """Write a mark unless it is there; what it says afterwards.

    Raises:
        StoreUnavailableError: the database is away.
    """
    return await _write_mark(database, name, value, now=now, keep=True)


async def set_mark(
    database: Database, name: str, value: object, *, now: datetime
) -> None:
    """Write one mark (a JSON value), keeping the others.

    Raises:
        StoreUnavailableError: the database is away.
    """
    await _write_mark(database, name, value, now=now, keep=False)


async def _write_mark(
    database: Database, name: str, value: object, *, now: datetime, keep: bool
) -> object:
    await read_installation(database, now=now)
    async with database.transaction() as connection:
        # The first write takes the lock, so no concurrent mark is lost.
        await connection.execute(update(INSTALLATION).values(id=_ID))
        row = (await connection.execute(select(INSTALLATION.c.marks))).one()
        marks = {name: value, **load_mapping(row.marks)}
        if not keep:
            marks[name] = value
        await connection.execute(update(INSTALLATION).values(marks=dump_mapping(marks)))
    return marks[name]
