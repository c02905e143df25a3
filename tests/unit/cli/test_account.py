import os
import pwd
from typing import Any

import pytest

from broker.errors import BrokerError
from tests.support.deleted_meanwhile import delete_first
from tests.support.rows import cases
from tests.unit.cli.conftest import ACCOUNT, CommandLine


def test_a_new_account_prints_its_root_key_as_json(account: Any) -> None:
    assert set(account) == {"AccountId", "AccessKeyId", "SecretAccessKey"}
    assert account["AccountId"] == ACCOUNT
    assert account["AccessKeyId"].startswith("AKIA")
    assert len(account["SecretAccessKey"]) == 40


def test_the_command_is_audited_with_the_system_users_name(
    cli: CommandLine, account: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "somebody-else")
    monkeypatch.setenv("USER", "somebody-else")
    cli("account", "root-key", ACCOUNT, "--deactivate")
    (created,) = cli.audit("broker:CreateAccount")
    (retired,) = cli.audit("broker:DeactivateRootKey")
    name = pwd.getpwuid(os.getuid()).pw_name
    for record in (created, retired):
        assert record["caller_arn"] == f"operator:{name}"
        assert record["door"] == "operator"
        assert record["account"] == ACCOUNT
    assert account["SecretAccessKey"] not in str([created, retired])


@pytest.mark.usefixtures("account")
def test_an_account_is_made_once(cli: CommandLine) -> None:
    with pytest.raises(BrokerError, match="already exists"):
        cli("account", "create", ACCOUNT)


@pytest.mark.parametrize("account_id", ["1", "12345678901x", "1234567890123", ""])
def test_an_account_id_has_twelve_digits(cli: CommandLine, account_id: str) -> None:
    cli("account", "create", account_id, fails=True)
    assert "12-digit" in cli.stderr


def test_a_new_root_key_retires_the_old_one(cli: CommandLine, account: Any) -> None:
    renewed = cli.json("account", "root-key", ACCOUNT, "--new")
    assert renewed["AccessKeyId"] != account["AccessKeyId"]
    text = cli("doctor")
    assert renewed["AccessKeyId"] in text
    assert account["AccessKeyId"] not in text


@pytest.mark.usefixtures("account")
def test_root_key_wants_one_of_its_two_options(cli: CommandLine) -> None:
    cli("account", "root-key", ACCOUNT, fails=True)
    cli("account", "root-key", ACCOUNT, "--new", "--deactivate", fails=True)
    assert cli.audit("broker:CreateRootKey") == []


@pytest.mark.usefixtures("account")
def test_an_account_is_deleted_only_with_yes_and_its_audit_stays(
    cli: CommandLine,
) -> None:
    cli("account", "delete", ACCOUNT, fails=True)
    cli("export", ACCOUNT)
    cli("account", "delete", ACCOUNT, "--yes")
    with pytest.raises(BrokerError, match="no account"):
        cli("export", ACCOUNT)
    assert len(cli.audit("broker:CreateAccount")) == 1
    assert len(cli.audit("broker:DeleteAccount")) == 1


@pytest.mark.usefixtures("account")
def test_an_account_that_is_not_an_issuer_has_no_keys_to_rotate(
    cli: CommandLine,
) -> None:
    cli("account", "rotate-issuer-keys", ACCOUNT, fails=True)
    assert "has never enabled" in cli.stderr


@pytest.mark.usefixtures("account")
@cases("words")
def test_an_account_that_is_not_there_is_named(
    cli: CommandLine, words: tuple[str, ...]
) -> None:
    with pytest.raises(BrokerError, match="There is no account 999999999999"):
        cli("account", *words)


@pytest.mark.usefixtures("account")
@cases("words")
def test_an_account_that_is_deleted_meanwhile_gets_nothing_new(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    delete_first(monkeypatch)
    with pytest.raises(BrokerError, match=f"There is no account {ACCOUNT}"):
        cli(*words)
