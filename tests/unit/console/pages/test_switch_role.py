"""Switching the role from the console, and coming back."""

import json
from typing import Any

import pytest
from lxml import html
from msgspec.structs import replace

from broker.model.entities import InlinePolicy
from broker.stores.directory.kinds import ROLE
from broker.stores.directory.policies import put_inline_policy
from tests.support.administrator import grant
from tests.support.signin import (
    ACCOUNT,
    COOKIE,
    SignInWorld,
    form_fields,
    role_arn,
    text_of,
)

SAME = {"sec-fetch-site": "same-origin"}
SWITCH, BACK = "/console/switch", "/console/switch/back"


async def let_in(world: SignInWorld, *names: str) -> None:
    """The roles trust the account, and the reader may take them."""
    fresh = world.services.fresh
    reader = await fresh.named(ROLE, ACCOUNT, "Reader")
    assert reader is not None
    may = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}
    root = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    trust = {"Effect": "Allow", "Principal": root, "Action": "sts:*"}
    roles = [await fresh.named(ROLE, ACCOUNT, name) for name in names]
    async with world.services.stores.directory.change(ACCOUNT) as change:
        await put_inline_policy(
            change,
            InlinePolicy(
                account=ACCOUNT,
                owner_id=reader.role_id,
                name="Switch",
                document=json.dumps({"Version": "2012-10-17", "Statement": may}),
            ),
        )
        for role in roles:
            assert role is not None
            document = json.dumps({"Version": "2012-10-17", "Statement": trust})
            await change.update(ROLE, replace(role, trust_policy=document))


async def switch(browser: Any, role: str) -> Any:
    fields = form_fields(await browser.get("/console/"), "/console/sign-out")
    return await browser.post(SWITCH, data={**fields, "role": role}, headers=SAME)


async def back(browser: Any) -> Any:
    fields = form_fields(await browser.get("/console/"), BACK)
    return await browser.post(BACK, data=fields, headers=SAME)


RECENT, NAMED = "You used it recently", "Your policies name it"


async def offered(browser: Any, why: str) -> list[str]:
    """The ARNs of the roles that the page lists for this reason."""
    page = html.fromstring((await browser.get(SWITCH)).text)
    rows = page.xpath(f"//tbody/tr[td[text()='{why}']]")
    return [str(row.xpath(".//input[@name='role']/@value")[0]) for row in rows]


async def who_is(browser: Any) -> str:
    return text_of(await browser.get("/console/"))


@pytest.mark.parametrize("role", ["Admin", role_arn("Admin")])
async def test_switching_and_coming_back(world: SignInWorld, role: str) -> None:
    await let_in(world, "Admin")
    browser = world.browser()
    await world.sign_in(browser)
    cookies = [browser.cookies[COOKIE]]
    answer = await switch(browser, role)
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/")
    cookies.append(browser.cookies[COOKIE])
    home = await who_is(browser)
    assert "assumed-role/Admin/alice@example.com" in home
    assert f"Switched fromarn:aws:sts::{ACCOUNT}:assumed-role/Reader/alice" in home
    assert (await world.recorded("sts:AssumeRole")).door == "console"
    assert (await back(browser)).status_code == 303
    home = await who_is(browser)
    assert "assumed-role/Reader/alice@example.com" in home
    assert "Switched from" not in home
    assert await offered(browser, RECENT) == [role_arn("Admin")]
    for old in cookies:
        stale = await world.browser(cookies={COOKIE: old}).get("/console/")
        assert stale.status_code == 303


async def test_switching_again_starts_from_the_first_session(
    world: SignInWorld,
) -> None:
    await let_in(world, "Admin", "Brief")
    browser = world.browser()
    await world.sign_in(browser)
    await switch(browser, "Admin")
    await switch(browser, "Brief")
    assert "assumed-role/Brief/" in await who_is(browser)
    record = await world.recorded("sts:AssumeRole")
    assert "assumed-role/Reader/" in record.caller_arn
    await back(browser)
    assert "assumed-role/Reader/" in await who_is(browser)


async def test_a_role_that_does_not_let_in_is_said_and_the_text_is_kept(
    world: SignInWorld,
) -> None:
    browser = world.browser()
    await world.sign_in(browser)
    before = browser.cookies[COOKIE]
    for role, status in (
        ("Admin", 403),
        ("Missing", 403),
        ("<b>", 400),
        ("", 400),
        ("arn:aws:iam::1:role/x", 400),
    ):
        page = await switch(browser, role)
        assert page.status_code == status
        assert 'role="alert"' in page.text
        assert "<b>" not in page.text
    assert browser.cookies[COOKIE] == before
    assert "assumed-role/Reader/" in await who_is(browser)


async def test_a_link_fills_in_the_role_and_switches_nothing(
    world: SignInWorld,
) -> None:
    await let_in(world, "Admin")
    browser = world.browser()
    await world.sign_in(browser)
    page = await browser.get(SWITCH, params={"role": role_arn("Admin")})
    assert f'value="{role_arn("Admin")}"' in page.text
    assert "assumed-role/Reader/" in await who_is(browser)


async def test_signing_out_ends_the_first_session_here_too(world: SignInWorld) -> None:
    await let_in(world, "Admin")
    browser = world.browser()
    await world.sign_in(browser)
    await switch(browser, "Admin")
    switched = browser.cookies[COOKIE]
    fields = form_fields(await browser.get("/console/"), "/console/sign-out")
    await browser.post("/console/sign-out", data=fields, headers=SAME)
    stale = await world.browser(cookies={COOKIE: switched}).get("/console/")
    assert stale.status_code == 303


async def test_roles_used_last_are_there_at_the_next_sign_in_and_for_no_one_else(
    world: SignInWorld,
) -> None:
    await let_in(world, "Admin", "Brief")
    browser = world.browser()
    await world.sign_in(browser)
    assert await offered(browser, RECENT) == []
    for role in ("Admin", "Brief", "Admin", "Brief"):
        await switch(browser, role)
    # The role that one is in is not an offer.
    assert await offered(browser, RECENT) == [role_arn("Admin")]
    again = world.browser()
    await world.sign_in(again)
    assert await offered(again, RECENT) == [role_arn("Brief"), role_arn("Admin")]
    bob = world.browser()
    await world.sign_in(bob, aws={"session_name": "bob@example.com"})
    assert await offered(bob, RECENT) == []


async def test_roles_that_policies_name_are_offered_from_where_one_signed_in(
    world: SignInWorld,
) -> None:
    await let_in(world, "Admin")
    await grant(world, "sts:AssumeRole", role="Reader", resource=role_arn("Brief"))
    browser = world.browser()
    await world.sign_in(browser)
    assert await offered(browser, NAMED) == [role_arn("Brief")]
    await switch(browser, "Admin")
    # It is the first session that switches, so its policies count.
    assert await offered(browser, NAMED) == [role_arn("Brief")]
    deny = {"effect": "Deny", "resource": role_arn("Brief")}
    await grant(world, "sts:AssumeRole", role="Reader", **deny)
    assert await offered(browser, NAMED) == []
