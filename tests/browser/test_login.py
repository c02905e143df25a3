"""A terminal asks for a login: what the person in front of the browser sees and does."""

import base64
import hashlib
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from playwright.async_api import Page, expect

from tests.support.browser import DESKTOP, PHONE, Scene, choose_role
from tests.support.signin import ACCOUNT, pair

SAME = "arn:aws:signin:::devtools/same-device"
CROSS = "arn:aws:signin:::devtools/cross-device"

windows = pytest.mark.parametrize(
    ("size", "scripts", "scheme"),
    [(DESKTOP, True, "light"), (DESKTOP, False, "dark"), (PHONE, True, "dark")],
)


def link(scene: Scene, client: str, redirect_uri: str) -> str:
    """What a terminal opens or prints."""
    digest = hashlib.sha256(b"v" * 64).digest()
    wanted = {
        "response_type": "code",
        "client_id": client,
        "redirect_uri": redirect_uri,
        "state": "st4te",
        "scope": "openid",
        "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
        "code_challenge_method": "SHA-256",
    }
    return f"{scene.origin}/v1/authorize?{urlencode(wanted)}"


def callback(scene: Scene) -> str:
    """Where a terminal on this machine listens."""
    return f"http://127.0.0.1:{scene.idp.port}/oauth/callback"


async def fits(page: Page) -> bool:
    width = await page.evaluate("document.documentElement.scrollWidth")
    assert page.viewport_size is not None
    return bool(width <= page.viewport_size["width"])


@windows
async def test_someone_signs_in_and_lets_the_terminal_in(
    scene: Scene, size: dict[str, int], scripts: bool, scheme: str
) -> None:
    page = await scene.page(size=size, scripts=scripts, color_scheme=scheme)
    await page.goto(link(scene, SAME, callback(scene)))
    await expect(page.locator("h1")).to_have_text("Sign in")
    await scene.arrive(page, pair("Reader"), pair("Admin"))
    await choose_role(page, "Reader")
    await expect(page.locator("h1")).to_have_text("Give a terminal your access?")
    main = page.locator("main")
    await expect(main).to_contain_text(f"{ACCOUNT}:assumed-role/Reader/alice")
    await expect(main).to_contain_text("A program on this computer")
    assert await fits(page)
    await page.click("#allow_button")
    await page.wait_for_url(lambda url: url.startswith(callback(scene)))
    answer = parse_qs(urlsplit(page.url).query)
    assert answer["state"] == ["st4te"]
    assert answer["code"]
    assert scene.complaints == []


async def test_someone_who_did_not_ask_says_no(scene: Scene) -> None:
    page = await scene.page()
    await scene.arrive(page)
    await page.goto(link(scene, SAME, callback(scene)))
    await page.click("text=Do not allow")
    await page.wait_for_url(lambda url: url.startswith(callback(scene)))
    answer = parse_qs(urlsplit(page.url).query)
    assert answer == {"error": ["access_denied"], "state": ["st4te"]}
    await page.goto(f"{scene.origin}/console/login")
    await expect(page.locator("main")).to_contain_text("no longer open")


async def test_a_terminal_that_listens_on_ipv6_gets_its_answer(scene: Scene) -> None:
    page = await scene.page()
    await scene.arrive(page)
    listening = "http://[::1]:9/oauth/callback"
    await page.goto(link(scene, SAME, listening))
    # Nobody listens there: that the browser goes there is enough.
    async with page.expect_request(lambda asked: asked.url.startswith(listening)):
        await page.click("#allow_button")
    assert scene.complaints == []


async def test_another_role_can_be_chosen_first(scene: Scene) -> None:
    page = await scene.page()
    await scene.arrive(page, pair("Reader"))
    await page.goto(link(scene, SAME, callback(scene)))
    await page.click("text=Use another role")
    await scene.arrive(page, pair("Admin"))
    await page.click("#switch_button")
    await expect(page.locator("main")).to_contain_text("assumed-role/Admin/alice")
    await page.click("#allow_button")
    await page.wait_for_url(lambda url: url.startswith(callback(scene)))


@pytest.mark.parametrize("scripts", [True, False])
async def test_for_another_machine_a_code_is_shown(scene: Scene, scripts: bool) -> None:
    page = await scene.page(size=PHONE, scripts=scripts)
    await scene.arrive(page)
    await page.goto(link(scene, CROSS, f"{scene.origin}/v1/sessions/confirmation"))
    await expect(page.locator("main")).to_contain_text("Another computer")
    await expect(page.locator("#login_address")).to_have_text("127.0.0.1")
    await page.click("#allow_button")
    await expect(page.locator("h1")).to_have_text("Paste this code into your terminal")
    text = await page.locator("#login_code").text_content()
    assert text is not None
    answer = parse_qs(base64.b64decode(text.strip()).decode())
    assert answer["state"] == ["st4te"]
    assert await fits(page)
    assert scene.complaints == []
