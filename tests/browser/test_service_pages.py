"""Registered services in a real browser, with and without a script."""

import pytest
from playwright.async_api import Page, expect

from tests.support.administrator import grant
from tests.support.browser import DESKTOP, PHONE, Scene
from tests.support.signin import ACCOUNT, pair

PATIENCE = 30_000
DEFINITION = """\
Hosts: [orders.example.com]
ResourceTypes:
  order: order/{id}
Actions:
  GetOrder: {AccessLevel: Read, ResourceTypes: [order]}
Routes:
- {Methods: [GET], Path: '/orders/{id}', Action: Gone}
"""


async def arrive(scene: Scene, *, scripts: bool, phone: bool = False) -> Page:
    await grant(scene.world, "*")
    page = await scene.page(size=PHONE if phone else DESKTOP, scripts=scripts)
    page.set_default_timeout(PATIENCE)
    await scene.arrive(page, pair("Admin"))
    return page


@pytest.mark.parametrize("scripts", [True, False])
async def test_a_service_from_its_definition_to_a_tried_request(
    scene: Scene, scripts: bool
) -> None:
    page = await arrive(scene, scripts=scripts, phone=not scripts)
    await page.goto(f"{scene.origin}/console/services")
    await page.click("text=New service >> nth=0")
    await page.fill("[name=name]", "orders")
    await page.fill("[name=definition]", DEFINITION)
    await page.click("button:has-text('Register the service')")
    problem = page.locator("#problems")
    await expect(problem).to_contain_text("there is no action Gone")
    await expect(problem).to_contain_text("Line 7, column 3")
    if scripts:
        await page.click("#problems a")
        await expect(page.locator(".gutter .wrong")).to_have_text("7\n")
        await expect(page.locator("[name=definition]")).to_be_focused()
    await page.fill("[name=definition]", DEFINITION.replace("Gone", "GetOrder"))
    await page.click("button:has-text('Register the service')")
    await expect(page.locator("h1")).to_have_text("orders")
    await expect(page.locator(".toast")).to_contain_text("Service registered.")
    await page.click("summary:has-text('New token')")
    await page.click("button:has-text('Create token')")
    await expect(page.locator("#token")).to_contain_text(f"bst.{ACCOUNT}.")
    await page.click("text=Try a request")
    await page.fill("[name=path]", "/orders/7")
    await page.click("button:has-text('Try the request')")
    await expect(page.locator("#answer h2")).to_have_text("Allowed")
    await expect(page.locator("#answer")).to_contain_text(":order/7")
    await page.goto(f"{scene.origin}/console/resource-policies/new")
    await page.fill("[name=arn]", f"arn:aws:orders:us-east-1:{ACCOUNT}:order/7")
    await page.fill("[name='s0.p0.values']", f"arn:aws:iam::{ACCOUNT}:root")
    await page.click("button:has-text('Choose from a service')")
    await page.fill("[name='pick.service']", "orders")
    await page.click("button:has-text('Choose service')")
    await page.check("input[value='orders:GetOrder']")
    await page.click("button:has-text('Add the ticked actions')")
    await page.select_option("[name='s0.effect']", "Deny")
    await page.click("button.primary:has-text('Save')")
    await expect(page.locator("h1")).to_have_text("Resource policies")
    await page.goto(f"{scene.origin}/console/try?service=orders")
    await page.fill("[name=path]", "/orders/7/")
    await page.click("button:has-text('Try the request')")
    await expect(page.locator("#answer h2")).to_have_text("Refused for everyone")
    await page.fill("[name=path]", "/orders/7")
    await page.click("button:has-text('Try the request')")
    await expect(page.locator("#answer h2")).to_have_text("Denied by a statement")
    await page.goto(f"{scene.origin}/console/services/service?name=orders")
    await page.click("summary:has-text('Delete service')")
    await page.fill("[name=sure]", "orders")
    await page.click("button:has-text('Delete service')")
    await expect(page.locator("main")).to_contain_text("No service is registered yet")
    assert [text for text in scene.complaints if " 400 " not in text] == []
