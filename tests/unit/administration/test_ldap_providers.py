"""Directories among the identity providers of the console, to read."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from lxml import html

from broker.stores.directory.kinds import LDAP_PROVIDER
from tests.support.administrator import enter, grant
from tests.support.directory_world import (
    NAME,
    PROVIDER,
    PROVIDER_ID,
    directory_world,
    send_password,
    sign_in,
    trust_directory,
)
from tests.support.signin import ACCOUNT, ORIGIN, OTHER, SignInWorld, role_arn, text_of
from tests.support.slapd import Slapd, dn_of, group, person, start_slapd

pytestmark = pytest.mark.allow_hosts(["127.0.0.1", "::1"])

LIST = "/console/providers"
DETAIL = "/console/providers/provider"
GROUPS = {"staff": ["Staff"], "<b>admins": ["Staff", "Chief"]}


@pytest.fixture(scope="module")
def slapd() -> Iterator[Slapd]:
    with start_slapd(person("ann"), group("staff", dn_of("ann"))) as server:
        yield server


def row_of(page: str, name: str) -> str:
    (row,) = html.fromstring(page).xpath(f"//tr[th/a[text()='{name}']]")
    return " ".join(" ".join(row.itertext()).split())


async def test_both_pages_tell_when_people_came_in(
    tmp_path: Path, slapd: Slapd
) -> None:
    async with directory_world(tmp_path, slapd, GROUPS) as world:
        await grant(world, "iam:*", "broker:ListLDAPProviders")
        admin = await enter(world)
        # Not watched, so the others' badges are not for it.
        before = row_of((await admin.see(LIST)).text, NAME)
        assert before == "corp Directory Not monitored Never Never"
        await sign_in(world.browser(), "ann")
        await world.services.uses.flush()
        assert row_of((await admin.see(LIST)).text, NAME).count("Never") == 1
        await send_password(world.browser(), "ann", "wrong")
        await world.services.uses.flush()
        assert "Never" not in row_of((await admin.see(LIST)).text, NAME)
        assert "Never" not in text_of(await admin.see(DETAIL, arn=PROVIDER))


async def test_one_says_what_it_gives_and_how_it_is_tried(world: SignInWorld) -> None:
    await trust_directory(world, ACCOUNT, GROUPS)
    await grant(world, "iam:ListRoles", "broker:ListLDAPProviders")
    admin = await enter(world)
    page = await admin.see(DETAIL, arn=PROVIDER)
    text = text_of(page)
    for wanted in (
        PROVIDER,
        f"{ORIGIN}/signin/{ACCOUNT}/with/{PROVIDER_ID}",
        "sts:AssumeRoleWithLDAPIdentity",
        "corp:groups",
        "<b>admins",
        role_arn("Chief"),
        "SignIn",
        f"broker providers test {PROVIDER} --user NAME",
        "broker apply",
    ):
        assert wanted in text, wanted
    trusting = html.fromstring(page.text).xpath("//section[h2/@id='roles']//li/a/@href")
    assert {entry.rpartition("=")[2] for entry in trusting} == {"Chief", "Staff"}
    assert not html.fromstring(page.text).xpath(f"//main//form[@action='{DETAIL}']")


async def test_nothing_posted_changes_one(world: SignInWorld) -> None:
    await trust_directory(world, ACCOUNT, GROUPS)
    await grant(world, "*")
    admin = await enter(world)
    page = await admin.see(DETAIL, arn=PROVIDER)
    for do in ("delete", "check", "tag", "metadata"):
        answer = await admin.post(
            page, DETAIL, arn=PROVIDER, do=do, sure=NAME, tags="a=b"
        )
        assert answer.status_code == 400, do
    providers = await world.services.stores.directory.all_of(LDAP_PROVIDER, ACCOUNT)
    assert [provider.name for provider in providers] == [NAME]


async def test_who_may_not_list_them_sees_none(world: SignInWorld) -> None:
    await trust_directory(world, ACCOUNT, GROUPS)
    await grant(world, "iam:*")
    admin = await enter(world)
    listed = await admin.see(LIST)
    assert PROVIDER not in listed.text
    assert "broker:ListLDAPProviders" in text_of(listed)
    refused = await admin.browser.get(DETAIL, params={"arn": PROVIDER})
    assert refused.status_code == 403
    assert "broker:ListLDAPProviders" in text_of(refused)


async def test_who_may_list_only_them_sees_only_them(world: SignInWorld) -> None:
    await trust_directory(world, ACCOUNT, GROUPS)
    await grant(world, "broker:ListLDAPProviders")
    admin = await enter(world)
    page = await admin.see(LIST)
    assert "corp Directory" in row_of(page.text, NAME)
    assert "iam:ListSAMLProviders" in text_of(page)
    response = await admin.see(DETAIL, arn=PROVIDER)
    assert "iam:ListRoles" in text_of(response)


async def test_anothers_is_not_there(world: SignInWorld) -> None:
    await trust_directory(world, OTHER, GROUPS)
    await grant(world, "*")
    admin = await enter(world)
    assert "ldap-provider" not in (await admin.see(LIST)).text
    for account in (ACCOUNT, OTHER):
        arn = f"arn:aws:iam::{account}:ldap-provider/corp"
        assert (await admin.browser.get(DETAIL, params={"arn": arn})).status_code == 404


async def test_proofs_of_directories_are_not_diagnosed_here(world: SignInWorld) -> None:
    """Their proof is a password, which nobody should paste."""
    await trust_directory(world, ACCOUNT, GROUPS)
    await grant(world, "*")
    admin = await enter(world)
    page = await admin.see("/console/providers/diagnose")
    assert "Corp" in text_of(page)
    assert PROVIDER not in page.text
