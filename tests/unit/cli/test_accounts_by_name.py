"""Commands take an account by its number or alias, and BROKER_ACCOUNT where none is named."""

import pytest

from tests.unit.cli.conftest import ACCOUNT, CommandLine

OTHER = "999999999999"


@pytest.fixture(autouse=True)
def accounts(cli: CommandLine, account: object) -> None:
    del account
    cli("account", "create", OTHER)


def shown(cli: CommandLine, *words: str) -> str:
    number: str = cli.json("account", "show", "--json", *words)["AccountId"]
    return number


@pytest.mark.parametrize("name", [ACCOUNT, "example"])
def test_an_account_has_two_names(cli: CommandLine, name: str) -> None:
    assert shown(cli, "--account", name) == ACCOUNT
    assert shown(cli, name) == ACCOUNT


def test_an_alias_that_no_account_has_is_named(cli: CommandLine) -> None:
    cli("account", "show", "--account", "sample", fails=True)
    assert "no account has the alias 'sample'" in cli.stderr


def test_the_environment_names_one_for_all_commands(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli("account", "show", fails=True)
    assert "Missing option" in cli.stderr
    monkeypatch.setenv("BROKER_ACCOUNT", "example")
    assert shown(cli) == ACCOUNT
    assert shown(cli, "--account", OTHER) == OTHER
    assert shown(cli, OTHER) == OTHER
    assert {line["account"] for line in cli.lines("audit", "--json")} == {ACCOUNT}
    cli("config")
    assert "BROKER_ACCOUNT" not in cli.stderr


def test_it_never_ends_a_session_by_itself(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROKER_ACCOUNT", "example")
    cli("sessions", "revoke", fails=True)
    assert "pass either TARGET or --provider" in cli.stderr


def test_lists_are_of_one_account(cli: CommandLine) -> None:
    for number in (ACCOUNT, OTHER):
        of = ("--account", number, "--host", f"orders{number}.example.com")
        cli("services", "set", "orders", *of)
    for name in (ACCOUNT, "example"):
        (service,) = cli.lines("services", "list", "--account", name, "--json")
        assert ACCOUNT in service["Arn"]
    for noun in ("providers", "upstreams"):
        assert cli.lines(noun, "list", "--account", "example", "--json") == []
        assert cli.stderr == "There are none.\n"


def test_an_account_is_shown_with_its_root(cli: CommandLine) -> None:
    members = cli.json("account", "show", ACCOUNT, "--json")
    assert members["Alias"] == "example"
    (key,) = members["RootKeys"]
    assert key in cli("account", "show", ACCOUNT)
    cli("account", "root-key", "--account", ACCOUNT, "--deactivate")
    assert cli.json("account", "show", ACCOUNT, "--json")["RootKeys"] == []
