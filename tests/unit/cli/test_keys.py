import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from broker.cli.operator import with_services
from broker.identities.outbound import Outbound, first_keys, with_outbound
from broker.model.account import AccountId
from broker.services import Services
from broker.sessions.keys import KeyringError
from tests.unit.cli.conftest import ACCOUNT, CommandLine


def let_a_minute_pass(cli: CommandLine) -> None:
    """Move the newest keys' beginning into the past, as waiting would."""
    path = cli.folder / "data" / "keyring.json"
    content = json.loads(path.read_text())
    now = datetime.now(UTC)
    for key in content["keys"]:
        if datetime.fromisoformat(key["seals_from"]) > now:
            key["seals_from"] = (now - timedelta(seconds=1)).isoformat()
    path.write_text(json.dumps(content))


def uses(cli: CommandLine) -> dict[int, tuple[str, str]]:
    return {
        key["number"]: (key["kind"], key["use"])
        for key in cli.lines("keys", "list", "--json")
    }


@pytest.mark.usefixtures("account")
def test_keys_are_listed_without_their_secrets(cli: CommandLine) -> None:
    assert uses(cli) == {
        1: ("session", "seals and opens"),
        2: ("storage", "seals and opens"),
    }
    keyring = json.loads((cli.folder / "data" / "keyring.json").read_text())
    printed = cli("keys", "list") + cli("keys", "list", "--json")
    assert all(key["secret"] not in printed for key in keyring["keys"])


@pytest.mark.usefixtures("account")
def test_a_rotated_key_opens_and_does_not_seal_yet(cli: CommandLine) -> None:
    cli("keys", "rotate", "--kind", "session")
    assert uses(cli) == {
        1: ("session", "seals and opens"),
        2: ("storage", "seals and opens"),
        3: ("session", "opens, does not seal yet"),
    }
    (record,) = cli.audit("broker:RotateKeys")
    assert record["parameters"] == {"Kind": "session", "Key": 3}


@pytest.mark.usefixtures("account")
def test_nothing_is_sealed_again_before_the_new_key_seals(cli: CommandLine) -> None:
    cli("keys", "rotate", "--kind", "storage", "--no-wait")
    cli("keys", "reseal", fails=True)
    assert "try again in a minute" in cli.stderr


def test_stored_secrets_are_sealed_again_and_the_old_key_is_dropped(
    cli: CommandLine, account: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.cli.keys._FOLLOWS_WITHIN", timedelta())
    cli("keys", "rotate", "--kind", "storage", "--no-wait")
    let_a_minute_pass(cli)
    printed = cli("keys", "reseal")
    assert "Resealed: 1" in printed
    assert "Dropped storage key 2." in printed
    assert uses(cli)[3] == ("storage", "seals and opens")
    keyring = json.loads((cli.folder / "data" / "keyring.json").read_text())
    assert keyring["keys"][1]["secret"] is None
    assert "Resealed: 0" in cli("keys", "reseal")
    # The secret is what it was: revoking the new key names it.
    assert account["AccessKeyId"] in cli("keys", "revoke", "3")


def test_a_secret_that_does_not_open_is_named_and_keeps_no_key(
    cli: CommandLine, account: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.cli.keys._FOLLOWS_WITHIN", timedelta())
    printed = cli("keys", "revoke", "2")
    assert f"access key {account['AccessKeyId']} of account {ACCOUNT}" in printed
    assert "Resealed: 0" in cli("keys", "reseal")
    assert account["AccessKeyId"] in cli.stderr


@pytest.mark.usefixtures("account")
def test_revoking_takes_over_with_a_new_key_and_is_audited(cli: CommandLine) -> None:
    assert "Key 1 (session) was revoked" in cli("keys", "revoke", "1")
    found = uses(cli)
    assert found[1] == ("session", "refused")
    assert found[3] == ("session", "seals and opens")
    (record,) = cli.audit("broker:RevokeKey")
    assert record["parameters"] == {"Key": 1, "Kind": "session"}


@pytest.mark.usefixtures("account")
def test_an_unknown_key_cannot_be_revoked(cli: CommandLine) -> None:
    with pytest.raises(KeyringError):
        cli("keys", "revoke", "99")
    assert cli.audit("broker:RevokeKey") == []


@pytest.mark.usefixtures("account")
def test_a_key_with_which_something_is_still_sealed_is_kept(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.cli.keys._FOLLOWS_WITHIN", timedelta())
    cli("keys", "rotate", "--kind", "storage", "--no-wait")
    let_a_minute_pass(cli)
    # Somebody moved a sealed value from one row into another: it does not open there.
    with closing(sqlite3.connect(cli.folder / "data" / "broker.db")) as database:
        database.execute("UPDATE access_keys SET access_key_id = 'AKIAMOVED'")
        database.commit()
    printed = cli("keys", "reseal")
    assert "Resealed: 0" in printed
    assert "Dropped" not in printed
    assert "AKIAMOVED" in cli.stderr
    assert uses(cli)[2] == ("storage", "opens")


@pytest.mark.usefixtures("account")
def test_an_issuers_keys_are_sealed_again(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.cli.keys._FOLLOWS_WITHIN", timedelta())

    async def switch_on(services: Services) -> None:
        number, vault, now = AccountId(ACCOUNT), services.vault, services.clock.now()
        async with services.stores.directory.change(number) as change:
            found = await change.find_account(number)
            assert found is not None
            keys = first_keys(number, vault, now)
            outbound = Outbound(enabled=True, keys=keys)
            await change.update_account(with_outbound(found, outbound))

    with_services(switch_on)
    cli("account", "rotate-issuer-keys", ACCOUNT)
    cli("keys", "rotate", "--kind", "storage", "--no-wait")
    let_a_minute_pass(cli)
    assert "Dropped storage key 2." in cli("keys", "reseal")
    revoked = cli("keys", "revoke", "3")
    for kid in ("RSA_0", "RSA_1", "EC384_0", "EC384_1"):
        assert kid in revoked
