import asyncio
import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from broker.cli.operator import with_services
from broker.compose.app import Broker
from broker.compose.resealing import Resealer, ResealingResult
from broker.compose.services import Services
from broker.kinds.outbound import Outbound, first_keys, with_outbound
from broker.model.account import AccountId
from broker.model.entities import OidcProvider
from broker.sessions.keys import SESSION_MAX, KeyringError
from broker.sessions.vault import key_number
from broker.sessions.watched import KeptToken
from broker.settings import load_settings
from broker.stores.directory import kinds
from broker.stores.directory.accounts import update_account
from tests.unit.cli.conftest import ACCOUNT, CommandLine


def let_pass(cli: CommandLine, time: timedelta = timedelta(minutes=3)) -> None:
    """Move the keys' beginning into the past, as waiting would."""
    with closing(sqlite3.connect(cli.folder / "data" / "broker.db")) as database:
        database.execute(
            "UPDATE sealing_keys SET seals_from = seals_from - ?",
            (time // timedelta(microseconds=1),),
        )
        database.commit()


def reseal() -> ResealingResult:
    """What a worker does from time to time, until it has nothing to do."""

    async def work(services: Services) -> ResealingResult:
        resealer = Resealer(services)
        first = await resealer.look()
        await resealer.look()
        return first

    return with_services(work)


def uses(cli: CommandLine) -> dict[int, tuple[str, str]]:
    return {
        key["number"]: (key["kind"], key["use"])
        for key in cli.lines("keys", "list", "--json")
    }


def keep_refresh_token() -> None:
    """Of a sign-in whose provider is asked about the person."""
    provider = OidcProvider(
        account=AccountId(ACCOUNT),
        unique_id="OIDCP1",
        url="https://idp.example.com",
        client_ids=("client",),
        thumbprints=(),
        created_at=datetime.now(UTC),
    )

    async def work(services: Services) -> None:
        token = KeptToken(token="refresh", roles={})
        await services.watched.begin(provider, "client", "ann", token)

    with_services(work)


@pytest.mark.usefixtures("account")
def test_keys_are_listed_without_their_secrets(cli: CommandLine) -> None:
    assert uses(cli) == {
        1: ("session", "seals and opens"),
        2: ("storage", "seals and opens"),
    }
    keyring = json.loads((cli.folder / "data" / "keyring.json").read_text())
    printed = cli("keys", "list") + cli("keys", "list", "--json")
    assert all(key["secret"] not in printed for key in keyring["master_keys"])


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
def test_nothing_is_sealed_again_before_every_node_has_the_new_key(
    cli: CommandLine,
) -> None:
    cli("keys", "rotate", "--kind", "storage")
    assert reseal().changed == 0
    let_pass(cli, timedelta(minutes=1))
    assert reseal().changed == 0


def test_stored_secrets_are_sealed_again_and_the_old_key_is_dropped(
    cli: CommandLine, account: Any
) -> None:
    keep_refresh_token()
    cli("keys", "rotate", "--kind", "storage")
    let_pass(cli)
    assert reseal().changed == 2
    assert uses(cli)[2] == ("storage", "opens")
    assert reseal().changed == 0
    let_pass(cli, SESSION_MAX)
    reseal()
    assert set(uses(cli)) == {1, 3}
    # The secret is what it was: revoking the new key names it.
    assert account["AccessKeyId"] in cli("keys", "revoke", "3")


def test_a_secret_whose_key_was_revoked_is_named(
    cli: CommandLine, account: Any
) -> None:
    printed = cli("keys", "revoke", "2")
    assert f"access key {account['AccessKeyId']} of account {ACCOUNT}" in printed
    assert reseal() == ResealingResult()


@pytest.mark.usefixtures("account")
def test_revoking_takes_over_with_a_new_key_and_is_audited(cli: CommandLine) -> None:
    assert "Key 1 (session) was revoked" in cli("keys", "revoke", "1")
    results = uses(cli)
    assert results[1] == ("session", "refused")
    assert results[3] == ("session", "seals and opens")
    (record,) = cli.audit("broker:RevokeKey")
    assert record["parameters"] == {"Key": 1, "Kind": "session"}


@pytest.mark.usefixtures("account")
def test_an_unknown_key_cannot_be_revoked(cli: CommandLine) -> None:
    with pytest.raises(KeyringError):
        cli("keys", "revoke", "99")
    assert cli.audit("broker:RevokeKey") == []


@pytest.mark.usefixtures("account")
def test_a_key_with_which_something_is_still_sealed_is_kept(cli: CommandLine) -> None:
    cli("keys", "rotate", "--kind", "storage")
    # Somebody moved a sealed value from one row into another: it does not open there.
    with closing(sqlite3.connect(cli.folder / "data" / "broker.db")) as database:
        database.execute("UPDATE access_keys SET access_key_id = 'AKIAMOVED'")
        database.commit()
    let_pass(cli, 2 * SESSION_MAX)
    result = reseal()
    assert result.changed == 0
    assert [value.entity for value in result.broken] == ["AKIAMOVED"]
    assert uses(cli)[2] == ("storage", "opens")


@pytest.mark.usefixtures("account")
def test_an_issuers_keys_are_sealed_again(cli: CommandLine) -> None:
    async def switch_on(services: Services) -> None:
        number, vault, now = AccountId(ACCOUNT), services.vault, services.clock.now()
        async with services.stores.directory.change(number) as change:
            account = await change.find(kinds.ACCOUNT, number)
            assert account is not None
            keys = first_keys(number, vault, now)
            outbound = Outbound(enabled=True, keys=keys)
            await update_account(change, with_outbound(account, outbound))

    with_services(switch_on)
    cli("account", "rotate-issuer-keys", ACCOUNT)
    cli("keys", "rotate", "--kind", "storage")
    let_pass(cli)
    assert reseal().broken == []
    revoked = cli("keys", "revoke", "3")
    for kid in ("RSA_0", "RSA_1", "EC384_0", "EC384_1"):
        assert kid in revoked


@pytest.mark.usefixtures("account")
def test_the_service_seals_again_by_itself(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli("keys", "rotate", "--kind", "storage")
    let_pass(cli)
    monkeypatch.setattr("broker.compose.resealing._INTERVAL_SECONDS", 0.01)

    async def serve() -> None:
        service = Broker(load_settings())
        started, ended = asyncio.Event(), asyncio.Event()
        events = iter((asyncio.sleep(0), ended.wait()))

        async def receive() -> dict[str, Any]:
            await next(events)
            return {}

        async def send(message: Any) -> None:
            assert message["type"].endswith(".complete")
            started.set()

        task = asyncio.create_task(service({"type": "lifespan"}, receive, send))
        await started.wait()
        async with asyncio.timeout(20):
            while storage_keys_in_use(cli) != {3}:  # noqa: ASYNC110  # no event
                await asyncio.sleep(0.05)
        ended.set()
        await task

    asyncio.run(serve())


def storage_keys_in_use(cli: CommandLine) -> set[int]:
    with closing(sqlite3.connect(cli.folder / "data" / "broker.db")) as database:
        rows = database.execute("SELECT sealed_secret FROM access_keys")
        return {key_number(sealed) for (sealed,) in rows}


def masters(text: str) -> list[str]:
    return [key["id"] for key in json.loads(text)["master_keys"]]


def test_the_master_key_is_replaced_with_two_in_the_file(
    cli: CommandLine, account: Any
) -> None:
    path = cli.folder / "data" / "keyring.json"
    (old,) = masters(path.read_text())
    cli("keys", "rotate", "--kind", "session")
    cli("keys", "revoke", "1")
    both = cli("keys", "rewrap", "--new")
    assert masters(path.read_text()) == [old]
    new, again = masters(both)
    assert again == old
    first, then = " ".join(cli.stderr.split()).split(" Then ")
    assert f"Put this file in place of {path} on every node" in first
    assert f"has no {new} " in first
    assert then.startswith("run `broker keys rewrap` on one node")

    replace_file(path, both)
    (told,) = (line for line in doctor(cli) if "2 master keys" in line["text"])
    assert "same file, run `broker keys rewrap` on one node" in told["remedy"]
    printed = cli("keys", "rewrap")
    assert f"wrapped with the master key {new}" in printed
    assert f"Every node must have {new} in its keyring" in printed
    assert f"take {old} out" in printed
    (record,) = cli.audit("broker:RewrapKeys")
    assert record["parameters"] == {"MasterKey": new}

    content = json.loads(both)
    content["master_keys"] = content["master_keys"][:1]
    replace_file(path, json.dumps(content))
    assert account["AccessKeyId"] in cli("keys", "revoke", "2")
    content["master_keys"] = json.loads(both)["master_keys"][1:]
    replace_file(path, json.dumps(content))
    with pytest.raises(KeyringError, match=f"master key {new}"):
        cli("keys", "list")


def replace_file(path: Path, text: str) -> None:
    path.unlink()
    path.touch(mode=0o600)
    path.write_text(text)


def doctor(cli: CommandLine) -> list[Any]:
    return cli.parse(cli("doctor", "--json"))
