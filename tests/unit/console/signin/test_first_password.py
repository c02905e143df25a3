"""A sign-in link: once, for a day, for one user, whatever happens meanwhile."""

import asyncio

import httpx2 as httpx
import pytest

from broker.errors import EntityAlreadyExists
from broker.kinds.first_administrator import make_administrator
from broker.kinds.login_profiles import create_login_profile, prepare_password
from broker.kinds.passwords import Passwords
from broker.kinds.sign_in_links import LIFE
from broker.stores.directory.kinds import ACCOUNT as ACCOUNT_KIND
from broker.stores.directory.kinds import LOGIN_PROFILE, USER
from tests.support.passwords import PASSWORD, SAME, send_password
from tests.support.signin import ACCOUNT, SignInWorld, form_fields, text_of

PATH = "/signin/example/first-password"
ENDED = "This sign-in link has been used, has expired or was replaced"


async def issue(world: SignInWorld, name: str = "eve") -> str:
    async with world.services.stores.directory.change(ACCOUNT) as change:
        made = await make_administrator(
            change, ACCOUNT, alias=None, user_name=name, now=world.clock.now()
        )
    return made.token.reveal()


async def choose(
    browser: httpx.AsyncClient, token: str, new: str = PASSWORD, again: str = PASSWORD
) -> httpx.Response:
    page = await browser.get(PATH, params={"token": token})
    if page.status_code != 200:
        return page
    fields = form_fields(page, PATH)
    return await send(browser, {**fields, "new": new, "again": again})


async def send(browser: httpx.AsyncClient, fields: dict[str, str]) -> httpx.Response:
    return await browser.post(PATH, data=fields, headers=SAME)


def is_refused(answer: httpx.Response) -> bool:
    return answer.status_code == 403 and ENDED in text_of(answer)


async def test_the_link_leads_to_a_session(world: SignInWorld) -> None:
    token = await issue(world)
    browser = world.browser()
    page = await browser.get(PATH, params={"token": token})
    assert "eve" in text_of(page)
    # Looking uses nothing up.
    entered = await choose(browser, token)
    assert (entered.status_code, entered.headers["location"]) == (303, "/console/")
    assert "user/eve" in text_of(await browser.get("/console/"))
    record = await world.recorded("signin:SetFirstPassword")
    assert record.caller_arn.endswith(":user/eve")
    assert record.parameters == {}
    assert token not in str(await world.audit())
    assert (await send_password(world.browser(), "eve")).status_code == 303


async def test_the_link_works_once(world: SignInWorld) -> None:
    token = await issue(world)
    browser, other = world.browser(), world.browser()
    pages = [await b.get(PATH, params={"token": token}) for b in (browser, other)]
    answers = await asyncio.gather(
        *(
            send(b, {**form_fields(page, PATH), "new": PASSWORD, "again": PASSWORD})
            for b, page in zip((browser, other), pages, strict=True)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [303, 403]
    assert is_refused(await choose(world.browser(), token))
    # Nor does it work again when the password goes.
    directory = world.services.stores.directory
    async with directory.change(ACCOUNT) as change:
        user = await change.named(USER, ACCOUNT, "eve")
        assert user is not None
        profile = await change.find(LOGIN_PROFILE, ACCOUNT, user.user_id)
        assert profile is not None
        await change.remove(LOGIN_PROFILE, profile)
    assert is_refused(await choose(world.browser(), token))


async def test_who_has_a_password_gets_no_link(world: SignInWorld) -> None:
    assert (await choose(world.browser(), await issue(world))).status_code == 303
    with pytest.raises(EntityAlreadyExists, match="signs in at /signin/example"):
        await issue(world)


async def test_the_link_ends(world: SignInWorld) -> None:
    first = await issue(world)
    second = await issue(world)
    assert is_refused(await choose(world.browser(), first))
    world.clock.move(LIFE.total_seconds())
    assert is_refused(await choose(world.browser(), second))


async def test_the_link_ends_with_its_user(world: SignInWorld) -> None:
    token = await issue(world)
    async with world.services.stores.directory.change(ACCOUNT) as change:
        user = await change.named(USER, ACCOUNT, "eve")
        assert user is not None
        await change.remove(USER, user)
    again = await issue(world)
    assert is_refused(await choose(world.browser(), token))
    assert (await choose(world.browser(), again)).status_code == 303


async def test_any_password_ends_the_link_for_good(world: SignInWorld) -> None:
    """It is not good again when the login profile is deleted."""
    token = await issue(world)
    directory, services = world.services.stores.directory, world.services
    account = await directory.find(ACCOUNT_KIND, ACCOUNT)
    user = await directory.named(USER, ACCOUNT, "eve")
    assert account is not None
    assert user is not None
    prepared = await prepare_password(
        Passwords(services.vault), directory, account, user, PASSWORD
    )
    async with directory.change(ACCOUNT) as change:
        profile = await create_login_profile(
            change, prepared, reset_required=False, now=world.clock.now()
        )
    async with directory.change(ACCOUNT) as change:
        await change.remove(LOGIN_PROFILE, profile)
    assert is_refused(await choose(world.browser(), token))


@pytest.mark.parametrize("token", ["", "wrong", "x" * 5000, "\N{SNOWMAN}"])
async def test_another_token_opens_nothing(world: SignInWorld, token: str) -> None:
    await issue(world)
    assert is_refused(await choose(world.browser(), token))
    nowhere = await world.browser().get("/signin/no-such/first-password")
    assert is_refused(nowhere)


async def test_a_password_that_will_not_do_leaves_the_link(world: SignInWorld) -> None:
    token = await issue(world)
    browser = world.browser()
    short = await choose(browser, token, "short", "short")
    assert short.status_code == 403
    assert "Password should have" in text_of(short)
    differ = await choose(browser, token, PASSWORD, "another")
    assert "do not match" in text_of(differ)
    assert (await choose(browser, token)).status_code == 303


async def test_the_form_is_taken_from_its_own_page_only(world: SignInWorld) -> None:
    token = await issue(world)
    browser = world.browser()
    fields = form_fields(await browser.get(PATH, params={"token": token}), PATH)
    params = {**fields, "new": PASSWORD, "again": PASSWORD}
    elsewhere = await browser.post(
        PATH, data=params, headers={"sec-fetch-site": "cross-site"}
    )
    assert elsewhere.status_code == 403
    assert not is_refused(elsewhere)
    assert (await send(browser, {**params, "csrf": "x"})).status_code == 403
    assert (await send(browser, params)).status_code == 303
