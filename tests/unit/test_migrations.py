"""The tables come into being once, however many brokers start together."""

import asyncio
import json
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine

from broker import migrations
from broker.migrations import HEAD, SchemaTooNewError, find_revision, migrate
from broker.model.audit import Outcome, kind_of
from broker.stores.connect import connect_sqlite
from broker.stores.errors import StoreUnavailableError
from broker.stores.schema import METADATA
from broker.stores.urls import SqliteLocation


@pytest.fixture
def location(tmp_path: Path) -> SqliteLocation:
    return SqliteLocation(tmp_path / "broker.db")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.set_main_option("path_separator", "os")
    return config


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def test_the_newest_revision_is_the_one_that_the_code_names() -> None:
    assert _scripts().get_current_head() == HEAD


async def test_the_migrated_tables_are_the_schemas(location: SqliteLocation) -> None:
    await migrate(location)
    engine = create_engine(f"sqlite:///{location.path}")
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, METADATA) == []
        written = connection.exec_driver_sql("PRAGMA journal_mode").scalar()
    engine.dispose()
    assert written == "wal"


async def test_the_files_are_their_owners_alone(location: SqliteLocation) -> None:
    await migrate(location)
    with closing(connect_sqlite(location.path, busy_seconds=1)) as connection:
        connection.execute("CREATE TABLE other (x)")
        names = ("broker.db", "broker.db-wal", "broker.db-shm")
        modes = [(location.path.parent / name).stat().st_mode for name in names]
    assert [stat.S_IMODE(mode) for mode in modes] == [0o600] * 3


async def test_many_starters_migrate_once(location: SqliteLocation) -> None:
    await asyncio.gather(*(migrate(location) for _ in range(8)))
    assert await find_revision(location) == HEAD


def test_starting_processes_wait_for_each_other(location: SqliteLocation) -> None:
    code = (
        "import asyncio, sys; from pathlib import Path; "
        "from broker.migrations import migrate; "
        "from broker.stores.urls import SqliteLocation; "
        "asyncio.run(migrate(SqliteLocation(Path(sys.argv[1]))))"
    )
    command = [sys.executable, "-c", code, str(location.path)]
    processes = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]


