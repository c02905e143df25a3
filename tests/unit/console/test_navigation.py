import json

from lxml import html

from broker.console.navigation import ACTIONS, SECTIONS, menu
from broker.model.entities import InlinePolicy
from broker.stores.directory.kinds import ROLE
from broker.stores.directory.policies import put_inline_policy
from tests.support.signin import ACCOUNT, SignInWorld, pair


async def grant(world: SignInWorld, *actions: str) -> None:
    statement = {"Effect": "Allow", "Action": actions, "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": statement})
    async with world.services.stores.directory.change(ACCOUNT) as change:
        role = await change.named(ROLE, ACCOUNT, "Admin")
        assert role is not None
        await put_inline_policy(
            change,
            InlinePolicy(
                account=ACCOUNT, owner_id=role.role_id, name="it", document=document
            ),
        )


async def labels(world: SignInWorld) -> list[str]:
    browser = world.browser()
    await world.sign_in(browser, pair("Admin"))
    page = html.fromstring((await browser.get("/console/")).text)
    return [link.text_content() for link in page.xpath("//nav//a")]


def test_the_menu_of_no_one_has_what_is_for_everyone() -> None:
    sections = menu(())
    assert [section.label for section in sections] == ["You", "More"]
    assert not any(entry.action for section in sections for entry in section.entries)


def test_the_menu_of_an_administrator_has_everything() -> None:
    entries = [entry for section in menu(ACTIONS) for entry in section.entries]
    assert entries == [entry for section in SECTIONS for entry in section.entries]


def test_no_two_entries_are_alike() -> None:
    entries = [entry for section in SECTIONS for entry in section.entries]
    for of_all in ("name", "path", "label"):
        values = [getattr(entry, of_all) for entry in entries]
        assert len(values) == len(set(values))


async def test_pages_that_someone_may_not_use_are_not_in_their_menu(
    world: SignInWorld,
) -> None:
    assert "Audit log" not in await labels(world)
    await grant(world, "cloudtrail:LookupEvents")
    rows = await labels(world)
    assert "Audit log" in rows
    assert "Live sessions" not in rows


async def test_the_menu_is_asked_for_without_a_trace(world: SignInWorld) -> None:
    await grant(world, "*")
    browser = world.browser()
    await world.sign_in(browser, pair("Admin"))
    for page in ("search", "try"):
        assert (await browser.get(f"/console/{page}")).status_code == 200
    # What the last page itself asks is on record, and so is all before it.
    await world.recorded("broker:ListServices")
    assert {record.action for record in await world.audit()} == {
        "signin:ListRolesWithSAML",
        "sts:AssumeRoleWithSAML",
        "broker:ListServices",
    }


async def test_a_page_that_is_missing_is_said_in_the_frame(world: SignInWorld) -> None:
    browser = world.browser()
    assert (await browser.get("/console/none")).status_code == 303
    await world.sign_in(browser, pair("Admin"))
    page = await browser.get("/console/none")
    assert page.status_code == 404
    tree = html.fromstring(page.text)
    assert tree.xpath("string(//main//h1)") == "Page not found"
    assert tree.xpath("//main//form[@action='/console/search']")
    assert tree.xpath("//nav//a")
    assert (await browser.get("/console/accounts")).headers["location"] == "/console/"
