"""Machines in the console: admitted, given other profiles, ended."""

import base64
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from lxml import html

from broker.kinds.instances import INSTANCE_PROFILES, add_role
from broker.kinds.roles import ROLES
from broker.kinds.rules import Work, create
from tests.support.administrator import Administrator, enter, grant
from tests.support.in_process import InProcess
from tests.support.machines import TRUST
from tests.support.signin import ACCOUNT, SignInWorld, open_world, text_of

LIST, NEW = "/console/instances", "/console/instances/join"
DETAIL = "/console/instances/instance"
TOKEN_FORM = f"{NEW}#secret"


@pytest.fixture
async def admin(world: SignInWorld) -> Administrator:
    await grant(world, "*")
    return await enter(world)


async def add_profiles(admin: Administrator, *names: str) -> None:

    world = admin.world
    async with world.services.stores.directory.change(ACCOUNT) as change:
        for name in names:
            work = Work(
                change=change, account=ACCOUNT, region="", now=world.clock.now(), by=""
            )
            params = {"RoleName": name, "AssumeRolePolicyDocument": TRUST}
            role = await create(ROLES, params, work)
            params = {"InstanceProfileName": name}
            profile = await create(INSTANCE_PROFILES, params, work)
            await add_role(change, profile, role)


async def make_token(admin: Administrator, **typed: str) -> str:
    made = await admin.send(
        await admin.see(NEW), TOKEN_FORM, **{"profile": "web", **typed}
    )
    assert made.status_code == 200, text_of(made)
    (token,) = html.fromstring(made.text).xpath("//pre[@id='token']//text()")
    assert "/etc/broker-agent.toml" in text_of(made)
    return str(token)


async def join(admin: Administrator, token: str) -> str:
    """A machine registers; its id."""
    key = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    broker = InProcess(admin.world.services, admin.world.clock, admin.world.browser())
    made = await broker.ask(
        "broker",
        "RegisterInstance",
        None,
        JoinToken=token,
        PublicKey=base64.b64encode(key).decode(),
    )
    name: str = made["InstanceAssociation"]["InstanceId"]
    return name


async def test_the_settings_name_this_broker_and_its_region(tmp_path: Path) -> None:
    async with open_world(tmp_path, home_region="eu-central-1") as world:
        await grant(world, "*")
        admin = await enter(world)
        await add_profiles(admin, "web")
        made = await admin.send(await admin.see(NEW), TOKEN_FORM, profile="web")
        (text,) = html.fromstring(made.text).xpath("//pre[@id='settings']//text()")
        settings = tomllib.loads(text)
        assert settings["endpoint"] == world.services.settings.public_origin
        assert settings["region"] == "eu-central-1"


async def test_a_machine_is_admitted_given_another_profile_and_ended(
    admin: Administrator,
) -> None:
    assert "No machine has registered yet" in text_of(await admin.see(LIST))
    assert "There is no instance profile yet" in text_of(await admin.see(NEW))
    await add_profiles(admin, "web", "db")
    token = await make_token(admin, minutes="5", addresses="127.0.0.0/8, ::1/128")
    listed = text_of(await admin.see(LIST))
    assert "127.0.0.0/8, ::1/128" in listed
    assert token not in listed
    name = await join(admin, token)
    listed = text_of(await admin.see(LIST))
    assert name in listed
    assert "Unused join tokens None" in " ".join(listed.split())
    here = f"{DETAIL}?id={name}"
    page = await admin.see(DETAIL, id=name)
    assert ":instance-profile/web" in text_of(page)
    page = await admin.do(page, here, profile="db", do="associate")
    assert ":instance-profile/db" in text_of(page)
    page = await admin.do(page, here, do="detach")
    assert ":instance-profile/" not in text_of(page)
    page = await admin.do(page, here, do="end")
    assert "Instance ended." in text_of(page)
    assert name not in text_of(await admin.see(LIST))


async def test_lists_are_searched(admin: Administrator) -> None:
    await add_profiles(admin, "web", "db")
    web = await join(admin, await make_token(admin))
    db = await join(admin, await make_token(admin, profile="db"))
    assert web in text_of(response := await admin.see(LIST, q="/web"))
    assert db not in text_of(response)
    assert db in text_of(await admin.see(LIST, q=db[4:10]))
    assert "No matching instances" in text_of(await admin.see(LIST, q="nothing"))


async def test_a_token_is_deleted(admin: Administrator) -> None:
    await add_profiles(admin, "web")
    await make_token(admin)
    page = await admin.see(LIST)
    (token,) = html.fromstring(page.text).xpath(
        "//form[@method='post'][@action='/console/instances']/input[@name='token']/@value"
    )
    page = await admin.do(page, LIST, token=token, do="delete")
    assert token not in text_of(page)
    again = await admin.post(page, LIST, token=token)
    assert "cannot be found" in text_of(again)


@pytest.mark.parametrize(
    "typed",
    [
        {"minutes": "0"},
        {"minutes": "2161"},
        {"minutes": "x"},
        {"minutes": "9999999"},
        {"addresses": "10.0.0.1/8"},
        {"profile": "no-such"},
    ],
)
async def test_what_cannot_be_made(admin: Administrator, typed: dict[str, str]) -> None:
    await add_profiles(admin, "web")
    made = await admin.send(
        await admin.see(NEW), TOKEN_FORM, **{"profile": "web", **typed}
    )
    tree = html.fromstring(made.text)
    assert not tree.xpath("//pre[@id='token']")
    assert tree.xpath("//*[@role='alert']")


async def test_pages_of_someone_who_may_not(world: SignInWorld) -> None:
    await grant(world, "broker:ListInstances")
    admin = await enter(world)
    await add_profiles(admin, "web")
    text = text_of(await admin.see(LIST))
    assert "broker:ListJoinTokens" in text
    text = text_of(await admin.see(NEW))
    assert "iam:ListInstanceProfiles" in text


async def test_passing_a_role_is_asked_for(world: SignInWorld) -> None:
    await grant(world, "broker:*", "iam:List*")
    admin = await enter(world)
    await add_profiles(admin, "web")
    made: Any = await admin.send(await admin.see(NEW), TOKEN_FORM, profile="web")
    assert "iam:PassRole" in text_of(made)
    assert json.dumps("bjt.")[1:-1] not in text_of(made)
