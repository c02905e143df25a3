"""`broker init`: from nothing to an administrator's link."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from broker.cli.operator import with_installation
from broker.compose.installation import Installation
from broker.errors import EntityAlreadyExists, LimitExceeded
from broker.model.entities import LoginProfile
from broker.stores.directory.kinds import LOGIN_PROFILE, USER
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


@pytest.mark.parametrize(
    ("url", "command"),
    [
        ("http://127.0.0.1:8080", "broker serve"),
        ("http://127.0.0.1:9000", "broker serve --port 9000"),
        ("http://localhost", "broker serve --port 80"),
        # A proxy has that port.
        ("https://broker.example.com:8443", "broker serve"),
    ],
)
def test_the_command_to_start_listens_where_the_link_leads(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch, url: str, command: str
) -> None:
    monkeypatch.setenv("BROKER_PUBLIC_URL", url)
    printed = [line.strip() for line in cli(*INIT).splitlines()]
    assert [line for line in printed if line.startswith("broker serve")] == [command]
    assert any(line.startswith(f"{url}/signin/{ACCOUNT}/") for line in printed)


def test_the_administrators_key_is_shown_once(cli: CommandLine) -> None:
    made = cli.json(*INIT, "--access-key", "--json")
    assert made["AccessKeyId"].startswith("AKIA")
    (record,) = cli.audit("broker:InitAccount")
    assert record["parameters"]["AccessKeyId"] == made["AccessKeyId"]
    assert made["SecretAccessKey"] not in cli("audit", "--json") + cli(
        "export", ACCOUNT
    )
    assert "SecretAccessKey: " in cli(*INIT, "--access-key")
    with pytest.raises(LimitExceeded):
        cli(*INIT, "--access-key")


def test_again_gives_another_link(cli: CommandLine) -> None:
    first, second = cli.json(*INIT, "--json"), cli.json(*INIT, "--json")
    assert first["SignInLink"] != second["SignInLink"]
    assert (second["AccountId"], second["UserName"]) == (ACCOUNT, "admin")
    assert "already exists" in (again := cli(*INIT))
    assert "Their earlier link no longer works." in again
    assert "earlier link" not in cli("init", "--account", "210987654321")
    with pytest.raises(EntityAlreadyExists, match="has the alias example"):
        cli("init", "--account", ACCOUNT, "--alias", "another")


def test_an_account_that_is_there_gets_its_first_administrator(
    cli: CommandLine, account: Any
) -> None:
    assert account["AccountId"] == ACCOUNT
    assert LINK.search(cli("init", "--account", ACCOUNT, "--user", "ann"))


def test_it_is_above_the_accounts_invariants_and_says_so(
    cli: CommandLine, account: Any, tmp_path: Path
) -> None:
    stated = {"Effect": "Deny", "Action": "iam:*", "Resource": "*"}
    document = {"Version": "2012-10-17", "Statement": stated}
    invariants = [{"PolicyName": "no-iam", "PolicyDocument": document}]
    whole = {"Accounts": {account["AccountId"]: {"Broker": {"Invariants": invariants}}}}
    file = tmp_path / "account.json"
    file.write_text(json.dumps(whole))
    cli("apply", str(file))
    assert LINK.search(cli("init", "--account", ACCOUNT, "--user", "ann"))
    records = [
        record
        for record in cli.lines("audit", "--account", ACCOUNT, "--json")
        if record["action"] == "broker:OverrideInvariant"
    ]
    assert len(records) == 1
    assert "user/ann could iam:" in records[0]["parameters"]["Breach"]


def test_run_again_it_goes_on_with_what_waits_for_a_password(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = cli.json("init", "--user", "ann", "--json")
    assert re.fullmatch("[1-9][0-9]{11}", first["AccountId"])
    # As its last line says, with the address that browsers use; and with an alias.
    monkeypatch.setenv("BROKER_PUBLIC_URL", "https://broker.example.com")
    again = cli.json("init", "--alias", "example", "--json")
    assert (again["AccountId"], again["UserName"]) == (first["AccountId"], "ann")
    assert again["SignInLink"].startswith("https://broker.example.com/signin/")
    assert cli.json("init", "--alias", "example", "--json")["UserName"] == "ann"
    (listed,) = cli.lines("account", "list", "--json")
    assert listed == {
        "AccountId": first["AccountId"],
        "Alias": "example",
        "Created": listed["Created"],
        "WaitingForPassword": ["ann"],
    }
    # Another user, alias or number is another account.
    others = [
        cli.json("init", *words, "--json")["AccountId"]
        for words in (("--alias", "other"), ("--user", "bob"), ("--account", ACCOUNT))
    ]
    assert others[2] == ACCOUNT
    assert len({first["AccountId"], *others}) == 4
    with pytest.raises(EntityAlreadyExists, match="--account") as several:
        cli("init")
    for number in (first["AccountId"], *others):
        assert number in str(several.value)
    printed = cli("account", "list")
    assert re.search(rf"{first['AccountId']} +example .*\bann\b", printed)


def test_who_has_a_password_waits_no_more(cli: CommandLine) -> None:
    made = cli.json("init", "--json")

    async def give_password(installation: Installation) -> None:
        number = made["AccountId"]
        async with installation.stores.directory.change(number) as change:
            user = await change.named(USER, number, "admin")
            assert user is not None
            now = installation.clock.now()
            profile = LoginProfile(
                account=number,
                user_id=user.user_id,
                sealed=b"sealed",
                created_at=now,
                changed_at=now,
            )
            await change.insert(LOGIN_PROFILE, profile)

    with_installation(give_password)
    assert cli.json("init", "--json")["AccountId"] != made["AccountId"]
    waiting = [
        entry["WaitingForPassword"] for entry in cli.lines("account", "list", "--json")
    ]
    assert sorted(waiting) == [[], ["admin"]]


def test_bad_input_is_refused(cli: CommandLine) -> None:
    cli("init", "--account", "12", fails=True)
    assert "12" in cli.stderr
    cli("init", "--user", "a b", fails=True)
    assert "is not a user name" in cli.stderr
