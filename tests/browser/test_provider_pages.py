"""An administrator adds the demo's identity provider and finds out why it is refused."""

from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from broker.demo.saml_signer import DemoSamlSigner, SamlPerson
from tests.support.administrator import grant
from tests.support.browser import DESKTOP, PHONE, Scene
from tests.support.signin import ACCOUNT, pair, role_arn

NAME = "Demo"
ARN = f"arn:aws:iam::{ACCOUNT}:saml-provider/{NAME}"
ENTITY = "http://localhost:8081/saml/metadata"

windows = pytest.mark.parametrize(
    ("size", "scripts"),
    [(DESKTOP, True), (PHONE, False)],
    ids=["desktop", "phone-no-script"],
)


def response(scene: Scene, signer: DemoSamlSigner, recipient: str) -> str:
    return signer.signed_response(
        SamlPerson(
            name_id="ann@example.com",
            session_name="ann@example.com",
            roles=[f"{role_arn('Reader')},{ARN}"],
        ),
        recipient=recipient,
        audience=f"{scene.origin}/saml",
        now=scene.world.clock.now(),
    )


async def fits(page: Page) -> bool:
    width: int = (page.viewport_size or {"width": 0})["width"]
    scroll: int = await page.evaluate("document.documentElement.scrollWidth")
    return scroll <= width


async def open_menu_entry(page: Page, scene: Scene, size: dict[str, int]) -> None:
    if size == PHONE:
        await page.click(".menu-button")
    await page.click("nav >> text=Identity providers")
    await page.wait_for_url(f"{scene.origin}/console/providers")


@windows
async def test_a_provider_is_added_and_its_refusal_understood(
    scene: Scene, tmp_path: Path, size: dict[str, int], scripts: bool
) -> None:
    await grant(scene.world, "iam:*", "cloudtrail:LookupEvents")
    signer = DemoSamlSigner.open(
        tmp_path / "idp",
        entity_id=ENTITY,
        sso_url="http://localhost:8081/saml/sso",
        now=scene.world.clock.now(),
    )
    page = await scene.page(size=size, scripts=scripts)
    await scene.arrive(page, pair("Admin"))
    await open_menu_entry(page, scene, size)

    # Add it, by its metadata: a file with a script, else pasted.
    await page.click("text=Add SAML")
    await page.fill("[name=name]", NAME)
    if scripts:
        file = tmp_path / "metadata.xml"
        file.write_text(signer.metadata())
        await page.set_input_files("input[type=file]", file)
        await expect(page.locator("#metadata-text")).to_have_value(
            signer.metadata(), timeout=30_000
        )
    else:
        await expect(page.locator("input[type=file]")).to_be_hidden()
        await page.fill("[name=metadata]", signer.metadata())
    await page.click("button:has-text('Add the provider')")
    await expect(page.locator("h1")).to_have_text(NAME)
    await expect(page.locator("main")).to_contain_text("Nothing to do.")
    await expect(page.locator("main")).to_contain_text(ENTITY)
    assert await fits(page)

    # A response for somewhere else is refused; the page says what to change.
    elsewhere = "https://signin.aws.amazon.com/saml"
    await page.click("text=Diagnose a proof")
    await page.fill("[name=proof]", response(scene, signer, elsewhere))
    await page.click("main button[type=submit]")
    answer = page.locator("#answer")
    await expect(answer).to_contain_text("The proof is refused")
    await expect(answer.locator(".check-failed")).to_contain_text("Destination")
    await expect(answer.locator(".check-failed")).to_contain_text(elsewhere)
    await expect(answer.locator(".check-failed")).to_contain_text(
        "Set the assertion consumer service"
    )
    assert await fits(page)

    # The identity provider is set right.
    acs = await page.locator("[name=arn]").input_value()
    assert acs == ARN
    await page.fill("[name=proof]", response(scene, signer, f"{scene.origin}/saml"))
    await page.click("main button[type=submit]")
    await expect(answer).to_contain_text("The proof is accepted")
    await expect(page.locator("main")).to_contain_text("ann@example.com")
    assert await fits(page)
    assert [text for text in scene.complaints if "403" not in text] == []


@windows
async def test_why_a_sign_in_failed_is_found_from_the_console_alone(
    scene: Scene, size: dict[str, int], scripts: bool
) -> None:
    await grant(scene.world, "iam:*", "cloudtrail:LookupEvents")
    stranger = await scene.page(size=size, scripts=scripts)
    await scene.arrive(stranger, audience="https://wrong.example/sp")
    await expect(stranger.locator("main")).not_to_contain_text("wrong.example")
    await scene.world.recorded("signin:ListRolesWithSAML")
    await scene.world.services.uses.flush()

    page = await scene.page(size=size, scripts=scripts)
    await scene.arrive(page, pair("Admin"))
    await open_menu_entry(page, scene, size)
    await page.click("main >> text=Corp")
    await page.click("text=Audit records of this provider")
    await page.locator("tr", has_text="InvalidIdentityToken").locator("a").first.click()
    why = page.locator(".answer")
    await expect(why).to_contain_text("Why this proof was refused")
    await expect(why).to_contain_text("https://wrong.example/sp")
    await expect(why).to_contain_text("Set the audience")
    await why.locator("a").click()
    await expect(page.locator("h1")).to_have_text("Diagnose a proof")
    await expect(page.locator("[name=arn]")).to_have_value(
        f"arn:aws:iam::{ACCOUNT}:saml-provider/Corp"
    )
    assert await fits(page)
