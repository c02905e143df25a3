"""``broker instances`` against a real installation."""

import asyncio

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from broker.compose.services import open_services
from broker.errors import BrokerError, NoSuchEntity
from broker.model.request import Door
from broker.settings import load_settings
from tests.support.calls import RAW
from tests.support.machines import public_text
from tests.unit.cli.conftest import ACCOUNT, CommandLine

PUBLIC_KEY = public_text(Ed25519PrivateKey.generate())

TEMPLATE = f"""\
Accounts:
  '{ACCOUNT}':
    InstanceProfiles:
      - InstanceProfileName: web
"""


@pytest.fixture(autouse=True)
def _account(account: object) -> None:
    pass


@pytest.fixture(autouse=True)
def _profile(applied: object, _account: object) -> None:
    assert callable(applied)
    applied(TEMPLATE)


def register(token: str) -> str:
    """A machine's id; it registers as the agent does, without a server."""
    return asyncio.run(_register(token))


async def _register(token: str) -> str:
    async with open_services(load_settings()) as services:
        action = services.registry.get("broker", "RegisterInstance")
        request = services.pipeline.receive(RAW, "test", Door.API)
        params = {"JoinToken": token, "PublicKey": PUBLIC_KEY}
        answer = await services.pipeline.perform(request, action, lambda: params)
        name: str = answer["InstanceAssociation"]["InstanceId"]
        return name


def test_a_machine_is_admitted_changed_and_ended(cli: CommandLine) -> None:
    made = cli.json("instances", "join-token", "web", "--account", ACCOUNT)
    assert made["Token"].startswith(f"bjt.{ACCOUNT}.")
    name = register(made["Token"])
    (listed,) = cli.lines("instances", "list", "--json")
    assert (listed["InstanceId"], listed["InstanceProfileName"]) == (name, "web")
    assert listed["RegisteredBy"].endswith(made["TokenId"])
    assert name in cli("instances", "list", "--account", ACCOUNT)
    words = ("instances", "associate", name, "--account", ACCOUNT)
    cli(*words, "--detach")
    assert cli.lines("instances", "list", "--json")[0]["InstanceProfileName"] is None
    cli(*words, "web")
    assert cli.lines("instances", "list", "--json")[0]["InstanceProfileName"] == "web"
    cli(*words, fails=True)
    cli("instances", "delete", name, "--account", ACCOUNT)
    assert cli.lines("instances", "list", "--json") == []
    (ended,) = cli.audit("broker:EndInstance")
    assert ended["parameters"] == {"InstanceId": name}
    with pytest.raises(NoSuchEntity):
        cli("instances", "delete", name, "--account", ACCOUNT)


def test_a_join_token_is_kept_as_a_hash_alone(cli: CommandLine) -> None:
    words = ("instances", "join-token", "web", "--account", ACCOUNT)
    made = cli.json(*words, "--seconds", "60", "--address", "10.0.0.0/8")
    secret = made["Token"].rpartition(".")[2]
    stored = b"".join(p.read_bytes() for p in cli.folder.rglob("broker.db*"))
    assert secret.encode() not in stored
    assert secret not in cli("audit", "--json")
    (record,) = cli.audit("broker:CreateJoinToken")
    assert record["parameters"]["Addresses"] == ["10.0.0.0/8"]
    for bad in (("--seconds", "59"), ("--seconds", "129601"), ("--address", "x")):
        with pytest.raises(BrokerError):
            cli(*words, *bad)
    with pytest.raises(NoSuchEntity):
        cli("instances", "join-token", "db", "--account", ACCOUNT)
