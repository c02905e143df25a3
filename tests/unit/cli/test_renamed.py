"""The forms of the last version work in this one, and say on stderr what they are now."""

import pytest

from tests.support.rows import rows
from tests.unit.cli.conftest import ACCOUNT, CommandLine


@pytest.mark.usefixtures("account")
@rows("before, now, words")
def test_an_earlier_form_says_what_it_is_now(
    cli: CommandLine, before: str, now: str, words: str
) -> None:
    first = cli(*words.split())
    assert (
        cli.stderr.splitlines()[0]
        == f"broker: `{before}` is now `{now}`; this version takes both."
    )
    assert cli.stderr.count("is now") == 1
    *_, old = before.split("audit ")
    written = words.replace(old, now, 1)
    assert cli(*written.split()) == first
    assert "is now" not in cli.stderr


@pytest.mark.usefixtures("account")
def test_options_of_one_command_that_are_commands_now(cli: CommandLine) -> None:
    of_account = ("--account", ACCOUNT)
    cli("services", "set", "orders", *of_account, "--host", "orders.example.com")
    token = cli.json("services", "token", "orders", *of_account)["TokenId"]
    cli("services", "token", "orders", *of_account, "--revoke", token)
    assert "`services token --revoke` is now `services revoke-token`" in cli.stderr
    assert cli.json("services", "show", "orders", *of_account)["Tokens"] == []
    cli("services", "set", "orders", *of_account, "--delete")
    assert "`services set --delete` is now `services delete`" in cli.stderr
    assert cli.lines("services", "list", "--json") == []
