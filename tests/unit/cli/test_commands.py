"""Commands import what they use, and nothing of what serves."""

import os
import subprocess
import sys
from typing import Any

import pytest
import typer

from broker.cli.commands import LazyCommand
from broker.cli.main import app
from tests.unit.cli.conftest import ACCOUNT

REPORT = (
    "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr));"
    "sys.argv[0] = 'broker'; from broker.cli.main import run; run()"
)
SERVES = {"fastapi", "uvicorn", "botocore", "structlog", "broker.compose.services"}
STORES = {"sqlalchemy", "pydantic_settings", "cryptography"}
CLIENT = {"httpx2", "jwt"}


def start(*words: str, **environment: str) -> tuple[str, set[str]]:
    """What a command prints, and the modules that it imported."""
    done = subprocess.run(
        [sys.executable, "-c", REPORT, *words],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout, set(done.stderr.splitlines()[-1].split())


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize(
    ("words", "unused", "most"),
    [
        (("--version",), SERVES | STORES | CLIENT | {"rich"}, 260),
        (("--help",), SERVES | STORES | CLIENT, 420),
        (("account", "--help"), SERVES | STORES | CLIENT, 570),
        (("audit",), SERVES | CLIENT | {"lxml", "alembic", "rich"}, 700),
        (
            ("sessions", "list", "--account", ACCOUNT),
            SERVES | CLIENT | {"lxml", "alembic"},
            760,
        ),
        (("providers", "list"), SERVES | CLIENT | {"lxml", "alembic"}, 720),
        (
            ("explain", "--principal", f"arn:aws:iam::{ACCOUNT}:root"),
            SERVES | {"httpx2", "lxml", "alembic"},
            900,
        ),
        (("export", ACCOUNT), SERVES | {"httpx2", "alembic"}, 1000),
        (
            ("policy", "prove", "/dev/null", "--action", "iam:*", "--help"),
            SERVES | STORES | CLIENT | {"lxml"},
            650,
        ),
        (("keys", "list"), SERVES | CLIENT | {"lxml", "alembic"}, 720),
    ],
    ids=lambda params: " ".join(params) if isinstance(params, tuple) else "",
)
def test_a_command_imports_little(
    words: tuple[str, ...], unused: set[str], most: int
) -> None:
    _, imported = start(*words)
    assert imported & unused == set()
    assert len(imported) <= most


def lazy_commands(group: Any, *path: str) -> list[tuple[str, LazyCommand]]:
    results = []
    for name, command in group.commands.items():
        is_lazy = isinstance(command, LazyCommand)
        loaded = command.load() if is_lazy else command
        if is_lazy:
            results.append((" ".join((*path, name)), command))
        if hasattr(loaded, "commands"):
            results += lazy_commands(loaded, *path, name)
    return results


def test_a_summary_is_the_first_line_of_the_help() -> None:
    commands = dict(lazy_commands(typer.main.get_command(app)))
    assert {"serve", "providers test", "doctor"} <= set(commands)
    for command in commands.values():
        first, *_ = (command.load().help or "").split("\n")
        assert command.help == first
