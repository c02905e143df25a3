"""The access portal as a person sees it: a program or a device asks to be let in."""

from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2 as httpx
import pytest
from msgspec.structs import replace
from playwright.async_api import Error, Page, expect

from broker.actions.portal import assignments
from broker.kinds.organisations import parse_organisations
from broker.stores.directory.kinds import SAML_PROVIDER
from tests.browser.test_accessibility import looked_at, needs_axe, require_none
from tests.browser.test_design import LONG, RIGHT_TO_LEFT, WIDTHS, too_wide
from tests.support.browser import DESKTOP, PHONE, Scene, submit
from tests.support.portal import SCOPES, challenge
from tests.support.portal_accounts import (
    ROLES,
    add_accounts,
    numbers,
    of_groups,
    organisation,
    pairs,
    role_names,
)
from tests.support.signin import ACCOUNT, pair

windows = pytest.mark.parametrize(
    ("size", "scripts", "scheme"), [(DESKTOP, False, "light"), (PHONE, True, "dark")]
)


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow machine decides about no fewer roles."""
    monkeypatch.setattr(assignments, "_SECONDS_MAX", 60)


async def register(scene: Scene, **more: Any) -> dict[str, Any]:
    params = {"clientName": "botocore-client-corp", "clientType": "public", **more}
    return await ask(scene, "client/register", scopes=SCOPES, **params)


async def ask(scene: Scene, path: str, **params: Any) -> dict[str, Any]:
    async with httpx.AsyncClient() as http:
        answer = await http.post(f"{scene.origin}/sso-oidc/{path}", json=params)
        assert answer.status_code == 200, answer.text
        results: dict[str, Any] = answer.json()
        return results


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


async def test_a_program_that_listens_on_ipv6_gets_its_answer(scene: Scene) -> None:
    client = await register(
        scene,
        grantTypes=["authorization_code"],
        redirectUris=["http://[::1]/callback"],
        issuerUrl=f"{scene.origin}/portal/{ACCOUNT}",
    )
    listening = "http://[::1]:9/callback"
    query = {
        "response_type": "code",
        "client_id": client["clientId"],
        "redirect_uri": listening,
        "state": "st4te",
        "code_challenge_method": "S256",
        "code_challenge": challenge(),
    }
    page = await scene.page()
    await page.goto(f"{scene.origin}/authorize?{urlencode(query)}")
    await scene.arrive(page, pair("Reader"))
    # Nobody listens there: that the browser goes there is enough.
    async with page.expect_request(lambda asked: asked.url.startswith(listening)):
        await page.click("#allow_button")
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
async def test_many_accounts_of_twenty_roles_fit_every_window(scene: Scene) -> None:
    accounts = numbers(19)
    names = role_names(LONG)
    await add_accounts(scene.world, accounts, names=names, description=RIGHT_TO_LEFT)
    results: list[str] = []
    for scripts, scheme in ((True, "dark"), (False, "light")):
        page = await scene.page(scripts=scripts, color_scheme=scheme)
        await scene.arrive(
            page, pair("Reader"), *pairs(accounts, names), relay=f"/portal/{ACCOUNT}"
        )
        await expect(page.locator("#roles .held")).to_have_count(50)
        for width in WIDTHS:
            results += await too_wide(page, width)
        await submit(page, "a[rel=next]")
        await expect(page.locator("#roles")).to_contain_text("product-02")
        if scripts:
            results += await looked_at(page)
    await page.fill("main [name=q]", "product-18")
    await page.keyboard.press("Enter")
    await expect(page.locator("#roles .held")).to_have_count(20)
    await submit(page, "#roles a:has-text('Terminal')")
    for width in WIDTHS:
        results += await too_wide(page, width)
    await submit(page, "#credentials_button")
    for width in WIDTHS:
        results += await too_wide(page, width)
    require_none(results)
    assert scene.complaints == []


@needs_axe
async def test_a_role_is_found_and_opened_from_the_keyboard(scene: Scene) -> None:
    accounts = numbers(2)
    await add_accounts(scene.world, accounts)
    page = await scene.page(permissions=["clipboard-read", "clipboard-write"])
    await scene.arrive(
        page, pair("Reader"), *pairs(accounts), relay=f"/portal/{ACCOUNT}"
    )
    await page.keyboard.press("/")
    await page.keyboard.type("m-07")
    await expect(page.locator("#roles .held")).to_have_count(2)
    await page.keyboard.type("/")
    await expect(page.locator("[data-find]")).to_have_value("m-07/")
    await page.keyboard.press("Backspace")
    await expect(page.locator("#roles .held")).to_have_count(2)
    await expect(page.locator("#roles .copy[data-copy-text]").first).to_be_visible()
    link = page.locator("#roles a:has-text('Terminal')").last
    await link.focus()
    async with page.expect_navigation():
        await page.keyboard.press("Enter")
    await expect(page.locator("h1")).to_have_text("Team-07")
    results = await looked_at(page)
    await page.click("[data-copy=profile]")
    await expect(page.locator("[data-copy=profile]")).to_have_text("Copied")
    copied = await page.evaluate("navigator.clipboard.readText()")
    assert f"sso_account_id = {accounts[1]}" in copied
    button = page.locator("#credentials_button")
    await button.focus()
    async with page.expect_navigation():
        await page.keyboard.press("Enter")
    results += await looked_at(page)
    await page.click("[data-copy=bash]")
    await expect(page.locator("[data-copy=bash]")).to_have_text("Copied")
    copied = await page.evaluate("navigator.clipboard.readText()")
    assert "export AWS_SECRET_ACCESS_KEY=" in copied
    # The browser has kept nothing: going back and forward shows no secret again.
    await page.go_back()
    with pytest.raises(Error, match="ERR_CACHE_MISS"):
        await page.go_forward()
    require_none(results)


@needs_axe
async def test_an_organisation_has_a_page_to_sign_in(scene: Scene) -> None:
    accounts = numbers(2)
    await add_accounts(scene.world, accounts, group="engineers")
    by_name = scene.world.services.organisations.by_name
    assert isinstance(by_name, dict)
    made = parse_organisations(organisation(accounts))
    members = dict(made.by_name["corp"].members)
    members[accounts[0]] = replace(members[accounts[0]], has_passwords=True)
    by_name["corp"] = replace(made.by_name["corp"], members=members)
    async with scene.world.services.stores.directory.change(accounts[0]) as change:
        provider = await change.named(SAML_PROVIDER, accounts[0], "Corp")
        assert provider is not None
        options = {**provider.options, "SignIn": True}
        await change.update(SAML_PROVIDER, replace(provider, options=options))
    page = await scene.page()
    await page.goto(f"{scene.origin}/portal/corp")
    await expect(page.locator("main")).to_contain_text("Example Corp")
    results = await looked_at(page)
    for width in WIDTHS:
        results += await too_wide(page, width)
    await page.click("text=product-00")
    await expect(page.locator("#username")).to_be_visible()
    await scene.arrive(page, relay="/portal/corp", **of_groups("engineers"))
    await expect(page.locator("#roles .held")).to_have_count(2 * ROLES)
    require_none(results)
    assert scene.complaints == []


@needs_axe
async def test_the_pages_are_accessible(scene: Scene) -> None:
    page: Page = await scene.page()
    device = await begin_device(scene)
    results = []
    await page.goto(f"{scene.origin}/portal/device?user_code=BBBB-BBBB")
    results += await looked_at(page)
    await page.goto(device["verificationUriComplete"])
    await scene.arrive(page, pair("Reader"))
    results += await looked_at(page)
    await submit(page, "#allow_button")
    results += await looked_at(page)
    await submit(page, "text=Your accounts and roles")
    results += await looked_at(page)
    require_none(results)
