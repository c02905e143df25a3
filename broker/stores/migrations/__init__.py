"""Migrates the database to this version, safely even when many processes start at once.

A current database is recognised with one small query and without Alembic, which
would cost a start a quarter of a second.
"""

import asyncio
import fcntl
import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from broker.errors import OperatorError
from broker.stores.connect import connect_postgresql
from broker.stores.database import translate_errors
from broker.stores.errors import StoreUnavailableError
from broker.stores.sqlite_engine import SQLITE_PRAGMAS
from broker.stores.sqlite_space import FOR_NEW_FILES
from broker.stores.urls import DatabaseLocation, PostgresqlLocation, SqliteLocation

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

HEAD = "0022"
"""The newest revision; a test compares it with the folder."""

_OLDEST = "0013"
_LOCK_SUFFIX = "-migrate"
_MODE = 0o600
# Any number will do as long as every broker takes the same.
_ADVISORY_LOCK = 0x62726F6B6572
_MIGRATION_SECONDS = 600.0
_QUERY = "SELECT version_num FROM alembic_version"


_log = logging.getLogger(__name__)


class SchemaRevisionError(OperatorError):
    """Another version must be started on this database; the text says which."""


async def migrate(location: DatabaseLocation) -> None:
    """Create or upgrade the tables; quick when nothing is to be done.

    Raises:
        SchemaRevisionError: the database belongs to a newer version, or to one that
            is too old to be migrated.
        StoreUnavailableError: the database is away, or its file cannot be opened.
    """
    if await find_revision(location) == HEAD:
        return
    if isinstance(location, SqliteLocation):
        await asyncio.to_thread(_migrate_sqlite, location.path)
    else:
        await _migrate_postgresql(location)


async def find_revision(location: DatabaseLocation) -> str | None:
    """The revision that the database is at; None for an empty one.

    Raises:
        SchemaRevisionError, StoreUnavailableError: see ``migrate``.
    """
    if isinstance(location, SqliteLocation):
        return await asyncio.to_thread(_find_sqlite_revision, location.path)
    return await _find_postgresql_revision(location)


def _require_revision(revision: str, name: object) -> str:
    if _OLDEST <= revision <= HEAD:
        return revision
    text = f"{name} is at revision {revision!r}"
    if revision > HEAD:
        raise SchemaRevisionError(
            f"{text}, and broker {version('federation-broker')} knows {HEAD!r}: start"
            " the newer version that was started on it"
        )
    raise SchemaRevisionError(
        f"{text}, this broker upgrades from {_OLDEST!r}: start once the last commit"
        " that has broker/stores/migrations/versions/0012_upstreams.py"
    )


def _find_sqlite_revision(path: Path) -> str | None:
    if not path.exists():
        return None
    try:
        with closing(sqlite3.connect(path, timeout=5)) as connection:
            row = connection.execute(_QUERY).fetchone()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return None
        raise StoreUnavailableError(f"cannot open {path}: {error}") from error
    except sqlite3.DatabaseError as error:
        raise StoreUnavailableError(f"{path} is not a database: {error}") from error
    return None if row is None else _require_revision(row[0], path)


async def _find_postgresql_revision(location: PostgresqlLocation) -> str | None:
    with translate_errors():
        connection = await connect_postgresql(location, statement_seconds=5)
        try:
            if not await connection.fetchval("SELECT to_regclass('alembic_version')"):
                return None
            revision = await connection.fetchval(_QUERY)
        finally:
            await connection.close(timeout=1)
    return None if revision is None else _require_revision(revision, "the database")


def _migrate_sqlite(path: Path) -> None:
    from sqlalchemy import create_engine  # noqa: PLC0415  # off the start path

    with _hold_lock_file(path):
        revision = _find_sqlite_revision(path)
        if revision == HEAD:
            return
        # Private to the owner; SQLite gives its side files the same mode.
        path.touch(mode=_MODE)
        with closing(sqlite3.connect(path)) as plain:
            plain.execute(FOR_NEW_FILES)
            plain.execute(SQLITE_PRAGMAS[0])
        engine = create_engine(
            f"sqlite:///{path}", connect_args={"isolation_level": None}
        )
        try:
            with translate_errors(), engine.connect() as connection:
                # Python's driver begins no transaction before DDL; a start that is
                # killed half-way must leave no half schema behind.
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                _upgrade(connection, revision)
        finally:
            engine.dispose()


@contextmanager
def _hold_lock_file(path: Path) -> Iterator[None]:
    # A file of its own: closing any descriptor of the database file would drop
    # SQLite's own POSIX locks. The kernel frees this lock when its holder dies.
    try:
        lock = path.with_name(path.name + _LOCK_SUFFIX)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        file = os.fdopen(os.open(lock, flags, _MODE), "ab")
        with suppress(PermissionError):  # another's: it only serves as a lock
            os.fchmod(file.fileno(), _MODE)  # whatever the umask, and of older versions
    except OSError as error:
        raise StoreUnavailableError(f"cannot write beside {path}: {error}") from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


async def _migrate_postgresql(location: PostgresqlLocation) -> None:
    from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415  # as above

    async def connect() -> object:
        return await connect_postgresql(location, statement_seconds=_MIGRATION_SECONDS)

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect)
    try:
        with translate_errors():
            async with engine.connect() as connection:
                # Held until the session ends, whatever becomes of transactions.
                await connection.exec_driver_sql(
                    f"SELECT pg_advisory_lock({_ADVISORY_LOCK})"
                )
                await connection.commit()
                revision = await _find_postgresql_revision(location)
                if revision != HEAD:
                    await connection.run_sync(_upgrade, revision)
    finally:
        await engine.dispose()


def _upgrade(connection: "Connection", revision: str | None) -> None:
    from alembic import command  # noqa: PLC0415  # off the start path
    from alembic.config import Config  # noqa: PLC0415  # off the start path
    from sqlalchemy import inspect  # noqa: PLC0415  # off the start path
    from sqlalchemy.schema import CreateIndex, CreateTable  # noqa: PLC0415  # as above

    from broker.stores.schema import METADATA  # noqa: PLC0415  # off the start path

    if revision is not None:  # else there is nothing that could take minutes
        _log.warning("migrating the database from %s to %s", revision, HEAD)
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    if inspect(connection).has_table("alembic_version"):
        command.upgrade(config, "head")
    else:
        for table in METADATA.sorted_tables:
            connection.execute(CreateTable(table))
            # In one order everywhere: PostgreSQL's choice between two that would cost
            # the same depends on it.
            for index in sorted(table.indexes, key=lambda entry: str(entry.name)):
                where = index.dialect_options["sqlite"]["where"]
                index.dialect_options[connection.dialect.name]["where"] = where
                connection.execute(CreateIndex(index))
        command.stamp(config, "head")
    connection.commit()
