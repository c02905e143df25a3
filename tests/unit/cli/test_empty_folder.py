"""A command that is run in the wrong folder makes nothing there, and says so."""

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from broker.cli.main import app
from tests.support.command_tree import Leaf, call, leaves
from tests.support.rows import of_file

MAKE = {"init", "account create", "serve", "demo"}
"""The commands that make an installation."""

_VALUES: dict[str, str] = of_file(__file__, "_VALUES")
_MORE: dict[str, list[str]] = of_file(__file__, "_MORE")
_ELSEWHERE: list[str] = of_file(__file__, "_ELSEWHERE")
_MADE: list[list[str]] = of_file(__file__, "_MADE")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in os.environ:
        if name.startswith(("BROKER_", "AWS_")):
            monkeypatch.delenv(name)
    (tmp_path / "template.yaml").write_text("Accounts: {}\n")
    (tmp_path / "definition.yaml").write_text("Hosts: [api.example.com]\n")
    (tmp_path / "tokens").write_text(
        "GAHT12345678,00112233445566778899aabbccddeeff00112233\n"
    )
    (tmp_path / "policy.json").write_text('{"Version": "2012-10-17"}')
    (tmp_path / "proof").write_text("PHNhbWw+")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    return tmp_path / "empty"


@pytest.mark.parametrize(
    "leaf",
    [leaf for leaf in leaves() if leaf.name not in MAKE],
    ids=lambda leaf: leaf.name,
)
def test_a_command_makes_no_installation(folder: Path, leaf: Leaf) -> None:
    words = call(leaf, _VALUES, _MORE)
    result = CliRunner().invoke(app, words, input="a secret of some length\n")
    output = f"{result.exception}{result.output}"
    assert [*folder.iterdir()] == []
    if leaf.name not in _ELSEWHERE:
        assert result.exit_code == 1, output
        assert "sqlite:///data/broker.db is empty" in output


def test_the_table_names_commands_that_there_are() -> None:
    assert {*MAKE, *_MORE, *_ELSEWHERE} <= {leaf.name for leaf in leaves()}


@pytest.mark.parametrize("words", _MADE, ids=" ".join)
def test_who_makes_an_installation_says_where(folder: Path, words: list[str]) -> None:
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0
    assert (
        "A new installation was made: sqlite:///data/broker.db, with its master key in"
        " data/keyring.json." in result.stderr
    )
    assert "Written to sqlite:///data/broker.db." in result.stderr
    assert (folder / "data" / "broker.db").exists()
    again = CliRunner().invoke(app, ["account", "list"])
    assert (again.exit_code, again.stderr) == (0, "")
