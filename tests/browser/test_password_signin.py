"""Users, and the root, in front of a real browser: passwords, codes, a new password."""

import json

import pytest
from playwright.async_api import Error, Page, expect

from tests.browser.test_accessibility import looked_at, needs_axe
from tests.support.browser import DESKTOP, PHONE, Scene, submit
from tests.support.passwords import (
    PASSWORD,
    ROOT_PASSWORD,
    create_user,
    give_device,
    switch_root_on,
)
from tests.support.signin import ACCOUNT

NEW = "Another-horse-8"
CHANGE = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Action": "iam:ChangePassword",
            "Resource": "*",
        },
    }
)
windows = pytest.mark.parametrize(
    ("size", "scripts", "scheme"),
    [(DESKTOP, True, "light"), (PHONE, False, "dark")],
    ids=["desktop", "phone-no-script"],
)


async def type_password(page: Page, password: str = PASSWORD, name: str = "") -> None:
    if name:
        await page.fill("#username", name)
    await page.fill("#password", password)
    await submit(page, "#password_button")


def unexpected(scene: Scene) -> list[str]:
    """Complaints of the browser, but for the statuses that refusals have."""
    return [text for text in scene.complaints if "status of 4" not in text]


async def narrow_enough(page: Page, size: dict[str, int]) -> bool:
    width: int = await page.evaluate("document.documentElement.scrollWidth")
    return width <= size["width"]


@windows
async def test_password_code_console_and_back_to_the_same_account(
    scene: Scene, size: dict[str, int], scripts: bool, scheme: str
) -> None:
    user = await create_user(scene.world)
    phone = await give_device(scene.world, user.user_id)
    page = await scene.page(size=size, scripts=scripts, color_scheme=scheme)
    page.set_default_timeout(30_000)
    await page.goto(f"{scene.origin}/console/")
    await expect(page.locator("h1")).to_have_text("Sign in")
    await page.get_by_label("Account number or alias").fill("Example")
    await page.click("#account_button")
    await expect(page).to_have_url(f"{scene.origin}/signin/example")
    await type_password(page, "wrong", "ann")
    await expect(page.get_by_role("alert")).to_contain_text("incorrect")
    await expect(page.locator("#username")).to_have_value("ann")
    await expect(page.locator("#password")).to_have_value("")
    await type_password(page)
    await expect(page.locator("h1")).to_have_text("Second factor")
    await page.get_by_label("Code of your device").fill("000000")
    await page.click("#code_button")
    await expect(page.get_by_role("alert")).to_contain_text("is wrong")
    if scripts:
        assert await narrow_enough(page, size)
    await page.fill("#code", phone.code(scene.world))
    await page.click("#code_button")
    await expect(page).to_have_url(f"{scene.origin}/console/")
    await expect(page.locator("h1")).to_have_text("ann")
    await expect(page.locator("main")).to_contain_text("Password and MFA")
    await page.click("#signout_button")
    await page.click("text=Sign in again")
    await expect(page).to_have_url(f"{scene.origin}/signin/example")
    await expect(page.locator("#username")).to_have_value("ann")
    await page.click("text=Sign in to another account")
    await expect(page.locator("h1")).to_have_text("Sign in")
    await expect(page.get_by_label("Account number or alias")).to_be_visible()
    assert unexpected(scene) == []


@windows
async def test_a_new_password_is_chosen_on_the_way(
    scene: Scene, size: dict[str, int], scripts: bool, scheme: str
) -> None:
    await create_user(scene.world, policy=CHANGE, reset_required=True)
    page = await scene.page(size=size, scripts=scripts, color_scheme=scheme)
    page.set_default_timeout(30_000)
    await page.goto(f"{scene.origin}/signin/{ACCOUNT}")
    await type_password(page, name="ann")
    await expect(page.locator("h1")).to_have_text("Choose a new password")
    for new, again, problem in (
        ("short", "short", "minimum length of 8"),
        (NEW, NEW + "x", "do not match"),
        (NEW, NEW, ""),
    ):
        await page.get_by_label("Current password").fill(PASSWORD)
        await page.get_by_label("New password", exact=True).fill(new)
        await page.get_by_label("New password again").fill(again)
        await page.click("#change_button")
        if problem:
            await expect(page.get_by_role("alert")).to_contain_text(problem)
    await expect(page).to_have_url(f"{scene.origin}/console/")
    await expect(page.locator(".who")).to_contain_text("ann @ example")
    assert unexpected(scene) == []


