"""The access portal as a person sees it: a program or a device asks to be let in."""

from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2 as httpx
import pytest
from playwright.async_api import Page, expect

from tests.browser.test_accessibility import looked_at, needs_axe, require_none
from tests.support.browser import DESKTOP, PHONE, Scene
from tests.support.portal import SCOPES, challenge
from tests.support.signin import ACCOUNT, pair

windows = pytest.mark.parametrize(
    ("size", "scripts", "scheme"), [(DESKTOP, False, "light"), (PHONE, True, "dark")]
)


async def register(scene: Scene, **more: Any) -> dict[str, Any]:
    given = {"clientName": "botocore-client-corp", "clientType": "public", **more}
    return await ask(scene, "client/register", scopes=SCOPES, **given)


async def ask(scene: Scene, path: str, **given: Any) -> dict[str, Any]:
    async with httpx.AsyncClient() as http:
        answer = await http.post(f"{scene.origin}/sso-oidc/{path}", json=given)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


async def begin_device(scene: Scene) -> dict[str, Any]:
    client = await register(scene)
    known = {name: client[name] for name in ("clientId", "clientSecret")}
    start = f"{scene.origin}/portal/{ACCOUNT}"
    return await ask(scene, "device_authorization", startUrl=start, **known)


@windows
async def test_a_program_on_this_computer_is_let_in(
    scene: Scene, size: dict[str, int], scripts: bool, scheme: str
) -> None:
    callback = f"http://127.0.0.1:{scene.idp.port}/oauth/callback"
    client = await register(
        scene,
        grantTypes=["authorization_code", "refresh_token"],
        redirectUris=["http://127.0.0.1/oauth/callback"],
        issuerUrl=f"{scene.origin}/portal/{ACCOUNT}",
    )
    query = {
        "response_type": "code",
        "client_id": client["clientId"],
        "redirect_uri": callback,
        "state": "st4te",
        "code_challenge_method": "S256",
        "scopes": SCOPES[0],
        "code_challenge": challenge(),
    }
    page = await scene.page(size=size, scripts=scripts, color_scheme=scheme)
    await page.goto(f"{scene.origin}/authorize?{urlencode(query)}")
    await expect(page.locator("h1")).to_have_text("Sign in")
    await scene.arrive(page, pair("Reader"))
    await expect(page.locator("h1")).to_have_text("Give this program your access?")
    main = page.locator("main")
    await expect(main).to_contain_text("alice@example.com")
    await expect(main).to_contain_text("botocore-client-corp")
    await page.click("#allow_button")
    await page.wait_for_url(lambda url: url.startswith(callback))
    answer = parse_qs(urlsplit(page.url).query)
    assert answer["state"] == ["st4te"]
    assert answer["code"]
    assert scene.complaints == []


async def test_a_device_is_let_in_by_its_code(scene: Scene) -> None:
    page = await scene.page()
    device = await begin_device(scene)
    await page.goto(f"{scene.origin}/portal/device")
    await page.fill("#user_code", device["userCode"].lower().replace("-", " "))
    await page.click("text=Continue")
    await expect(page.locator("h1")).to_have_text("Sign in")
    await scene.arrive(page, pair("Reader"))
    await expect(page.locator("#user_code")).to_have_text(device["userCode"])
    await page.click("#allow_button")
    await expect(page.locator("h1")).to_have_text("The device has your access")
    await page.click("text=Your accounts and roles")
    await expect(page.locator("main")).to_contain_text("Reader")
    await page.click("#signout_button")
    await expect(page.locator("h1")).to_have_text("You are signed out")
    assert scene.complaints == []


@needs_axe
async def test_the_pages_are_accessible(scene: Scene) -> None:
    page: Page = await scene.page()
    device = await begin_device(scene)
    found = []
    await page.goto(f"{scene.origin}/portal/device?user_code=BBBB-BBBB")
    found += await looked_at(page)
    await page.goto(device["verificationUriComplete"])
    await scene.arrive(page, pair("Reader"))
    found += await looked_at(page)
    await page.click("#allow_button")
    found += await looked_at(page)
    await page.click("text=Your accounts and roles")
    found += await looked_at(page)
    require_none(found)
