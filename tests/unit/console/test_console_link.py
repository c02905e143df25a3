"""The link that opens one's console elsewhere."""

from datetime import timedelta

import httpx2 as httpx
import pytest
from lxml import html

from broker.model.revocation import Revocation
from tests.support.signin import ACCOUNT, SignInWorld, form_fields, text_of

SAME = {"sec-fetch-site": "same-origin"}


async def make_link(browser: httpx.AsyncClient, minutes: str = "15") -> httpx.Response:
    home = await browser.get("/console/")
    fields = {**form_fields(home, "/console/link"), "minutes": minutes}
    return await browser.post("/console/link", data=fields, headers=SAME)


def link_of(page: httpx.Response) -> str:
    return str(html.fromstring(page.text).xpath("//pre[@id='link']")[0].text_content())


async def test_a_shared_link_opens_the_console_once_and_for_less_long(
    world: SignInWorld,
) -> None:
    browser = world.browser()
    await world.sign_in(browser, aws={"duration": "7200"})
    url = link_of(await make_link(browser, "30"))
    guest = world.browser()
    assert (await guest.get(url)).status_code == 302
    text = text_of(await guest.get("/console/"))
    assert "alice@example.com" in text
    assert "29 min" in text or "30 min" in text
    again = await world.browser().get(url)
    assert again.status_code == 400
    world.clock.move(1801)
    assert (await guest.get("/console/")).status_code == 403
    assert (await browser.get("/console/")).status_code == 200


async def test_a_link_never_outlives_the_session_that_made_it(
    world: SignInWorld,
) -> None:
    browser = world.browser()
    await world.sign_in(browser)
    world.clock.move(3000)
    page = await make_link(browser, "15")
    guest = world.browser()
    await guest.get(link_of(page))
    assert (await guest.get("/console/")).status_code == 200
    world.clock.move(601)
    assert (await guest.get("/console/")).status_code == 403


async def test_what_ends_the_session_ends_what_its_links_opened(
    world: SignInWorld,
) -> None:
    browser, guest = world.browser(), world.browser()
    await world.sign_in(browser)
    console = (await world.recorded("sts:AssumeRoleWithSAML")).session
    await guest.get(link_of(await make_link(browser)))
    assert (await guest.get("/console/")).status_code == 200
    async with world.services.stores.directory.change(ACCOUNT) as change:
        await change.revoke(
            Revocation(
                account=ACCOUNT,
                target=console["access_key_id"],
                not_before_ms=None,
                expires_at=world.clock.now() + timedelta(days=2),
            )
        )
    assert (await guest.get("/console/")).status_code == 403


@pytest.mark.parametrize("minutes", ["", "0", "600", "-15", "15.0", "x", "٣"])
async def test_a_link_is_good_for_one_of_the_offered_times(
    world: SignInWorld, minutes: str
) -> None:
    browser = world.browser()
    await world.sign_in(browser)
    page = await make_link(browser, minutes)
    assert page.status_code == 400
    assert "SigninToken" not in page.text
