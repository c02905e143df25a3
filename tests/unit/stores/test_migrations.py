"""The tables come into being once, however many brokers start together."""

import asyncio
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing, suppress
from importlib import import_module
from pathlib import Path

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from broker.model.names import fold_name
from broker.stores import migrations
from broker.stores.connect import connect_sqlite
from broker.stores.errors import StoreUnavailableError
from broker.stores.migrations import HEAD, find_revision, migrate
from broker.stores.urls import SqliteLocation


@pytest.fixture
def location(tmp_path: Path) -> SqliteLocation:
    return SqliteLocation(tmp_path / "broker.db")


def test_the_code_names_the_first_and_the_last_revision() -> None:
    scripts = ScriptDirectory(Path(migrations.__file__).parent)
    assert scripts.get_base() == migrations._OLDEST
    assert scripts.get_current_head() == HEAD


async def test_readers_do_not_wait_for_a_writer(location: SqliteLocation) -> None:
    await migrate(location)
    with closing(connect_sqlite(location.path, busy_seconds=1)) as connection:
        (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    assert mode == "wal"


async def test_the_files_are_their_owners_alone(location: SqliteLocation) -> None:
    await migrate(location)
    with closing(connect_sqlite(location.path, busy_seconds=1)) as connection:
        connection.execute("CREATE TABLE other (x)")
        side_files = ("broker.db-wal", "broker.db-shm", "broker.db-migrate")
        names = ("broker.db", *side_files)
        modes = [(location.path.parent / name).stat().st_mode for name in names]
    assert [stat.S_IMODE(mode) for mode in modes] == [0o600] * 4


async def test_a_lock_file_of_an_older_version_is_closed_to_others(
    location: SqliteLocation,
) -> None:
    lock = location.path.with_name("broker.db-migrate")
    lock.touch(mode=0o644)
    await migrate(location)
    assert stat.S_IMODE(lock.stat().st_mode) == 0o600


async def test_many_starters_migrate_once(location: SqliteLocation) -> None:
    await asyncio.gather(*(migrate(location) for _ in range(8)))
    assert await find_revision(location) == HEAD


def test_starting_processes_wait_for_each_other(location: SqliteLocation) -> None:
    code = (
        "import asyncio, sys; from pathlib import Path; "
        "from broker.stores.migrations import migrate; "
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
        "from broker.stores.migrations import migrate; "
        "from broker.stores.urls import SqliteLocation; "
        "asyncio.run(migrate(SqliteLocation(Path(sys.argv[1])))); "
        "sys.exit('alembic' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(location.path)]
    await asyncio.to_thread(subprocess.run, command, check=True)


def _open_files() -> set[str]:
    results = set()
    for link in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # closed meanwhile
            results.add(str(link.readlink()))
    return results


async def test_a_failed_migration_leaves_no_half_schema(
    location: SqliteLocation, monkeypatch: pytest.MonkeyPatch
) -> None:
    upgrade = migrations._upgrade

    def die_at_the_end(connection: object, revision: str | None) -> None:
        monkeypatch.setattr(connection, "commit", lambda: 1 / 0)
        upgrade(connection, revision)  # type: ignore[arg-type] # it is one

    monkeypatch.setattr(migrations, "_upgrade", die_at_the_end)
    with pytest.raises(ZeroDivisionError):
        await migrate(location)
    assert str(location.path) not in _open_files()
    with closing(sqlite3.connect(location.path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == []
    monkeypatch.setattr(migrations, "_upgrade", upgrade)
    await migrate(location)


async def test_a_file_that_is_not_a_database_is_refused(
    location: SqliteLocation,
) -> None:
    await asyncio.to_thread(location.path.write_bytes, b"not a database" * 100)
    with pytest.raises(StoreUnavailableError, match="not a database"):
        await migrate(location)


async def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailableError, match="cannot write"):
        await migrate(SqliteLocation(tmp_path / "missing" / "broker.db"))


NFC, NFD = "\N{LATIN SMALL LETTER E WITH ACUTE}", "e\N{COMBINING ACUTE ACCENT}"
KELVIN = "\N{KELVIN SIGN}"


@pytest.mark.parametrize(
    ("table", "keys", "expected"),
    [
        ("provisioned_users", {"Bob": "bob"}, {"Bob": "bob"}),
        ("provisioned_users", {f"Ren{NFD}": f"ren{NFD}"}, {f"Ren{NFD}": f"ren{NFC}"}),
        ("provisioned_groups", {f"Ren{NFD}": f"ren{NFD}"}, {f"Ren{NFD}": f"ren{NFC}"}),
        (
            "provisioned_users",
            {f"ren{NFC}": f"ren{NFC}", f"ren{NFD}": f"ren{NFD}"},
            {f"ren{NFC}": f"ren{NFC}", f"ren{NFD}": f"ren{NFD}"},
        ),
        (
            "provisioned_users",
            {f"{KELVIN}im": "kim"},
            {f"{KELVIN}im": f"{KELVIN}im"},
        ),
    ],
)
def test_names_that_are_not_ascii_get_the_keys_of_today(
    tmp_path: Path, table: str, keys: dict[str, str], expected: dict[str, str]
) -> None:
    """One that is another's then, or folds into ASCII, gets a key that none yields."""
    path = tmp_path / "old.db"
    name = "name" if table == "provisioned_groups" else "user_name"
    rows = [(n, *row, row[0], "1" * 12, "P") for n, row in enumerate(keys.items())]
    with closing(sqlite3.connect(path)) as connection, connection:
        for columns in "users (user_id, user_name", "groups (group_id, name":
            connection.execute(
                f"CREATE TABLE provisioned_{columns}, name_key, email, account,"
                " provider_id, UNIQUE (account, provider_id, name_key))"
            )
        connection.executemany(f"INSERT INTO {table} VALUES (?, ?, ?, ?, ?, ?)", rows)
    engine = create_engine(f"sqlite:///{path}")
    versions = "broker.stores.migrations.versions"
    with engine.begin() as bound:
        with Operations.context(MigrationContext.configure(bound)):
            import_module(f"{versions}.0021_folded_names").upgrade()
        read = bound.exec_driver_sql(f"SELECT {name}, name_key, email FROM {table}")
        upgraded = read.fetchall()
    engine.dispose()
    assert {row[0]: row[1] for row in upgraded} == expected
    if table == "provisioned_users":
        assert {row[2] for row in upgraded} == {
            each if each.isascii() else fold_name(each) for each in keys
        }
