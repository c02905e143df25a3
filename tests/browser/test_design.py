"""The design in a real browser: widths, long and right-to-left names, and the keyboard."""

import json

import pytest
from playwright.async_api import Page, expect

from broker.actions.signin import own_roles
from broker.model.account import AccountId
from broker.model.entities import Role
from broker.stores.directory import kinds
from broker.stores.directory.accounts import insert_account
from broker.stores.directory.kinds import ROLE
from tests.browser.test_accessibility import needs_axe, require_none, violations
from tests.support.administrator import grant
from tests.support.browser import PHONE, Scene
from tests.support.furnished import furnish
from tests.support.signin import ACCOUNT, pair, role_arn

WIDTHS = (390, 1280, 1920)
LONG = "Extraordinarily-long-role-name-without-any-place-to-break-0123456"[:64]
RIGHT_TO_LEFT = "مدير التقارير المالية للمنطقة الشرقية " * 4
ACCOUNTS, ROLES = 50, 20


async def add_accounts(scene: Scene) -> None:
    """Fifty accounts with twenty roles each that trust the administrator's role."""
    trust = {
        "Effect": "Allow",
        "Principal": {"AWS": role_arn("Admin")},
        "Action": "sts:AssumeRole",
    }
    document = json.dumps({"Version": "2012-10-17", "Statement": trust})
    services = scene.world.services
    numbers = [AccountId(f"{700_000_000_000 + n}") for n in range(ACCOUNTS)]
    account = await services.stores.directory.find(kinds.ACCOUNT, ACCOUNT)
    assert account is not None
    for number in numbers:
        async with services.stores.directory.change(number) as change:
            await insert_account(
                change,
                type(account)(
                    account_id=number,
                    alias=None,
                    session_salt=account.session_salt,
                    created_at=account.created_at,
                ),
            )
            for n in range(ROLES):
                await change.insert(
                    ROLE,
                    Role(
                        account=number,
                        role_id=f"AROA{int(number) % 1000:03}{n:014}",
                        name=LONG if n == 0 else f"Team-{n:02}",
                        path="/",
                        trust_policy=document,
                        created_at=account.created_at,
                        description=RIGHT_TO_LEFT if n < 2 else "For reports",
                    ),
                )
    arns = [f"arn:aws:iam::{n}:role/{name}" for n in numbers for name in names()]
    await grant(scene.world, "sts:AssumeRole", role="Admin", resource=arns)


def names() -> list[str]:
    return [LONG, *(f"Team-{n:02}" for n in range(1, ROLES))]


async def too_wide(page: Page, width: int) -> list[str]:
    """What of the page is wider than its window."""
    await page.set_viewport_size({"width": width, "height": 900})
    match = await page.evaluate(
        """width => document.documentElement.scrollWidth <= width ? [] :
        [...document.querySelectorAll("body *")]
            .filter(one => one.getBoundingClientRect().right > width + 1)
            .map(one => one.outerHTML.slice(0, 120))""",
        width,
    )
    return [f"{page.url} at {width}: {text}" for text in match[:3]]


@needs_axe
async def test_fifty_accounts_of_twenty_roles_fit_every_window(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_roles, "_SECONDS_MAX", 600)
    await furnish(scene.world)
    await add_accounts(scene)
    results: list[str] = []
    for scripts in (True, False):
        page = await scene.page(scripts=scripts, color_scheme="dark")
        await scene.arrive(page, pair("Reader"), pair("Admin"), pair(LONG))
        for width in WIDTHS:
            results += await too_wide(page, width)
        await page.click(f"[name=pick][value='{role_arn('Admin')}']")
        await expect(page.locator("#portal .held").nth(39)).to_be_attached()
        for width in WIDTHS:
            results += await too_wide(page, width)
        if scripts:
            results += await violations(page)
    await page.click("#portal a[rel=next]")
    await expect(page.locator("#portal")).to_contain_text("700000000003")
    await page.fill("main [name=q]", "700000000049")
    await page.keyboard.press("Enter")
    await expect(page.locator("#portal .held")).to_have_count(ROLES)
    require_none(results)


