"""Search: what is found, what is not told, and how much is looked through."""

from typing import Any
from urllib.parse import quote

import pytest
from lxml import html

from broker.model.entities import Group
from broker.stores.directory.kinds import GROUP
from tests.support.administrator import enter, grant
from tests.support.furnished import DIRECTORY, ORDER, POLICY, furnish
from tests.support.signin import ACCOUNT, SignInWorld, provider_arn

LISTS = (
    "iam:ListRoles",
    "iam:ListUsers",
    "iam:ListGroups",
    "iam:ListPolicies",
    "iam:ListSAMLProviders",
    "iam:ListOpenIDConnectProviders",
    "broker:ListLDAPProviders",
    "broker:ListServices",
    "broker:ListResourcePolicies",
)


async def hits(browser: Any, text: str) -> list[tuple[str, str]]:
    page = await browser.get("/console/search", params={"q": text})
    assert page.status_code == 200
    links = html.fromstring(page.text).xpath("//ul[@id='hits']//a")
    return [
        (link.xpath("string(span[1]/text()[1])").strip(), link.get("href"))
        for link in links
    ]


async def test_everything_is_found_by_a_part_of_its_name(world: SignInWorld) -> None:
    await furnish(world)
    await grant(world, *LISTS)
    browser = (await enter(world)).browser
    for text, path in (
        ("eade", "/console/roles/role?name=Reader"),
        ("DANA", "/console/users/user?name=dana"),
        ("inanc", "/console/groups/group?name=Finance"),
        (
            POLICY.rpartition("/")[2][1:],
            f"/console/policies/policy?arn={quote(POLICY, safe='')}",
        ),
        (
            provider_arn().partition("/")[2],
            f"/console/providers/provider?arn={quote(provider_arn(), safe='')}",
        ),
        ("issuer.example", "/console/providers/provider?arn="),
        ("OMPANY", f"/console/providers/provider?arn={quote(DIRECTORY, safe='')}"),
        ("RDER", "/console/services/service?name=orders"),
        ("order/7", f"/console/resource-policies/edit?arn={quote(ORDER, safe='')}"),
        ("permissions", "/console/permissions"),
    ):
        assert any(path in value for _, value in await hits(browser, text)), text
    assert await hits(browser, "nothing is called so") == []


async def add_groups(world: SignInWorld, *names: str) -> None:
    async with world.services.stores.directory.change(ACCOUNT) as change:
        for number, name in enumerate(names):
            await change.insert(
                GROUP,
                Group(
                    account=ACCOUNT,
                    group_id=f"AGPA{number:017}",
                    name=name,
                    path="/",
                    created_at=world.clock.now(),
                ),
            )


async def test_what_someone_may_not_list_is_not_looked_for(world: SignInWorld) -> None:
    await add_groups(world, "Readers")
    await grant(world, "iam:ListRoles")
    browser = (await enter(world)).browser
    assert [name for name, _ in await hits(browser, "eade")] == ["Reader"]


async def test_a_kind_that_is_refused_hides_no_other(world: SignInWorld) -> None:
    """It is offered where some resource might be allowed, and then it is not."""
    await add_groups(world, "Readers")
    await grant(world, "iam:ListRoles", "iam:ListGroups")
    groups = f"arn:aws:iam::{ACCOUNT}:group/*"
    await grant(world, "iam:ListGroups", effect="Deny", resource=groups)
    browser = (await enter(world)).browser
    assert [name for name, _ in await hits(browser, "eade")] == ["Reader"]


@pytest.mark.parametrize("text", ["", "x" * 500, "\x00%_'\"<b>", "مرحبا"])
async def test_any_text_has_an_answer(world: SignInWorld, text: str) -> None:
    await grant(world, *LISTS)
    browser = (await enter(world)).browser
    page = await browser.get("/console/search", params={"q": text})
    assert page.status_code == 200
    assert "<b>" not in page.text


async def test_hits_of_a_kind_are_few_and_the_closest_first(world: SignInWorld) -> None:
    await grant(world, "iam:ListGroups")
    await add_groups(world, *(f"{letter}-team" for letter in "bcdefghijk"), "team-zulu")
    browser = (await enter(world)).browser
    results = [name for name, _ in await hits(browser, "team")]
    assert results[:2] == ["team-zulu", "b-team"]
    assert len(results) == 6
