"""The portal: the roles that one could assume, their credentials, and favourites."""

import json
from collections.abc import Iterable
from typing import Any

import pytest
from lxml import html

from broker.actions.signin import own_roles
from broker.model.account import AccountId
from broker.model.entities import Role
from broker.stores.directory.kinds import ROLE
from tests.support.administrator import grant
from tests.support.signin import (
    ACCOUNT,
    OTHER,
    SignInWorld,
    form_fields,
    pair,
    role_arn,
    text_of,
)

SAME = {"sec-fetch-site": "same-origin"}
CREDENTIALS, FAVOURITES = "/console/portal/credentials", "/console/favourites"


async def add_roles(
    world: SignInWorld,
    names: Iterable[str],
    account: AccountId = ACCOUNT,
    *,
    trusts: str = role_arn("Reader"),
    description: str = "",
) -> None:
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": trusts},
        "Action": "sts:AssumeRole",
    }
    trust = json.dumps({"Version": "2012-10-17", "Statement": statement})
    async with world.services.stores.directory.change(account) as change:
        for name in names:
            await change.insert(
                ROLE,
                Role(
                    account=account,
                    role_id=f"AROA{abs(hash((account, name))):017}"[:21],
                    name=name,
                    path="/",
                    trust_policy=trust,
                    created_at=world.clock.now(),
                    description=description or None,
                ),
            )


def opened(page: Any) -> list[str]:
    """The roles that the page has a button to open, in its order."""
    tree = html.fromstring(page.text)
    forms = "//div[@id='portal']//form[@action='/console/switch']"
    return [str(value) for value in tree.xpath(f"{forms}//input[@name='role']/@value")]


async def reader(world: SignInWorld) -> Any:
    browser = world.browser()
    await world.sign_in(browser)
    return browser


async def send(browser: Any, path: str, **data: str) -> Any:
    page = await browser.get("/console/")
    fields = form_fields(page, "/console/sign-out") | data
    return await browser.post(path, data=fields, headers=SAME)


async def test_only_roles_that_would_let_one_in_are_listed(world: SignInWorld) -> None:
    """Both sides count, in every account; without a policy there is no role."""
    await add_roles(world, ["Mine"], description="For reports")
    await add_roles(world, ["Theirs"], OTHER)
    await add_roles(world, ["Closed"], trusts=role_arn("Admin"))
    browser = await reader(world)
    assert opened(await browser.get("/console/")) == []
    named = [role_arn("Closed"), role_arn("Theirs", OTHER), role_arn("Gone")]
    await grant(world, "sts:AssumeRole", role="Reader", resource=named)
    assert opened(await browser.get("/console/")) == [role_arn("Theirs", OTHER)]
    await grant(world, "sts:AssumeRole", role="Reader", resource=[*named, "*"])
    page = await browser.get("/console/")
    assert opened(page) == [role_arn("Mine"), role_arn("Theirs", OTHER)]
    assert "For reports" in text_of(page)


async def test_a_role_opens_at_one_click_and_is_not_listed_in_itself(
    world: SignInWorld,
) -> None:
    await add_roles(world, ["Mine", "Too"])
    await grant(world, "sts:AssumeRole", role="Reader")
    browser = await reader(world)
    assert (
        await send(browser, "/console/switch", role=role_arn("Mine"))
    ).status_code == 303
    assert opened(await browser.get("/console/")) == [role_arn("Too")]


async def test_the_search_is_for_names_accounts_and_descriptions(
    world: SignInWorld,
) -> None:
    await add_roles(world, ["Blue"], description="تقارير")
    await add_roles(world, ["Green"], OTHER)
    everywhere = ["*", role_arn("Green", OTHER)]
    await grant(world, "sts:AssumeRole", role="Reader", resource=everywhere)
    browser = await reader(world)
    for text, arn in (
        ("bLU", role_arn("Blue")),
        (OTHER, role_arn("Green", OTHER)),
        ("تقارير", role_arn("Blue")),
    ):
        assert opened(await browser.get("/console/", params={"q": text})) == [arn]
    nothing = await browser.get("/console/", params={"q": "<b>red"})
    assert "No matching roles" in nothing.text
    assert "<b>" not in nothing.text


