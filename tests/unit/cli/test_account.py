import os
import pwd
from typing import Any

import pytest

from broker.errors import BrokerError
from tests.support.deleted_meanwhile import delete_first
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
    found = cli("doctor")
    assert renewed["AccessKeyId"] in found
    assert account["AccessKeyId"] not in found


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
def test_regions_are_switched_off_and_on(cli: CommandLine) -> None:
    regions = ("account", "regions", ACCOUNT)
    assert "on everywhere" in cli(*regions)
    off = cli(*regions, "--disable", "eu-west-3", "--disable", "ap-east-1")
    assert "off in ap-east-1, eu-west-3." in off
    assert "off in ap-east-1, eu-west-3." in cli(*regions)
    assert "off in ap-east-1." in cli(*regions, "--enable", "eu-west-3")
    cli(*regions, "--disable", "us-east-1", fails=True)
    assert "cannot be switched off" in cli.stderr
    assert "on everywhere" in cli(*regions, "--enable", "ap-east-1")
    assert len(cli.audit("broker:SwitchRegions")) == 3


@pytest.mark.usefixtures("account")
def test_unlisted_policies_are_accepted_and_refused_again(cli: CommandLine) -> None:
    words = ("account", "unlisted-policies", ACCOUNT)
    assert "grant nothing" in cli(*words, "--accept")
    assert "are refused" in cli(*words, "--refuse")
    cli(*words, fails=True)
    refused, accepted = cli.audit("broker:AcceptUnlistedPolicies")
    assert accepted["parameters"] == {"Accept": "true"}
    assert refused["parameters"] == {"Accept": "false"}


@pytest.mark.usefixtures("account")
def test_an_account_may_set_providers_options_until_it_may_not(
    cli: CommandLine,
) -> None:
    words = ("account", "console-options", ACCOUNT)
    assert "in the console" in cli(*words, "--allow")
    assert "Only the operator" in cli(*words, "--refuse")
    refused, allowed = cli.audit("broker:LetConsoleSetProviderOptions")
    assert (allowed["parameters"], refused["parameters"]) == (
        {"Allow": "true"},
        {"Allow": "false"},
    )


@pytest.mark.usefixtures("account")
def test_the_managing_account_must_be_there(cli: CommandLine) -> None:
    with pytest.raises(BrokerError):
        cli("account", "manage-root", ACCOUNT, "--by", "999999999999")
    cli("account", "create", "999999999999")
    cli("account", "manage-root", ACCOUNT, "--by", "999999999999")
    assert "No other" in cli("account", "manage-root", ACCOUNT, "--by", "")
    ended, began = cli.audit("broker:ManageRoot")
    assert began["parameters"]["ManagedBy"] == "999999999999"
    assert not ended["parameters"]["ManagedBy"]


@pytest.mark.usefixtures("account")
def test_an_account_that_is_no_issuer_has_no_keys_to_rotate(cli: CommandLine) -> None:
    cli("account", "rotate-issuer-keys", ACCOUNT, fails=True)
    assert "has never enabled" in cli.stderr


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize(
    "words",
    [
        ("root-key", "999999999999", "--new"),
        ("delete", "999999999999", "--yes"),
        ("regions", "999999999999"),
        ("manage-root", "999999999999", "--by", ACCOUNT),
        ("manage-root", ACCOUNT, "--by", "999999999999"),
        ("rotate-issuer-keys", "999999999999"),
        ("unlisted-policies", "999999999999", "--accept"),
    ],
)
def test_an_account_that_is_not_there_is_named(
    cli: CommandLine, words: tuple[str, ...]
) -> None:
    with pytest.raises(BrokerError, match="There is no account 999999999999"):
        cli("account", *words)


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize(
    "words",
    [
        ("account", "root-key", ACCOUNT, "--new"),
        ("account", "delete", ACCOUNT, "--yes"),
        ("services", "set", "orders", "--account", ACCOUNT, "--host", "a.example.com"),
        ("upstreams", "set", "aws", "--no-key", "--account", ACCOUNT),
    ],
)
def test_an_account_that_is_deleted_meanwhile_gets_nothing_new(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    delete_first(monkeypatch)
    with pytest.raises(BrokerError, match=f"There is no account {ACCOUNT}"):
        cli(*words)


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("manage-root", ACCOUNT, "--by", "5"), "12-digit"),
        (("manage-root", ACCOUNT, "--by", ACCOUNT), "its own root"),
        (("regions", ACCOUNT, "--disable", "moon"), "not a region"),
        (("regions", ACCOUNT, "--disable", "us-east-1"), "cannot be switched off"),
    ],
)
def test_nonsense_is_refused(
    cli: CommandLine, words: tuple[str, ...], says: str
) -> None:
    cli("account", *words, fails=True)
    assert says in cli.stderr
