"""People in front of a real browser: every way in, with and without JavaScript."""

import contextlib
import json
from typing import Any

import pytest
from playwright.async_api import Error, Page, expect

from broker.model.session import SessionKind
from tests.support.browser import DESKTOP, PHONE, Scene, choose_role
from tests.support.signin import get_signin_token, login_url, pair

ALICE = "alice@example.com"

windows = pytest.mark.parametrize(
    ("size", "scripts"),
    [(DESKTOP, True), (DESKTOP, False), (PHONE, True), (PHONE, False)],
    ids=["desktop", "desktop-no-script", "phone", "phone-no-script"],
)


async def link(scene: Scene, **more: str) -> str:
    """A console link that a custom federation broker would make."""
    browser = scene.world.browser()
    minted = await scene.world.mint(SessionKind.ASSUME_ROLE)
    return scene.origin + login_url(await get_signin_token(browser, minted), **more)


async def fits(page: Page) -> bool:
    """Whether nothing is wider than the window."""
    width: int = (page.viewport_size or {"width": 0})["width"]
    boxes = [await page.locator(name).bounding_box() for name in ("main", "header")]
    return all(box is not None and box["width"] <= width for box in boxes)


@windows
async def test_many_roles_one_choice_credentials_sign_out(
    scene: Scene, size: dict[str, int], scripts: bool
) -> None:
    page = await scene.page(size=size, scripts=scripts)
    await scene.arrive(page, *(pair(n) for n in ("Reader", "Admin", "Brief")))
    await expect(page.locator("h1")).to_have_text("Choose a role")
    assert await fits(page)
    await choose_role(page, "Admin")
    await expect(page).to_have_url(f"{scene.origin}/console/")
    await expect(page.locator("h1")).to_have_text(ALICE)
    await expect(page.locator(".who")).to_contain_text("Admin @ example")
    assert await fits(page)
    await page.click("#credentials_button")
    bash = await page.locator("#bash").text_content()
    assert bash is not None
    assert "export AWS_SESSION_TOKEN=" in bash
    assert await fits(page)
    await page.click("#signout_button")
    await expect(page.locator("h1")).to_have_text("You are signed out")
    # Chromium asks before it posts again: the page with credentials is nowhere.
    with contextlib.suppress(Error):
        await page.go_back()
    await expect(page.locator("#bash")).to_have_count(0)
    await page.goto(f"{scene.origin}/console/")
    await expect(page).to_have_url(f"{scene.origin}/signin")
    assert scene.complaints == []


async def test_a_response_posted_under_another_name_ends_at_the_public_one(
    scene: Scene,
) -> None:
    """The form of the role page is redirected there, which browsers must be allowed."""
    scene.idp.acs = scene.idp.acs.replace("127.0.0.1", "localhost")
    page = await scene.page()
    await scene.arrive(page, pair("Reader"), pair("Admin"))
    await expect(page.locator("h1")).to_have_text("Choose a role")
    assert page.url == scene.idp.acs
    await choose_role(page, "Admin")
    await expect(page).to_have_url(f"{scene.origin}/console/")
    await expect(page.locator(".who")).to_contain_text("Admin @ example")
    (cookie,) = await page.context.cookies()
    assert cookie["domain"] == "127.0.0.1"
    assert scene.complaints == []


@pytest.mark.parametrize("scripts", [True, False])
async def test_one_role_goes_straight_to_the_console(
    scene: Scene, scripts: bool
) -> None:
    """The session cookie is set and seen although the post was cross-site."""
    page = await scene.page(scripts=scripts)
    await scene.arrive(page)
    await expect(page).to_have_url(f"{scene.origin}/console/")
    cookies = {each["name"]: each for each in await page.context.cookies()}
    cookie = cookies["broker-session"]
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (
        True,
        "Lax",
        "/",
    )
    assert scene.complaints == []


async def test_relay_state_leads_on_through_every_redirect(scene: Scene) -> None:
    """The policy on forms lets the role page lead to a listed origin."""
    page = await scene.page()
    target = f"http://localhost:{scene.idp.port}/landing"
    await scene.arrive(page, pair("Reader"), pair("Admin"), relay=target)
    await choose_role(page, "Reader")
    await expect(page).to_have_url(target)
    assert scene.complaints == []


