"""Upgrades lead to the very tables that a new database gets.

Alembic's own comparison leaves out keys, collations, conditions of indexes and rowids;
here the databases say what they made of both.
"""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg

from broker.model.account import AccountId
from broker.sessions.lineage import trace_machine
from broker.sessions.revoke import revoke_issued_before
from broker.stores.database import Database
from broker.stores.directory.kinds import INSTANCE
from broker.stores.directory.sql import SqlDirectory
from broker.stores.migrations import migrate
from broker.stores.times import to_micros
from broker.stores.urls import SqliteLocation, parse_database_url
from tests.support.clocks import SteppedClock
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
_ACCOUNT = AccountId("111122223333")
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


async def test_machines_of_an_older_version_end_with_what_admitted_them(
    tmp_path: Path,
) -> None:
    path, clock = tmp_path / "upgraded.db", SteppedClock(datetime.now(UTC))
    script = _OLDEST
    for there, here in _OF_SQLITE.items():
        script = script.replace(there, here)
    at = to_micros(clock.now() - timedelta(days=90))
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)
        connection.executemany(
            "INSERT INTO instances (account, instance_id, region, public_key,"
            " registered_at, registered_by, provider_id, subject)"
            f" VALUES ('{_ACCOUNT}', ?, 'eu-west-3', ?, {at}, ?, ?, ?)",
            [
                ("i-1", b"1", "arn:provider", "OIDCP1", "subject/a person/p"),
                ("i-2", b"2", "arn:provider", "OIDCP1", "subject/b"),
                ("i-3", b"3", "arn:join-token", "", ""),
            ],
        )
        connection.commit()
    await migrate(SqliteLocation(path))
    directory = SqlDirectory(Database(SqliteLocation(path)), clock)
    try:
        left = list(await directory.all_of(INSTANCE, _ACCOUNT))
        assert left[2].lineage == ()
        for target in ("person/p", "someone", "OIDCP1"):
            async with directory.change(_ACCOUNT) as change:
                await revoke_issued_before(
                    change, account=_ACCOUNT, target=target, now=clock.now()
                )
            ended = {"person/p": ["i-1"], "OIDCP1": ["i-2"]}.get(target, [])
            revoked = await directory.revocations(_ACCOUNT)
            for each in left:
                covered = each.lineage != () and any(
                    map(revoked.cover, trace_machine(each))
                )
                assert covered is (each.instance_id in ended), target
            left = [each for each in left if each.instance_id not in ended]
            assert await directory.all_of(INSTANCE, _ACCOUNT) == tuple(left)
    finally:
        await directory.close()


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
