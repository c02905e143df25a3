"""Lists: sorting by links, and several rows deleted at once after a question."""

from typing import Any

import pytest
from lxml import html

from broker.model.entities import Group, Role, User
from broker.stores.directory.kinds import GROUP, ROLE, USER
from tests.support.administrator import SAME, Administrator, grant
from tests.support.signin import ACCOUNT, SignInWorld, text_of

USERS, GROUPS, ROLES = "/console/users", "/console/groups", "/console/roles"


async def add(world: SignInWorld, *names: str) -> None:
    """A user, a group and a role of each name."""
    now = world.clock.now()
    async with world.services.stores.directory.change(ACCOUNT) as change:
        for number, name in enumerate(names):
            shared: dict[str, Any] = {
                "account": ACCOUNT,
                "name": name,
                "path": "/",
                "created_at": now.replace(year=2020 + number),
            }
            await change.insert(USER, User(user_id=f"AIDA{number:017}", **shared))
            await change.insert(GROUP, Group(group_id=f"AGPA{number:017}", **shared))
            trust = '{"Version":"2012-10-17","Statement":[]}'
            await change.insert(
                ROLE, Role(role_id=f"AROA{number:017}", trust_policy=trust, **shared)
            )


def rows(page: Any) -> list[str]:
    names = html.fromstring(page.text).xpath("//tbody/tr/th//a/text()")
    return [str(name).strip() for name in names]


async def pick(admin: Administrator, path: str, *names: str, **more: str) -> Any:
    page = await admin.see(path)
    token = html.fromstring(page.text).xpath("//input[@name='csrf']/@value")[0]
    data = {"csrf": token, "do": "delete", "picked": list(names), **more}
    return await admin.browser.post(path, data=data, headers=SAME)


@pytest.mark.parametrize("path", [USERS, GROUPS, ROLES])
async def test_a_column_sorts_either_way(admin: Administrator, path: str) -> None:
    await add(admin.world, "charlie", "alpha", "bravo")
    added = {"charlie", "alpha", "bravo"}
    page = await admin.see(path)
    assert [name for name in rows(page) if name in added] == sorted(added)
    (link,) = html.fromstring(page.text).xpath(
        "//th/a[starts-with(., 'Created')]/@href"
    )
    page = await admin.see(str(link))
    listed_rows = [name for name in rows(page) if name in added]
    assert listed_rows == ["charlie", "alpha", "bravo"]
    heads = html.fromstring(page.text).xpath("//th[@aria-sort]")
    assert [head.get("aria-sort") for head in heads] == ["ascending"]
    page = await admin.see(str(heads[0].xpath("a/@href")[0]))
    assert [name for name in rows(page) if name in added] == listed_rows[::-1]


async def test_a_list_says_how_many_and_goes_both_ways(admin: Administrator) -> None:
    await add(admin.world, *(f"u{number:03}" for number in range(120)))

    def beside(page: Any, way: str) -> str:
        return str(html.fromstring(page.text).xpath(f"//a[@rel='{way}']/@href")[0])

    first = await admin.see(USERS, sort="-name", q="u")
    assert "1 to 50 of 120 users" in text_of(first)
    assert rows(first)[0] == "u119"
    second = await admin.see(beside(first, "next"))
    assert (rows(second)[0], rows(second)[-1]) == ("u069", "u020")
    last = await admin.see(USERS, sort="-name", q="u", page="99")
    assert "101 to 120 of 120 users" in text_of(last)
    assert rows(last) == [f"u{number:03}" for number in range(19, -1, -1)]
    assert rows(await admin.see(beside(last, "prev"))) == rows(second)
    assert rows(await admin.see(beside(second, "prev"))) == rows(first)


async def test_of_a_list_that_is_too_long_a_search_finds_the_rest(
    admin: Administrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add(admin.world, *(f"u{number:03}" for number in range(12)))
    monkeypatch.setattr("broker.administration.users.READ_MAX", 10)
    page = await admin.see(USERS)
    assert rows(page)[-1] == "u009"
    assert "Search to find those after the first 10" in text_of(page)
    assert rows(await admin.see(USERS, q="11")) == ["u011"]


async def test_what_was_deleted_leads_back_to_the_same_page_of_the_list(
    admin: Administrator,
) -> None:
    await add(admin.world, *(f"u{number:03}" for number in range(60)))
    page = html.fromstring((await admin.see(USERS, sort="-name", page="2")).text)
    (form,) = page.xpath("//form[@data-selection]")
    assert "Delete the selected users" in form.text_content()
    data = {
        "csrf": form.xpath(".//input[@name='csrf']/@value")[0],
        "do": "delete",
        "picked": "u001",
    }
    answer = await admin.browser.post(form.get("action"), data=data, headers=SAME)
    (form,) = html.fromstring(answer.text).xpath("//form[.//input[@name='sure']]")
    answer = await admin.browser.post(
        form.get("action"), data={**data, "sure": "yes"}, headers=SAME
    )
    assert answer.headers["location"] == f"{USERS}?sort=-name&page=2"


@pytest.mark.parametrize("path", [USERS, GROUPS, ROLES])
async def test_several_are_deleted_once_that_was_confirmed(
    admin: Administrator, path: str
) -> None:
    await add(admin.world, "one", "two", "three")
    asked = await pick(admin, path, "one", "two")
    assert asked.status_code == 200
    assert "What will happen" in asked.text
    assert {"one", "two", "three"} <= set(rows(await admin.see(path)))
    answer = await pick(admin, path, "one", "two", sure="yes")
    assert answer.status_code == 303
    page = await admin.see(path)
    assert "2 " in html.fromstring(page.text).xpath("string(//p[@class='toast'])")
    assert {"one", "two", "three"} & set(rows(page)) == {"three"}


async def test_a_failed_deletion_does_not_stop_the_others(admin: Administrator) -> None:
    await add(admin.world, "one", "two")
    kept = f"arn:aws:iam::{ACCOUNT}:group/one"
    await grant(admin.world, "iam:DeleteGroup", effect="Deny", resource=kept)
    answer = await pick(admin, GROUPS, "one", "two", "gone", sure="yes")
    assert answer.status_code == 400
    assert "1 of 3 were deleted" in text_of(answer)
    assert "iam:DeleteGroup" in answer.text
    assert rows(await admin.see(GROUPS)) == ["one"]


async def test_a_form_with_nothing_selected_does_nothing(admin: Administrator) -> None:
    await add(admin.world, "one")
    assert (await pick(admin, GROUPS)).status_code == 303
    assert (await pick(admin, GROUPS, "one", do="explode")).status_code == 303
    assert rows(await admin.see(GROUPS)) == ["one"]