@windows
async def test_someone_else_is_asked_and_may_stay_or_switch(
    scene: Scene, size: dict[str, int], scripts: bool
) -> None:
    page = await scene.page(size=size, scripts=scripts)
    await scene.arrive(page)
    await page.goto(await link(scene))
    await expect(page.locator("h1")).to_have_text("You are already signed in")
    assert await fits(page)
    await page.click("text=Stay as I am")
    await expect(page.locator("h1")).to_have_text(ALICE)
    await page.goto(await link(scene))
    await page.click("#switch_button")
    await expect(page).to_have_url(f"{scene.origin}/console/")
    await expect(page.locator("h1")).to_have_text("carol")
    assert scene.complaints == []


async def test_a_cross_site_post_asks_as_well(scene: Scene) -> None:
    """The post carries no cookie; the redirect after it does."""
    page = await scene.page()
    await scene.arrive(page)
    await scene.arrive(page, aws={"session_name": "mallory"})
    await expect(page.locator("h1")).to_have_text("You are already signed in")
    await expect(page.locator("main")).to_contain_text("Reader/mallory")
    await page.goto(f"{scene.origin}/console/")
    await expect(page.locator("h1")).to_have_text(ALICE)


async def test_two_tabs_one_session(scene: Scene) -> None:
    """The last sign-in is the browser's; the other tab's forms are refused kindly."""
    first = await scene.page()
    await scene.arrive(first, pair("Reader"))
    second = await first.context.new_page()
    await scene.arrive(second, pair("Admin"))
    await second.click("#switch_button")
    await expect(second.locator(".who")).to_contain_text("Admin")
    await first.click("#credentials_button")
    await expect(first.locator("main")).to_contain_text(
        "This form was loaded in another session"
    )
    await expect(first.locator("#bash")).to_have_count(0)
    await expect(first.locator("main")).to_contain_text("assumed-role/Admin/alice")
    await first.click("#again_button")
    await expect(first.locator("#bash")).to_have_count(1)


@pytest.mark.parametrize("scripts", [True, False])
async def test_nothing_typed_is_lost_when_the_session_ends(
    scene: Scene, scripts: bool
) -> None:
    """The page stays while somebody types; what they send can be sent again."""
    page = await scene.page(scripts=scripts)
    await page.clock.install()
    await scene.arrive(page)
    await page.goto(f"{scene.origin}/console/try")
    await page.fill("[name=action]", "s3:GetObject")
    scene.world.clock.move(3601)
    if scripts:
        await page.clock.fast_forward("01:01:00")
        await expect(page.locator("[data-warning]")).to_contain_text(
            "still on this page"
        )
        await page.clock.fast_forward("01:00")
    await page.click("#try_button")
    await expect(page.locator("h1")).to_have_text("Your session has ended")
    await expect(page.locator(".kept")).to_contain_text("s3:GetObject")
    other = await page.context.new_page()
    await scene.arrive(other)
    await page.click("#again_button")
    await expect(page.locator("h1")).to_have_text("Submit this form?")
    await page.click("#again_button")
    await expect(page.locator(".answer")).to_contain_text("Not allowed")


async def test_a_link_used_twice_says_so(scene: Scene) -> None:
    page = await scene.page()
    url = await link(scene)
    await page.goto(url)
    await expect(page.locator("h1")).to_have_text("carol")
    fresh = await scene.page()
    await fresh.goto(url)
    await expect(fresh.locator("main")).to_contain_text("already been used")


async def test_the_clock_warns_and_the_end_shows_the_way_back(scene: Scene) -> None:
    page = await scene.page()
    await page.clock.install()
    issuer = f"http://localhost:{scene.idp.port}/login"
    await page.goto(await link(scene, Issuer=issuer))
    await expect(page.locator("[data-warning]")).to_be_hidden()
    await page.clock.fast_forward("56:00")
    await expect(page.locator("[data-warning]")).to_be_visible()
    scene.world.clock.move(3600)
    await page.clock.fast_forward("05:00")
    await expect(page.locator("h1")).to_have_text("Your session has ended")
    await expect(page.locator("#issuer_link")).to_have_attribute("href", issuer)


