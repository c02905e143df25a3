"""What a new administrator is led to on the home page, and until when."""

import json
import re
from pathlib import Path

from lxml import html
from msgspec.structs import replace

from broker.console.pages.first_steps import _STEPS
from broker.proofs.refusals import name_reason
from broker.stores.directory.kinds import ROLE as ROLES
from tests.support.administrator import Administrator, enter, grant
from tests.support.signin import ACCOUNT, SignInWorld

DOCS = Path(__file__).parents[4] / "docs"
HOME, STEPS, ROLE = "/console/", "/console/first-steps", "/console/roles/role"
ADMINISTRATOR = "arn:aws:iam::aws:policy/AdministratorAccess"
SIGN_IN = "Sign in once with the provider"
TRUST = "Create a role that trusts the provider"
SECOND = "Appoint a second administrator"
BACKUP = "Back up the database and the master key"


async def left(admin: Administrator) -> list[str]:
    """The titles of the steps that are to be done."""
    page = html.fromstring((await admin.see(HOME)).text)
    rows = page.xpath("//section[@aria-labelledby='first-steps']//li//p[1]")
    texts = [" ".join(row.text_content().split()) for row in rows]
    return [text.removesuffix(" to do") for text in texts if text.endswith(" to do")]


async def test_an_administrator_sees_what_is_left_until_it_is_done(
    world: SignInWorld,
) -> None:
    await grant(world, "*")
    admin = await enter(world)
    # A provider and roles are there.
    assert await left(admin) == [SIGN_IN, SECOND, BACKUP]
    await admin.do(await admin.see(HOME), STEPS, do="backup")
    assert await left(admin) == [SIGN_IN, SECOND]
    while await world.services.stores.ledger.count(name_reason):
        pass
    assert await left(admin) == [SECOND]
    for role in ("Admin", "Reader"):
        page = await admin.see(ROLE, name=role)
        answer = await admin.send(
            page, f"{ROLE}?name={role}", do="attach", policy=ADMINISTRATOR
        )
        assert answer.status_code == 303
    assert "first-steps" not in (await admin.see(HOME)).text


def test_how_to_leads_to_a_section_of_the_documentation() -> None:
    for _, _, _, recipe in _STEPS:
        page, _, section = recipe.partition("#")
        text = (DOCS / page).with_suffix(".md").read_text("utf-8")
        titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
        assert not section or section in {
            title.lower().replace(" ", "-") for title in titles
        }


async def test_the_steps_are_put_away_for_one_person(world: SignInWorld) -> None:
    await grant(world, "*")
    admin = await enter(world)
    await admin.do(await admin.see(HOME), STEPS, do="hide")
    assert await left(admin) == []
    assert await left(await enter(world)) == []
    await grant(world, "*", role="Brief")
    assert SECOND in await left(await enter(world, "Brief"))


async def test_who_may_not_see_the_account_is_not_led(world: SignInWorld) -> None:
    await grant(world, "iam:ListRoles", "iam:ListEntitiesForPolicy")
    assert await left(await enter(world)) == []


async def test_only_a_role_that_trusts_a_provider_counts(world: SignInWorld) -> None:
    await grant(world, "*")
    admin = await enter(world)
    anyone = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": "*"}}
    trust = json.dumps({"Version": "2012-10-17", "Statement": anyone})
    async with world.services.stores.directory.change(ACCOUNT) as change:
        for role in await change.all_of(ROLES, ACCOUNT):
            await change.update(ROLES, replace(role, trust_policy=trust))
    assert TRUST in await left(admin)
