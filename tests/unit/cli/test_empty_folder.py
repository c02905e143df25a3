"""A command that is run in the wrong folder makes nothing there, and says so."""

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from broker.cli.main import app
from tests.support.rows import of_file, rows

ACCOUNT = "123456789012"
_MAKE: list[list[str]] = of_file(__file__, "_MAKE")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in os.environ:
        if name.startswith("BROKER_"):
            monkeypatch.delenv(name)
    (tmp_path / "template.yaml").write_text("Accounts: {}\n")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    return tmp_path / "empty"


@rows("words")
def test_a_command_makes_no_installation(folder: Path, words: str) -> None:
    result = CliRunner().invoke(app, words.split())
    assert result.exit_code == 1
    said = f"{result.exception}{result.output}"
    assert "sqlite:///data/broker.db is empty" in said
    assert [*folder.iterdir()] == []


@pytest.mark.parametrize("words", _MAKE, ids=" ".join)
def test_who_makes_an_installation_says_where(folder: Path, words: list[str]) -> None:
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0
    assert (
        "A new installation was made: sqlite:///data/broker.db, with its master key in"
        " data/keyring.json." in result.stderr
    )
    assert "Written to sqlite:///data/broker.db." in result.stderr
    assert (folder / "data" / "broker.db").exists()
    again = CliRunner().invoke(app, ["accounts"])
    assert (again.exit_code, again.stderr) == (0, "")