async def test_a_long_role_list_is_searched_by_keyboard_alone(scene: Scene) -> None:
    page = await scene.page()
    roles = (*(pair(f"Team-{n:03d}") for n in range(60)), pair("Admin"))
    await scene.arrive(page, *roles)
    await page.get_by_label("Find a role").press_sequentially("adm")
    await expect(page.locator(".saml-role:visible")).to_have_count(1)
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(page.locator(".who")).to_contain_text("Admin @ example")
    await page.click("#signout_button")
    await scene.arrive(page, *roles)
    await page.get_by_label("Find a role").fill("admin")
    await page.keyboard.press("Enter")
    await expect(page.locator(".who")).to_contain_text("Admin @ example")


async def test_no_one_signs_in_to_one_of_several_by_the_enter_key(scene: Scene) -> None:
    page = await scene.page()
    await scene.arrive(page, *(pair(f"Team-{n:03d}") for n in range(20)))
    await page.get_by_label("Find a role").fill("team-00")
    await page.keyboard.press("Enter")
    await expect(page.locator(".saml-role:visible button").first).to_be_focused()
    await expect(page).to_have_url(f"{scene.origin}/saml")


async def test_a_role_is_chosen_anywhere_on_its_row(scene: Scene) -> None:
    page = await scene.page(scripts=False)
    await scene.arrive(page, pair("Reader"), pair("Admin"))
    row = page.locator(".saml-role", has_text="Admin")
    await row.click(position={"x": 20, "y": 12})
    await expect(page.locator(".who")).to_contain_text("Admin @ example")


async def test_copying_puts_the_credentials_on_the_clipboard(scene: Scene) -> None:
    page = await scene.page(permissions=["clipboard-read", "clipboard-write"])
    await scene.arrive(page)
    await page.click("#credentials_button")
    await page.click("[data-copy=bash]")
    await expect(page.locator("[data-copy=bash]")).to_have_text("Copied")
    copied: Any = await page.evaluate("navigator.clipboard.readText()")
    assert copied == await page.locator("#bash").text_content()


async def test_a_page_cannot_be_framed(scene: Scene) -> None:
    page = await scene.page()
    await page.goto(scene.idp.offer("x", ""))
    async with page.expect_console_message(
        lambda message: "frame-ancestors" in message.text
    ):
        await page.evaluate(
            "url => { const f = document.createElement('iframe'); f.src = url;"
            " document.body.append(f); }",
            f"{scene.origin}/signin",
        )


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_text_stands_out_from_its_ground(scene: Scene, scheme: str) -> None:
    """WCAG 2.2, 1.4.3: at least 4.5 to 1 for the tokens that text uses."""
    page = await scene.page(color_scheme=scheme)
    await page.goto(f"{scene.origin}/signin")
    names = ["ink", "quiet", "accent", "paper", "ground", "on-accent", "warn"]
    names += ["warn-soft", "bad-soft", "accent-soft", "accent-strong"]
    text = await page.evaluate(
        "names => { const s = getComputedStyle(document.documentElement);"
        " return JSON.stringify(names.map(n => s.getPropertyValue('--' + n).trim())); }",
        names,
    )
    color = dict(zip(names, json.loads(text), strict=True))
    for ink, ground in (
        *(("ink", ground) for ground in ("paper", "ground", "bad-soft", "accent-soft")),
        *(("quiet", ground) for ground in ("paper", "ground")),
        *(("accent", "paper"), ("on-accent", "accent"), ("warn", "warn-soft")),
        ("accent-strong", "accent-soft"),
    ):
        assert contrast(color[ink], color[ground]) >= 4.5, (ink, ground)


def contrast(text: str, other: str) -> float:
    high, low = sorted((luminance(text), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def luminance(color: str) -> float:
    digits = color.removeprefix("#")
    if len(digits) == 3:
        digits = "".join(digit * 2 for digit in digits)
    red, green, blue = (int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4))
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in (red, green, blue)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