async def test_the_back_button_leads_nowhere(scene: Scene) -> None:
    """What a step used up is gone, and nothing of it is kept by the browser."""
    user = await create_user(scene.world)
    phone = await give_device(scene.world, user.user_id)
    page = await scene.page()
    page.set_default_timeout(30_000)
    await page.goto(f"{scene.origin}/signin/example")
    await type_password(page, name="ann")
    await page.fill("#code", phone.code(scene.world))
    await page.click("#code_button")
    await expect(page).to_have_url(f"{scene.origin}/console/")
    await page.click("#signout_button")
    await expect(page.locator("h1")).to_have_text("You are signed out")
    for _ in range(3):
        try:
            await page.go_back()
        except Error:  # Chromium asks before it posts again
            break
        assert not await page.locator("#credentials_button").is_visible()
    other = await page.context.new_page()
    await other.goto(f"{scene.origin}/console/")
    await expect(other).to_have_url(f"{scene.origin}/signin/example")


async def test_too_many_attempts_are_told(scene: Scene) -> None:
    await create_user(scene.world)
    page = await scene.page()
    page.set_default_timeout(30_000)
    await page.goto(f"{scene.origin}/signin/example")
    for _ in range(11):
        await type_password(page, "wrong", "ann")
        await expect(page.get_by_role("alert")).to_be_visible()
    await expect(page.get_by_role("alert")).to_contain_text("too many attempts")


async def test_the_root_comes_in_when_it_may(scene: Scene) -> None:
    await switch_root_on(scene.world)
    phone = await give_device(scene.world, ACCOUNT)
    page = await scene.page()
    page.set_default_timeout(30_000)
    await page.goto(f"{scene.origin}/signin/example")
    await page.click("text=Sign in as the root user")
    await expect(page.locator("#username")).to_have_count(0)
    await type_password(page, ROOT_PASSWORD)
    await page.fill("#code", phone.code(scene.world))
    await page.click("#code_button")
    await expect(page.locator("h1")).to_have_text("Root user")
    assert unexpected(scene) == []


@needs_axe
@pytest.mark.deep
async def test_every_step_is_accessible(scene: Scene) -> None:
    user = await create_user(scene.world, policy=CHANGE, reset_required=True)
    phone = await give_device(scene.world, user.user_id)
    await give_device(scene.world, user.user_id, "tablet")
    page = await scene.page()
    page.set_default_timeout(30_000)
    await page.goto(f"{scene.origin}/signin?account=no%20account")
    results = await looked_at(page)
    await page.goto(f"{scene.origin}/signin/example?kind=root")
    results += await looked_at(page)
    await page.goto(f"{scene.origin}/signin/example")
    await type_password(page, "wrong", "ann")
    results += await looked_at(page)
    await type_password(page)
    results += await looked_at(page)
    phone.off = 900
    await page.fill("#code", phone.code(scene.world))
    await page.click("#code_button")
    await expect(page.locator("#code2")).to_be_visible()
    results += await looked_at(page)
    await page.fill("#code", phone.code(scene.world))
    await page.fill("#code2", phone.code(scene.world, 1))
    await page.click("#code_button")
    await expect(page.locator("h1")).to_have_text("Choose a new password")
    results += await looked_at(page)
    await page.fill("#password", PASSWORD)
    await page.fill("#new", "short")
    await page.fill("#again", "short")
    await submit(page, "#change_button")
    results += await looked_at(page)
    assert "\n".join(results) == ""
