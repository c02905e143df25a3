"""The database's row about itself, and its sealing keys."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.engine import Row

from broker.model.sealing import KeyKind, KeyState, SealingKey, SealingKeys
from broker.stores.database import Database, translate_errors
from broker.stores.directory.entity_tables import dump_mapping, load_mapping
from broker.stores.directory.statements import insert_or_ignore
from broker.stores.schema import INSTALLATION, SEALING_KEYS
from broker.stores.times import from_micros, to_micros

DEMO_MARK = "demo"
"""Set by the demo on storage that it made: nothing in it is secret."""

_ID = 1
_EVERY_KEY = select(SEALING_KEYS).order_by(SEALING_KEYS.c.number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """What the database says about itself; ``marks`` are the broker's own notes.

    Without an identity it has no sealing keys yet and holds nothing sealed.
    """

    identity: str | None
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
        identity=row.keyring_fingerprint,
        created_at=from_micros(row.created_at),
        marks=load_mapping(row.marks),
    )


async def read_sealing_keys(database: Database) -> SealingKeys:
    """Every sealing key, oldest first.

    Raises:
        StoreUnavailableError: the database is away.
    """
    return tuple(map(_load_key, await database.watched_rows(_EVERY_KEY)))


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
        before = tuple(map(_load_key, rows))
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
                await connection.execute(insert(SEALING_KEYS), _dump_key(key))
            await connection.commit()
    return after


def _load_key(row: Row[Any]) -> SealingKey:
    return SealingKey(
        number=row.number,
        kind=KeyKind(row.kind),
        created_at=from_micros(row.created_at),
        seals_from=None if row.seals_from is None else from_micros(row.seals_from),
        state=KeyState(row.state),
        master=row.master,
        wrapped=row.wrapped,
    )


def _dump_key(key: SealingKey) -> dict[str, object]:
    return {
        "number": key.number,
        "kind": key.kind.value,
        "created_at": to_micros(key.created_at),
        "seals_from": None if key.seals_from is None else to_micros(key.seals_from),
        "state": key.state.value,
        "master": key.master,
        "wrapped": key.wrapped,
    }


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