async def test_a_current_database_is_recognised_without_alembic(
    location: SqliteLocation,
) -> None:
    await migrate(location)
    code = (
        "import asyncio, sys; from pathlib import Path; "
        "from broker.migrations import migrate; "
        "from broker.stores.urls import SqliteLocation; "
        "asyncio.run(migrate(SqliteLocation(Path(sys.argv[1])))); "
        "sys.exit('alembic' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(location.path)]
    await asyncio.to_thread(subprocess.run, command, check=True)


def _open_files() -> set[str]:
    found = set()
    for link in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # closed meanwhile
            found.add(str(link.readlink()))
    return found


async def test_a_failed_migration_leaves_no_half_schema(
    location: SqliteLocation, monkeypatch: pytest.MonkeyPatch
) -> None:
    upgrade = migrations._upgrade

    def die_at_the_end(connection: object) -> None:
        monkeypatch.setattr(connection, "commit", lambda: 1 / 0)
        upgrade(connection)  # type: ignore[arg-type] # it is one

    monkeypatch.setattr(migrations, "_upgrade", die_at_the_end)
    with pytest.raises(ZeroDivisionError):
        await migrate(location)
    assert str(location.path) not in _open_files()
    with closing(sqlite3.connect(location.path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == []
    monkeypatch.setattr(migrations, "_upgrade", upgrade)
    await migrate(location)


async def test_a_newer_brokers_database_is_refused(location: SqliteLocation) -> None:
    await migrate(location)
    with closing(sqlite3.connect(location.path)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    with pytest.raises(SchemaTooNewError, match="9999"):
        await migrate(location)


async def test_a_file_that_is_no_database_is_refused(location: SqliteLocation) -> None:
    await asyncio.to_thread(location.path.write_bytes, b"not a database" * 100)
    with pytest.raises(StoreUnavailableError, match="not a database"):
        await migrate(location)


async def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailableError, match="cannot write"):
        await migrate(SqliteLocation(tmp_path / "missing" / "broker.db"))


@pytest.mark.parametrize(
    "revision",
    [found.revision for found in _scripts().walk_revisions() if found.revision != HEAD],
)
async def test_an_older_database_is_brought_up_with_what_is_in_it(
    location: SqliteLocation, monkeypatch: pytest.MonkeyPatch, revision: str
) -> None:
    with monkeypatch.context() as older:
        older.setattr(migrations, "_upgrade", lambda it: _upgrade_to(it, revision))
        await migrate(location)
    with closing(sqlite3.connect(location.path)) as connection:
        connection.execute("INSERT INTO generations VALUES ('000000000001', 7)")
        connection.commit()
    await migrate(location)
    assert await find_revision(location) == HEAD
    with closing(sqlite3.connect(location.path)) as connection:
        kept = connection.execute("SELECT generation FROM generations").fetchall()
        assert connection.execute("SELECT * FROM passkeys").fetchall() == []
    assert kept == [(7,)]


def _upgrade_to(connection: Connection, revision: str) -> None:
    from alembic import command

    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
    connection.commit()


@pytest.mark.parametrize("used", [True, False])
async def test_a_database_in_use_notes_from_when_sessions_carry_their_lineage(
    location: SqliteLocation, monkeypatch: pytest.MonkeyPatch, used: bool
) -> None:
    with monkeypatch.context() as older:
        older.setattr(migrations, "_upgrade", lambda it: _upgrade_to(it, "0003"))
        await migrate(location)
    if used:
        with closing(sqlite3.connect(location.path)) as connection, connection:
            connection.execute(
                "INSERT INTO installation (id, created_at, marks)"
                """ VALUES (1, 0, '{"demo": true}')"""
            )
    await migrate(location)
    with closing(sqlite3.connect(location.path)) as connection:
        rows = connection.execute("SELECT marks FROM installation").fetchall()
    if not used:
        assert rows == []
        return
    marks = json.loads(rows[0][0])
    assert marks["demo"] is True
    assert isinstance(marks["lineage_since"], int)


@pytest.mark.parametrize("is_mint", [True, False])
async def test_older_records_are_sorted_as_new_ones_are(
    location: SqliteLocation, monkeypatch: pytest.MonkeyPatch, is_mint: bool
) -> None:
    actions = {
        *("sts:AssumeRoleWithSAML", "signin:ConsoleLogin", "signin:ListRolesWithSAML"),
        *(
            "sts:AssumeRole",
            "iam:CreateUser",
            "iam:GetUser",
            "iam:SimulateCustomPolicy",
        ),
        *(
            "broker:CreateAccount",
            "broker:CountFailures",
            "signin:CreatePasskeyOptions",
        ),
    }
    rows = [
        (action, decision, "ASIA" if is_mint else "", "arn" if is_mint else "")
        for action in sorted(actions)
        for decision in Outcome
    ]
    with monkeypatch.context() as older:
        older.setattr(migrations, "_upgrade", lambda it: _upgrade_to(it, "0005"))
        await migrate(location)
    with closing(sqlite3.connect(location.path)) as connection, connection:
        connection.executemany(
            "INSERT INTO audit (event_id, at, account, caller_arn, access_key_id, body,"
            " action, decision, minted_key_id, provider_arn)"
            " VALUES ('', 0, '', '', '', '{}', ?, ?, ?, ?)",
            rows,
        )
    await migrate(location)
    with closing(sqlite3.connect(location.path)) as connection:
        kinds = connection.execute("SELECT kind FROM audit ORDER BY seq").fetchall()
    credentials = {"sts:AssumeRole", "signin:ConsoleLogin"}
    for (action, decision, *_), (kind,) in zip(rows, kinds, strict=True):
        minted = is_mint and action in credentials
        expected = kind_of(action, decision, is_mint=minted, has_provider=is_mint)
        assert kind == expected, (action, decision)
