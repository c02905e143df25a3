"""`broker init`: from nothing to an administrator's link."""

import re
from typing import Any

import pytest

from broker.errors import EntityAlreadyExists
from tests.unit.cli.conftest import ACCOUNT, CommandLine

LINK = re.compile(
    r"http://127\.0\.0\.1:8080/signin/123456789012/first-password\?token=[\w-]{43}"
)
INIT = ("init", "--account", ACCOUNT, "--alias", "example")


def test_an_account_its_administrator_and_the_next_steps(cli: CommandLine) -> None:
    printed = cli(*INIT)
    assert LINK.search(printed)
    for step in ("1. Start the broker", "broker serve", "2. Open this link", "3. Add"):
        assert step in printed
    assert "AdministratorAccess" in cli(
        "explain", "--principal", f"arn:aws:iam::{ACCOUNT}:user/admin"
    )
    (record,) = cli.audit("broker:InitAccount")
    assert record["parameters"] == {"Alias": "example", "UserName": "admin"}
    token = LINK.search(printed)[0].rpartition("=")[2]  # type: ignore[index] # found above
    assert token not in cli("export", ACCOUNT)
    assert token not in cli("audit", "--json")


def test_again_gives_another_link(cli: CommandLine) -> None:
    first, second = cli.json(*INIT, "--json"), cli.json(*INIT, "--json")
    assert first["SignInLink"] != second["SignInLink"]
    assert (second["AccountId"], second["UserName"]) == (ACCOUNT, "admin")
    assert "was there already" in cli(*INIT)
    with pytest.raises(EntityAlreadyExists, match="has the alias example"):
        cli("init", "--account", ACCOUNT, "--alias", "another")


def test_an_account_that_is_there_gets_its_first_administrator(
    cli: CommandLine, account: Any
) -> None:
    assert account["AccountId"] == ACCOUNT
    assert LINK.search(cli("init", "--account", ACCOUNT, "--user", "ann"))


def test_numbers_are_made_up(cli: CommandLine) -> None:
    numbers = {cli.json("init", "--json")["AccountId"] for _ in range(2)}
    assert len(numbers) == 2
    assert all(re.fullmatch("[1-9][0-9]{11}", number) for number in numbers)


def test_bad_input_is_refused(cli: CommandLine) -> None:
    cli("init", "--account", "12", fails=True)
    assert "12" in cli.stderr
    cli("init", "--user", "a b", fails=True)
    assert "is not a user name" in cli.stderr
