"""Upgrades lead to the very tables that a new database gets.

Alembic's own comparison leaves out keys, collations, conditions of indexes and rowids;
here the databases say what they made of both.
"""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg

from broker.stores.migrations import migrate
from broker.stores.urls import SqliteLocation, parse_database_url
from tests.support.servers import PostgresqlServer
from tests.support.tables import postgresql_template

_POSTGRESQL = (
    """
    SELECT table_name, column_name, data_type, is_nullable, column_default,
           collation_name, is_identity
    FROM information_schema.columns WHERE table_schema = 'public'
    """,
    "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
    """
    SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    """,
)
_MIGRATIONS_OWN = "alembic_version"
_OLDEST = Path(__file__).with_name("0013.sql").read_text(encoding="utf-8")
_OF_SQLITE = {
    ' COLLATE "C"': "",
    "BYTEA": "BLOB",
    "BIGSERIAL": "INTEGER",
    "/* WITHOUT ROWID */": "WITHOUT ROWID",
}


async def test_on_sqlite(tmp_path: Path) -> None:
    upgraded, made = tmp_path / "upgraded.db", tmp_path / "made.db"
    script = _OLDEST
    for there, here in _OF_SQLITE.items():
        script = script.replace(there, here)
    with closing(sqlite3.connect(upgraded)) as connection:
        connection.executescript(script)
    await migrate(SqliteLocation(upgraded))
    await migrate(SqliteLocation(made))
    assert described_sqlite(upgraded) == described_sqlite(made)


def described_sqlite(path: Path) -> dict[str, Any]:
    with closing(sqlite3.connect(path)) as connection:

        def ask(statement: str) -> list[tuple[Any, ...]]:
            return connection.execute(statement).fetchall()

        def keys(index: str) -> list[tuple[Any, ...]]:
            told = ask(f"PRAGMA index_xinfo({index})")
            return [(name, down, order) for _, _, name, down, order, key in told if key]

        texts = dict(ask("SELECT name, sql FROM sqlite_master WHERE type = 'index'"))
        results = {}
        for _, table, kind, columns, without_rowid, strict in ask("PRAGMA table_list"):
            if table.startswith("sqlite_") or table == _MIGRATIONS_OWN:
                continue
            results[table] = (
                (kind, columns, without_rowid, strict),
                sorted(row[1:] for row in ask(f"PRAGMA table_xinfo({table})")),
                sorted(
                    repr((texts.get(name), keys(name), *rest))
                    for _, name, *rest in ask(f"PRAGMA index_list({table})")
                ),
            )
    assert results
    return results


async def test_on_postgresql(postgresql_server: PostgresqlServer) -> None:
    upgraded = postgresql_server.create_database("oldest")
    made = postgresql_server.create_database("to_compare", postgresql_template())
    connection = await asyncpg.connect(upgraded)
    try:
        await connection.execute(_OLDEST)
    finally:
        await connection.close()
    await migrate(parse_database_url(upgraded))
    assert await described_postgresql(upgraded) == await described_postgresql(made)


async def described_postgresql(url: str) -> list[list[tuple[Any, ...]]]:
    connection = await asyncpg.connect(url)
    try:
        answers = [await connection.fetch(statement) for statement in _POSTGRESQL]
    finally:
        await connection.close()
    results = [
        sorted((tuple(row) for row in rows if row[0] != _MIGRATIONS_OWN), key=repr)
        for rows in answers
    ]
    assert all(results)
    return results
