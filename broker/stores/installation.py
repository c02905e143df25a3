"""The database's row about itself: which keyring it belongs to, and its marks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import select, update

from broker.stores.database import Database, translate_errors
from broker.stores.directory.entity_tables import dump_mapping, load_mapping
from broker.stores.directory.statements import insert_or_ignore
from broker.stores.schema import INSTALLATION
from broker.stores.times import from_micros, to_micros

DEMO_MARK = "demo"
"""Set by the demo on storage that it made: nothing in it is secret."""

_ID = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """What the database says about itself; ``marks`` are the broker's own notes.

    Without a fingerprint it has no keyring yet and holds nothing sealed.
    """

    keyring_fingerprint: str | None
    created_at: datetime
    marks: Mapping[str, object] = field(default_factory=dict)


async def read_installation(database: Database, *, now: datetime) -> Installation:
    """The row; the first reader of an empty database writes it.

    Raises:
        StoreUnavailableError: the database is away.
    """
    rows = await database.rows(select(INSTALLATION))
    if not rows:
        async with database.connection() as connection:
            values = {"id": _ID, "created_at": to_micros(now), "marks": "{}"}
            with translate_errors():
                await connection.execute(
                    insert_or_ignore(connection.dialect.name, INSTALLATION), values
                )
                await connection.commit()
        rows = await database.rows(select(INSTALLATION))
    row = rows[0]
    return Installation(
        keyring_fingerprint=row.keyring_fingerprint,
        created_at=from_micros(row.created_at),
        marks=load_mapping(row.marks),
    )


async def claim_keyring(database: Database, fingerprint: str, *, now: datetime) -> str:
    """Bind the database to a keyring unless it is bound; the fingerprint bound to.

    If several claim at once, one wins and all get the winner's fingerprint.

    Raises:
        StoreUnavailableError: the database is away.
    """
    await read_installation(database, now=now)
    async with database.connection() as connection:
        with translate_errors():
            await connection.execute(
                update(INSTALLATION)
                .where(INSTALLATION.c.keyring_fingerprint.is_(None))
                .values(keyring_fingerprint=fingerprint)
            )
            await connection.commit()
    return (
        await read_installation(database, now=now)
    ).keyring_fingerprint or fingerprint


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
    async with database.connection() as connection:
        with translate_errors():
            # The first write takes the lock, so no concurrent mark is lost.
            await connection.execute(update(INSTALLATION).values(id=_ID))
            row = (await connection.execute(select(INSTALLATION.c.marks))).one()
            marks = {name: value, **load_mapping(row.marks)}
            if not keep:
                marks[name] = value
            await connection.execute(
                update(INSTALLATION).values(marks=dump_mapping(marks))
            )
            await connection.commit()
    return marks[name]
