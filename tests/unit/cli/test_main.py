import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

import pytest

from broker.settings import load_settings
from broker.stores.migrations import SchemaRevisionError
from tests.support.tables import make_installation
from tests.unit.cli.conftest import ACCOUNT, CommandLine


def test_the_version_is_the_packages() -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "broker", "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.strip() == f"broker {version('federation-broker')}"


def test_the_demo_takes_another_port_from_make() -> None:
    root = Path(__file__).parents[3]
    planned = subprocess.run(
        ["make", "-n", "demo", "PORT=9000"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "broker demo --port 9000" in planned.stdout


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("BROKER_")}
    make_installation(load_settings(data_dir=tmp_path / "data"))
    return {**kept, "BROKER_DATA_DIR": str(tmp_path / "data"), "COLUMNS": "400"}


def test_text_that_is_not_utf_8_is_refused_and_not_shown(
    environment: dict[str, str],
) -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "broker", "audit", "--principal", b"secret\xff"],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert answer.returncode == 1
    assert answer.stderr == (
        "broker: an argument, setting or file contains text that is not UTF-8\n"
    )


def test_what_the_output_cannot_show_is_told(environment: dict[str, str]) -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "broker", "doctor"],
        capture_output=True,
        text=True,
        check=False,
        env={**environment, "PYTHONIOENCODING": "latin-1"},
    )
    assert answer.returncode == 1
    assert answer.stderr.startswith("broker: the output cannot be written as latin-1;")


def test_a_full_disk_is_told(environment: dict[str, str]) -> None:
    with Path("/dev/full").open("w", encoding="ascii") as full:
        answer = subprocess.run(
            [sys.executable, "-m", "broker", "audit", "--csv"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env=environment,
        )
    assert answer.returncode
    assert answer.stderr.startswith("broker: No space left on device\n")
    assert "Traceback" not in answer.stderr


def test_standard_streams_may_be_closed() -> None:
    code = (
        "import os, sys\n"
        "from broker.__main__ import run\n"
        "sys.argv = ['broker', '--version']\n"
        "try:\n"
        "    run()\n"
        "finally:\n"
        "    assert all(os.get_inheritable(number) for number in range(3))\n"
    )
    closed = subprocess.run(
        ["sh", "-c", 'exec "$0" -c "$1" <&- >&- 2>&-', sys.executable, code],
        check=False,
    )
    assert closed.returncode == 0


@pytest.mark.usefixtures("account")
def test_a_folder_that_a_newer_version_opened_is_refused_by_name(
    cli: CommandLine,
) -> None:
    database = cli.folder / "data" / "broker.db"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    content = database.read_bytes()
    for words in (("init",), ("account", "list"), ("export", ACCOUNT)):
        with pytest.raises(SchemaRevisionError) as refused:
            cli(*words)
        assert str(refused.value).startswith(f"{database} is at revision '9999', and")
        assert f"broker {version('federation-broker')} knows" in str(refused.value)
    assert "start the newer version" in cli("doctor", fails=True)
    assert database.read_bytes() == content
