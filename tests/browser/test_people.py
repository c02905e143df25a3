"""An administrator looks after users, groups and the account, in a real browser."""

import pytest
from playwright.async_api import Page, expect

from tests.support.administrator import grant
from tests.support.browser import PHONE, Scene, follow, submit
from tests.support.signin import pair

PATIENT = 30_000


async def enter(scene: Scene, **options: object) -> Page:
    await grant(scene.world, "iam:*")
    page = await scene.page(**options)  # type: ignore[arg-type]  # as `page` takes them
    page.set_default_timeout(PATIENT)
    await scene.arrive(page, pair("Admin"))
    return page


@pytest.mark.parametrize("scripts", [True, False])
async def test_a_group_with_a_policy_and_a_user_with_all_come_and_go(
    scene: Scene, scripts: bool
) -> None:
    page = await enter(scene, scripts=scripts)
    await follow(page, "Groups")
    await page.click("text=New group")
    await page.fill("[name=name]", "Auditors")
    await page.click("#create_button")
    await expect(page.locator("h1")).to_have_text("Auditors", timeout=PATIENT)
    await page.click("nav[aria-label=Group] >> text=Permissions")
    await page.click("text=Attach a policy")
    await page.fill("main [name=q]", "SecurityAudit")
    await page.click("main >> text=Find")
    await page.click("[aria-label='Attach: SecurityAudit']")
    await expect(page.locator("tbody")).to_contain_text("SecurityAudit")

    await follow(page, "Users")
    await page.click("text=New user")
    await page.fill("[name=name]", "carla")
    await page.check("[name=group][value=Auditors]")
    await page.check("[name=console][value=generate]")
    await page.check("[name=key]")
    await page.click("#create_button")
    await expect(page.locator("h1")).to_have_text("User carla created", timeout=PATIENT)
    password = await page.inner_text("#password")
    assert len(password) == 20
    secret = await page.inner_text("#secret-access-key")
    await page.click("text=Go to carla")

    await submit(page, "nav[aria-label=User] >> text=Security credentials")
    assert secret not in await page.content()
    await page.click("text=Deactivate")
    await expect(page.locator(".held-name").first).to_contain_text("inactive")
    await page.click("summary >> text=Delete >> nth=0")
    await page.click("text=Yes, delete >> nth=0")
    await expect(page.locator("main")).to_contain_text("No access key")
    await page.click("summary >> text=Delete the password")
    await page.click("text=Yes, delete the password")
    await expect(page.locator("main")).to_contain_text("cannot sign in to the console")

    await page.click("nav[aria-label=User] >> text=Summary")
    await page.click("text=Delete this user")
    await expect(page.locator("main")).to_contain_text("group Auditors")
    await page.fill("[name=sure]", "carla")
    await page.click("#delete_button")
    await expect(page.locator("main")).to_contain_text("There are no users yet")

    await follow(page, "Groups")
    await page.click("main >> text=Auditors")
    await page.click("text=Delete this group")
    await page.fill("[name=sure]", "Auditors")
    await page.click("#delete_button")
    await expect(page.locator("main")).to_contain_text("There are no groups yet")
    assert [text for text in scene.complaints if "[DOM]" not in text] == []


async def test_the_account_is_looked_after_on_a_phone(scene: Scene) -> None:
    page = await enter(scene, size=PHONE, color_scheme="dark")
    await follow(page, "Account settings")
    await page.click("[aria-label='Switch off: eu-west-3']")
    await expect(page.locator("#regions")).to_contain_text("eu-west-3 off")
    await page.click("[aria-label='Switch on: eu-west-3']")
    await expect(page.locator("#regions")).not_to_contain_text("eu-west-3 off")
    await page.click("text=Change the policy")
    await page.fill("[name=MinimumPasswordLength]", "14")
    await page.check("[name=RequireNumbers]")
    await page.click("#save_button")
    await expect(page.locator("#passwords")).to_contain_text("At least 14 characters")
    await follow(page, "Credential report")
    await page.click("#report_button")
    await expect(page.locator("tbody")).to_contain_text("Root user")
    async with page.expect_download() as started:
        await page.click("text=Download as CSV")
    download = await started.value
    assert download.suggested_filename.endswith(".csv")
    assert [text for text in scene.complaints if "[DOM]" not in text] == []
