"""The command line in this process, on an installation in a temporary folder."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct
from typer.testing import CliRunner

from broker.cli.main import app
from broker.settings import load_settings
from tests.support.tables import make_installation

ACCOUNT = "123456789012"


class CommandLine(Struct):
    """Runs commands; what they print is kept."""

    folder: Path
    stderr: str = ""

    def __call__(self, *words: str, fails: bool = False, stdin: str = "") -> str:
        result = CliRunner(env={"COLUMNS": "400"}).invoke(app, words, input=stdin)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert (result.exit_code != 0) is fails, result.output
        self.stderr = result.stderr
        return result.stdout

    def json(self, *words: str) -> Any:
        return json.loads(self(*words))

    def lines(self, *words: str) -> list[Any]:
        return self.parse(self(*words))

    @staticmethod
    def parse(printed: str) -> list[Any]:
        return [json.loads(line) for line in printed.splitlines()]

    def audit(self, action: str) -> list[Any]:
        return self.lines("audit", "--json", "--action", action)


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    monkeypatch.setenv("BROKER_DATA_DIR", str(tmp_path / "data"))
    make_installation(load_settings())
    return CommandLine(tmp_path)


@pytest.fixture
def account(cli: CommandLine) -> Any:
    """An account's root key."""
    return cli.json("account", "create", ACCOUNT, "--alias", "example")


@pytest.fixture
def applied(cli: CommandLine) -> Callable[[str], str]:
    """Applies a text as a template."""
    return lambda text: cli("apply", "-", stdin=text)
