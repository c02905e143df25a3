"""What ends something asks at a terminal, and says elsewhere what it ends."""

import os
import pty
import subprocess
import sys

import pytest

from tests.unit.cli.conftest import ACCOUNT, CommandLine

ENDING = f"The root keys that {ACCOUNT} has will end."
DEACTIVATE = ("account", "root-key", ACCOUNT, "--deactivate")


def at_a_terminal(answer: str, *words: str) -> subprocess.CompletedProcess[str]:
    ours, theirs = pty.openpty()
    os.write(ours, answer.encode())
    try:
        return subprocess.run(
            [sys.executable, "-m", "broker", *words],
            stdin=theirs,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    finally:
        os.close(ours)
        os.close(theirs)


def has_root_key(cli: CommandLine) -> bool:
    return bool(cli.json("account", "show", ACCOUNT, "--json")["RootKeys"])


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize("answer", ["n\n", "\n", "\x04"])
def test_another_answer_than_yes_changes_nothing(cli: CommandLine, answer: str) -> None:
    done = at_a_terminal(answer, *DEACTIVATE)
    assert done.returncode == 1
    assert f"{ENDING} Go on? [y/N]" in done.stderr
    assert "Nothing was changed." in done.stderr
    assert has_root_key(cli)


@pytest.mark.usefixtures("account")
def test_yes_goes_on(cli: CommandLine) -> None:
    assert at_a_terminal("y\n", *DEACTIVATE).returncode == 0
    assert not has_root_key(cli)


@pytest.mark.usefixtures("account")
def test_it_can_be_said_before(cli: CommandLine) -> None:
    done = at_a_terminal("", *DEACTIVATE, "--yes")
    assert done.returncode == 0
    assert "Go on?" not in done.stderr
    assert not has_root_key(cli)


@pytest.mark.usefixtures("account")
def test_a_script_is_told_and_not_asked(cli: CommandLine) -> None:
    cli(*DEACTIVATE)
    assert ENDING in cli.stderr
    assert not has_root_key(cli)


TEMPLATE = """
Accounts:
  '123456789012':
    Users: [{users}]
"""


@pytest.mark.usefixtures("account")
def test_pruning_lists_what_it_deletes_before_it_asks(cli: CommandLine) -> None:
    file = cli.folder / "account.yaml"
    file.write_text(TEMPLATE.format(users="{UserName: ana}, {UserName: ben}"))
    cli("apply", str(file))
    file.write_text(TEMPLATE.format(users="{UserName: ana}"))
    done = at_a_terminal("n\n", "apply", str(file), "--prune")
    assert done.returncode == 1
    assert "ben" in done.stderr
    assert "1 will be deleted. Go on? [y/N]" in done.stderr
    assert len(cli.lines("get", "Users", "--json")) == 2
    assert at_a_terminal("y\n", "apply", str(file), "--prune").returncode == 0
    assert [user["Name"] for user in cli.lines("get", "Users", "--json")] == ["ana"]


@pytest.mark.usefixtures("account")
def test_nothing_is_asked_where_nothing_is_pruned(cli: CommandLine) -> None:
    file = cli.folder / "account.yaml"
    file.write_text(TEMPLATE.format(users="{UserName: ana}"))
    done = at_a_terminal("", "apply", str(file), "--prune")
    assert (done.returncode, "Go on?" in done.stderr) == (0, False)
