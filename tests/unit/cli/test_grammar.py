"""The rules that every command of the tree follows, so that the next one does, too."""

import re
from enum import Enum
from typing import Any, get_args

import pytest
from typer.testing import CliRunner

from broker.cli.commands import Command
from broker.cli.main import app
from tests.support.command_tree import Leaf, groups, leaves
from tests.support.rows import of_file

_UPPER = re.compile(r"\[?[A-Z][A-Z0-9_]*(=[A-Z]+…?)?\]?")
_WITHOUT_JSON: dict[str, str] = of_file(__file__, "_WITHOUT_JSON")
_SUBCOMMANDS: list[str] = of_file(__file__, "_SUBCOMMANDS")

EACH_LEAF = pytest.mark.parametrize("leaf", leaves(), ids=lambda leaf: leaf.name)
EACH = pytest.mark.parametrize(
    "leaf", [*groups(), *leaves()], ids=lambda leaf: leaf.name
)


def options(leaf: Leaf) -> dict[str, Any]:
    return {name: param for param in leaf.command.params for name in param.opts}


def is_choice(param: Any) -> bool:
    annotation = param.type_descriptor.annotation
    (item,) = get_args(annotation) or (annotation,)
    return isinstance(item, type) and issubclass(item, Enum)


@EACH
def test_help_has_two_names(leaf: Leaf) -> None:
    for name in ("-h", "--help"):
        result = CliRunner().invoke(app, [*leaf.path, name])
        assert result.exit_code == 0
        assert "Usage: " in result.stdout


@EACH_LEAF
def test_a_command_is_parsed_as_all_are(leaf: Leaf) -> None:
    assert isinstance(leaf.command, Command)


@EACH_LEAF
def test_every_parameter_has_help_and_an_upper_case_name(leaf: Leaf) -> None:
    for param in leaf.command.params:
        assert param.help, param.name
        if getattr(param, "is_flag", False) or is_choice(param):
            continue
        assert param.metavar is not None, param.name
        assert _UPPER.fullmatch(param.metavar), param.metavar


@EACH_LEAF
def test_an_account_is_named_by_one_option(leaf: Leaf) -> None:
    account = options(leaf).get("--account")
    if account is None or leaf.name == "init":  # which names one that is to be made
        return
    assert account.metavar == "ACCOUNT"
    assert account.envvar == "BROKER_ACCOUNT"
    assert "by its ID or alias" in account.help


@EACH_LEAF
def test_a_request_is_named_by_one_option(leaf: Leaf) -> None:
    assert options(leaf).keys().isdisjoint({"--event", "--event-id", "--request"})
    assert options(leaf).keys().isdisjoint({"--caller", "--who", "--decision"})


@EACH_LEAF
def test_what_prints_data_prints_json(leaf: Leaf) -> None:
    assert ("--json" in options(leaf)) is (leaf.name not in _WITHOUT_JSON)


def test_the_words_of_nouns() -> None:
    visible = [leaf for leaf in leaves() if not leaf.command.hidden]
    assert [leaf.name for leaf in visible if len(leaf.path) > 1] == _SUBCOMMANDS


def test_the_table_names_commands_that_there_are() -> None:
    assert {*_WITHOUT_JSON} <= {leaf.name for leaf in leaves()}


def test_the_help_ends_with_where_commands_work() -> None:
    result = CliRunner(env={"COLUMNS": "400"}).invoke(app, ["--help"])
    (*_, last) = result.stdout.strip().splitlines()
    assert "open the database themselves, with the broker's settings" in last
    assert "/docs" in last