async def test_commands_on_an_empty_page_stay_in_their_card(scene: Scene) -> None:
    await grant(scene.world, "iam:*")
    page = await scene.page(size=PHONE)
    await scene.arrive(page, pair("Admin"))
    await page.goto(f"{scene.origin}/console/instances/join")
    for part in (".snippet", "pre"):
        box = await page.locator(f".empty {part}").bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390


async def test_everything_is_found_from_the_keyboard(scene: Scene) -> None:
    await furnish(scene.world)
    page = await scene.page()
    await scene.arrive(page, pair("Admin"))
    await page.keyboard.press("/")
    dialog = page.get_by_role("dialog", name="Search")
    await dialog.get_by_label("Search everything").fill("reade")
    await expect(dialog.locator("[data-at]")).to_contain_text("Reader")
    await page.keyboard.press("Enter")
    await expect(page.locator("h1")).to_have_text("Reader")
    await page.keyboard.press("Control+k")
    await dialog.get_by_label("Search everything").fill("roles")
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("ArrowUp")
    await expect(dialog.locator("[data-at]")).to_contain_text("Roles")
    await page.keyboard.press("Escape")
    await expect(dialog).to_be_hidden()
    await page.goto(f"{scene.origin}/console/try")
    await page.click("main [name=action]")
    await page.keyboard.type("/")
    await expect(page.locator("main [name=action]")).to_have_value("/")
    plain = await scene.page(scripts=False)
    await scene.arrive(plain, pair("Admin"))
    await plain.fill("header [name=q]", "dana")
    await plain.keyboard.press("Enter")
    await plain.click("main >> text=dana")
    await expect(plain.locator("h1")).to_have_text("dana")
    assert scene.complaints == []


async def test_a_role_takes_shape_while_one_types(scene: Scene) -> None:
    await furnish(scene.world)
    page = await scene.page()
    await scene.arrive(page, pair("Admin"))
    await page.goto(f"{scene.origin}/console/roles/new?for=account")
    await page.get_by_label("Account number").fill("444455556666")
    await expect(page.locator("#preview")).to_contain_text("of account 444455556666")
    await page.get_by_label("Find a policy").fill("S3ReadOnly")
    choice = page.get_by_label("AmazonS3ReadOnlyAccess")
    await expect(page.locator(".choices label")).to_have_count(1)
    await choice.focus()
    await page.keyboard.press("Space")
    await expect(page.locator(".chip")).to_contain_text("AmazonS3ReadOnlyAccess")
    await expect(choice).to_be_focused()
    await page.get_by_label("Name", exact=True).fill("Fresh")
    await page.click("text=Create role")
    await expect(page.locator(".toast")).to_have_text("Role Fresh created.")
    await expect(page.locator("#permissions")).to_contain_text("AmazonS3ReadOnlyAccess")
    await page.reload()
    await expect(page.locator(".toast")).to_have_count(0)
    assert scene.complaints == []


async def test_a_row_of_a_list_takes_one_line(scene: Scene) -> None:
    """Also with paths, which may break elsewhere."""
    await grant(scene.world, "*")
    page = await scene.page()
    await scene.arrive(page, pair("Admin"))
    await page.goto(f"{scene.origin}/console/policies")
    rows = page.locator(".lines tbody tr")
    heights = await rows.evaluate_all("rows => rows.map(row => row.offsetHeight)")
    assert len(heights) > 20
    assert max(heights) < 50


@needs_axe
async def test_a_refused_invariant_fits_every_window(scene: Scene) -> None:
    await furnish(scene.world)
    page = await scene.page()
    await scene.arrive(page, pair("Admin"))
    await page.goto(f"{scene.origin}/console/invariants")
    await page.get_by_label("Name").fill(LONG)
    stated = {"Effect": "Deny", "Action": "s3:GetObject", "Resource": "*"}
    document = {"Version": "2012-10-17", "Statement": stated}
    await page.get_by_label("Policy", exact=True).fill(json.dumps(document))
    await page.get_by_role("button", name="Save").click()
    problem = page.locator("#problem")
    await expect(problem).to_contain_text(f"The invariant {LONG} would be broken")
    results: list[str] = []
    for width in WIDTHS:
        results += await too_wide(page, width)
    require_none(results + await violations(page))