async def test_many_roles_come_page_by_page_with_bounded_work(
    world: SignInWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"Team-{n:03}" for n in range(100)]
    await add_roles(world, names)
    await add_roles(world, ["Closed"], trusts=role_arn("Admin"))
    arns = [role_arn(name) for name in ("Closed", *names)]
    await grant(world, "sts:AssumeRole", role="Reader", resource=arns)
    monkeypatch.setattr(own_roles, "_SECONDS_MAX", 60)
    browser = await reader(world)
    seen: list[str] = []
    path = "/console/"
    for _ in range(3):
        page = await browser.get(path)
        seen += opened(page)
        following = html.fromstring(page.text).xpath("//a[@rel='next']/@href")
        path = following[0] if following else ""
    assert (seen, path) == (arns[1:], "")
    monkeypatch.setattr(own_roles, "_LOOKED_MAX", 7)
    assert len(opened(await browser.get("/console/"))) == 6


@pytest.mark.parametrize("query", ["from=9999999", "from=-1", "from=9999", "from=x"])
async def test_any_place_to_go_on_from_has_an_answer(
    world: SignInWorld, query: str
) -> None:
    browser = await reader(world)
    assert (await browser.get(f"/console/?{query}")).status_code == 200


async def test_credentials_of_a_role_work_and_are_recorded(world: SignInWorld) -> None:
    await add_roles(world, ["Mine"])
    await grant(world, "sts:AssumeRole", role="Reader")
    browser = await reader(world)
    page = await send(browser, CREDENTIALS, role=role_arn("Mine"))
    assert page.status_code == 200
    tree = html.fromstring(page.text)
    for form, say in (("bash", "export {}={}"), ("fish", "set -gx {} {}")):
        (pre,) = tree.xpath(f"//pre[@id='{form}']")
        lines = pre.text_content().strip().splitlines()
        key = lines[0].replace("=", " ").split()[-1]
        assert lines[0] == say.format("AWS_ACCESS_KEY_ID", key)
    (file,) = tree.xpath("//pre[@id='file']")
    values = dict(line.split("=", 1) for line in file.text_content().split()[1:])
    assert file.text_content().startswith(f"[{ACCOUNT}_Mine]")
    resolved = await world.services.resolver.resolve(
        values["aws_access_key_id"], values["aws_session_token"], world.clock.now()
    )
    assert resolved.secret.reveal() == values["aws_secret_access_key"]
    assert resolved.caller.principal.principal_arn == role_arn("Mine")
    assert (await world.recorded("sts:AssumeRole")).door == "console"


@pytest.mark.parametrize(
    ("role", "status"), [(role_arn("Admin"), 403), ("no role", 400), ("", 400)]
)
async def test_credentials_of_another_role_are_refused(
    world: SignInWorld, role: str, status: int
) -> None:
    page = await send(await reader(world), CREDENTIALS, role=role)
    assert page.status_code == status
    assert "AWS_SECRET_ACCESS_KEY" not in page.text


async def test_favourites_come_first_and_are_ones_own(world: SignInWorld) -> None:
    await add_roles(world, ["Aa", "Zz"])
    await grant(world, "sts:AssumeRole", role="Reader")
    browser = await reader(world)
    answer = await send(browser, FAVOURITES, role=role_arn("Zz"), do="add")
    assert answer.status_code == 303
    page = await browser.get("/console/")
    assert "Zz is now a favorite." in text_of(page)
    assert opened(page) == [role_arn("Zz"), role_arn("Aa")]
    assert "Zz is now a favorite." not in text_of(await browser.get("/console/"))
    assert opened(await (await reader(world)).get("/console/"))[0] == role_arn("Zz")
    other = world.browser()
    await world.sign_in(other, aws={"session_name": "bob@example.com"})
    assert opened(await other.get("/console/")) == [role_arn("Aa"), role_arn("Zz")]
    await send(browser, FAVOURITES, role=role_arn("Zz"), do="remove")
    assert opened(await browser.get("/console/"))[0] == role_arn("Aa")


async def test_there_are_only_so_many_favourites(world: SignInWorld) -> None:
    browser = await reader(world)
    for number in range(24):
        answer = await send(browser, FAVOURITES, role=f"R{number}", do="add")
        assert answer.status_code == 303
    answer = await send(browser, FAVOURITES, role="R24", do="add")
    assert answer.status_code == 400
    assert "Remove one first" in answer.text
    assert (await send(browser, FAVOURITES, role="R1", do="add")).status_code == 303


async def test_roles_offered_at_sign_in_lead_back_there(world: SignInWorld) -> None:
    browser = world.browser()
    response = world.response(pair("Reader"), pair("Admin"))
    posted = await browser.post(
        "/saml", data={"SAMLResponse": response, "pick": role_arn("Reader")}
    )
    await browser.get(posted.headers["location"])
    tree = html.fromstring((await browser.get("/console/")).text)
    (link,) = tree.xpath("//section[@aria-labelledby='offered']//a")
    assert "Admin" in link.text_content()
    assert link.get("href") == f"/signin/{ACCOUNT}"
