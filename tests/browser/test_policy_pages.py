"""Policies, roles and the simulator in a real browser, with and without a script."""

import json

import pytest
from playwright.async_api import Page, expect

from tests.browser.test_accessibility import looked_at, needs_axe
from tests.support.administrator import grant
from tests.support.browser import DESKTOP, PHONE, Scene, submit
from tests.support.signin import pair

PATIENCE = 30_000
POLICIES = "/console/policies"


async def arrive(scene: Scene, *, scripts: bool = True, phone: bool = False) -> Page:
    """An administrator's window."""
    await grant(scene.world, "*")
    page = await scene.page(size=PHONE if phone else DESKTOP, scripts=scripts)
    page.set_default_timeout(PATIENCE)
    await scene.arrive(page, pair("Admin"))
    return page


@pytest.mark.parametrize("scripts", [True, False])
async def test_a_policy_from_the_form_to_a_new_version(
    scene: Scene, scripts: bool
) -> None:
    page = await arrive(scene, scripts=scripts)
    await page.goto(f"{scene.origin}{POLICIES}")
    await page.click("text=New policy")
    await page.click("button:has-text('Choose from a service')")
    await page.fill("[name='pick.service']", "s3")
    await page.click("button:has-text('Choose service')")
    await page.click(".levels button:has-text('Read (')")
    await page.fill("[name='pick.find']", "GetObjectAcl")
    await page.click("button:has-text('Find')")
    await page.check("input[value='s3:GetObjectAcl']")
    await page.click("button:has-text('Add the ticked actions')")
    await page.click("button:has-text('Close the list')")
    await page.fill("[name='s0.resources']", "arn:aws:s3:::files/*")
    await page.click("button:has-text('Add a condition')")
    await page.fill("[name='s0.c0.operator']", "Bool")
    await page.fill("[name='s0.c0.key']", "aws:SecureTransport")
    await page.fill("[name='s0.c0.values']", "true")
    await page.click("[aria-label='Show as JSON']")
    written = json.loads(await page.input_value("#policy-text"))
    (statement,) = written["Statement"]
    assert statement["Action"] == "s3:GetObjectAcl"
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "true"}}
    broken = await page.input_value("#policy-text")
    await page.fill("#policy-text", broken.replace("s3:GetObjectAcl", "GetObjectAcl"))
    await page.fill("[name=name]", "ReadFiles")
    await page.click("button:has-text('Create policy')")
    await expect(page.locator("#problem")).to_contain_text("Line 6, column 23")
    await expect(page.locator("#problem mark")).to_have_text('"GetObjectAcl"')
    if scripts:
        await expect(page.locator(".gutter .wrong")).to_have_text("6\n")
    await page.click("#problem a")
    if scripts:
        chosen = await page.evaluate(
            "(() => { const a = document.activeElement;"
            " return a.value.slice(a.selectionStart, a.selectionEnd); })()"
        )
        assert chosen == '"GetObjectAcl"'
    await page.fill("#policy-text", broken)
    await page.click("button:has-text('Create policy')")
    await expect(page.locator("h1")).to_have_text("ReadFiles")
    await page.click("a:has-text('Edit')")
    await page.fill("[name='s0.actions']", "s3:Get*")
    await page.click("button:has-text('Save as a new version')")
    await expect(page.locator("#versions")).to_contain_text("v2")
    await page.click("summary:has-text('Attach it')")
    await page.select_option("#used [name=kind]", "role")
    await page.fill("#used [name=name]", "Brief")
    await page.click("button:has-text('Attach')")
    await expect(page.locator("#used")).to_contain_text("Brief")
    assert [text for text in scene.complaints if " 400 " not in text] == []


async def test_a_policy_is_checked_as_it_is_typed(scene: Scene) -> None:
    page = await arrive(scene)
    await page.goto(f"{scene.origin}{POLICIES}/new")
    await page.click("[aria-label='Show as JSON']")
    text = {"Version": "2012-10-17", "Statement": []}
    for action, place in (("GetObject", "4"), ("s3:GetObject", None)):
        statement = {"Effect": "Allow", "Action": action, "Resource": "*"}
        typed = json.dumps({**text, "Statement": statement}, indent=1)
        await page.fill("#policy-text", typed)
        if place:
            await expect(page.locator("#findings mark")).to_have_text('"GetObject"')
            await expect(page.locator(".gutter .wrong")).to_have_count(1)
        else:
            await expect(page.locator("#findings")).to_contain_text("well-formed")
            await expect(page.locator(".gutter .wrong")).to_have_count(0)
            await expect(page.locator("#permissions-now")).to_contain_text("S3")
    assert await page.input_value("#policy-text") == typed
    assert [text for text in scene.complaints if " 400 " not in text] == []


async def test_what_is_wrong_is_said_beside_the_field_and_what_is_new_stands_out(
    scene: Scene,
) -> None:
    page = await arrive(scene)
    await page.goto(f"{scene.origin}/console/groups/new")
    await page.click("#create_button")
    wrong = page.locator(".field:has([name=name]) .wrong-input")
    await expect(wrong).to_be_visible()
    await expect(page.locator("[name=name]")).to_be_focused()
    await page.fill("[name=name]", "a b")
    await expect(wrong).to_have_text("Use letters, digits and + = , . @ _ -")
    await page.fill("[name=name]", "Auditors")
    await expect(wrong).to_have_count(0)
    await page.click("#create_button")
    await expect(page.locator("h1")).to_have_text("Auditors")
    await page.goto(f"{scene.origin}/console/groups/attach?name=Auditors&q=ViewOnly")
    await page.click("button:has-text('Attach') >> nth=0")
    new = page.locator("tr:target")
    await expect(new).to_contain_text("ViewOnlyAccess")


@pytest.mark.parametrize("scripts", [True, False])
async def test_two_administrators_edit_the_same_policy(
    scene: Scene, scripts: bool
) -> None:
    page = await arrive(scene, scripts=scripts)
    await page.goto(f"{scene.origin}{POLICIES}/new")
    await page.fill("[name='s0.actions']", "s3:GetObject")
    await page.fill("[name='s0.resources']", "*")
    await page.fill("[name=name]", "Shared")
    await page.click("button:has-text('Create policy')")
    await page.click("a:has-text('Edit')")
    other = await page.context.new_page()
    await other.goto(page.url)
    await other.fill("[name='s0.actions']", "s3:PutObject")
    await other.click("button:has-text('Save as a new version')")
    await expect(other.locator("h1")).to_have_text("Shared", timeout=PATIENCE)
    await page.fill("[name='s0.actions']", "s3:DeleteObject")
    await page.click("button:has-text('Save as a new version')")
    await expect(page.locator("#conflict")).to_contain_text("s3:PutObject")
    kept = page.locator("[name='s0.actions']")
    await expect(kept).to_have_value("s3:DeleteObject")


@pytest.mark.parametrize("scripts", [True, False])
async def test_a_role_from_making_to_deletion_on_a_phone(
    scene: Scene, scripts: bool
) -> None:
    page = await arrive(scene, scripts=scripts, phone=True)
    await page.goto(f"{scene.origin}/console/roles")
    await page.click("text=New role")
    await page.click("text=People, through a SAML identity provider")
    await page.fill("[name=name]", "People")
    await page.check("label:has-text('AmazonS3ReadOnlyAccess') input")
    await page.click("button:has-text('Edit as a policy')")
    await expect(page.locator("[name='s0.p0.kind']")).to_have_value("Federated")
    await page.click("button.primary:has-text('Create role')")
    await expect(page.locator("h1")).to_have_text("People")
    await expect(page.locator("#trust")).to_contain_text("through Corp (SAML)")
    await page.click("text=New inline policy")
    await page.fill("[name='s0.actions']", "sqs:*")
    await page.fill("[name='s0.resources']", "*")
    await page.fill("[name=policy]", "Queues")
    await page.click("button:has-text('Save')")
    await expect(page.locator("#permissions")).to_contain_text("Queues")
    await page.click("summary:has-text('Revoke older sessions')")
    await page.click("button:has-text('Revoke all older sessions')")
    await expect(page.locator("#permissions")).to_contain_text("AWSRevokeOlderSessions")
    await page.click("summary:has-text('Delete role')")
    await page.fill("[name=sure]", "People")
    await page.click("button:has-text('Delete role')")
    await expect(page.locator("h1")).to_have_text("Roles")
    assert scene.complaints == []


@pytest.mark.parametrize("scripts", [True, False])
async def test_the_simulator_answers_and_asks_for_keys(
    scene: Scene, scripts: bool
) -> None:
    page = await arrive(scene, scripts=scripts)
    await page.goto(f"{scene.origin}/console/simulator")
    await page.select_option("[name=kind]", "pasted")
    await page.click("button:has-text('Paste a policy')")
    statement = {
        "Effect": "Allow",
        "Action": "s3:GetObject",
        "Resource": "*",
        "Condition": {"StringEquals": {"aws:PrincipalTag/team": "blue"}},
    }
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    await page.fill("[name=policy0]", json.dumps(policy, indent=2))
    await page.fill("[name=actions]", "s3:GetObject\ns3:PutObject")
    await page.click("button:has-text('Find the keys that policies and services use')")
    await expect(page.locator("[name='k0.name']")).to_have_value(
        "aws:PrincipalTag/team"
    )
    await page.click("button.primary:has-text('Simulate')")
    answers = page.locator("article")
    await expect(answers.first).to_contain_text("Condition keys without a value")
    await page.fill("[name='k0.values']", "blue")
    await page.click("button.primary:has-text('Simulate')")
    await expect(answers.first.locator("h2")).to_have_text("Allowed")
    await expect(answers.first.locator("pre")).to_contain_text("PrincipalTag/team")
    await expect(answers.nth(1).locator("h2")).to_have_text("Not allowed")
    assert scene.complaints == []


@needs_axe
@pytest.mark.deep
@pytest.mark.timeout(200)
async def test_the_editors_states_are_accessible(scene: Scene) -> None:
    page = await arrive(scene)
    results: list[str] = []
    await page.goto(f"{scene.origin}{POLICIES}/new")
    await page.click("button:has-text('Add a condition')")
    await page.click("button:has-text('Choose from a service')")
    await page.fill("[name='pick.service']", "sqs")
    await submit(page, "button:has-text('Choose service')")
    results += await looked_at(page)
    await page.click("button:has-text('Add the ticked actions')")
    await page.click("button:has-text('Fold up')")
    await submit(page, ".editor .actions button:has-text('Check')")
    results += await looked_at(page)
    await page.click("[aria-label='Show as JSON']")
    await submit(page, ".editor .actions button:has-text('Check')")
    results += await looked_at(page)
    await page.goto(f"{scene.origin}/console/roles/new?for=saml")
    results += await looked_at(page)
    await page.goto(f"{scene.origin}/console/simulator?principal=role/Admin")
    await page.fill("[name=actions]", "s3:GetObject")
    await page.click("button:has-text('Add a key')")
    await page.click("button:has-text('Paste a policy')")
    await submit(page, "button.primary:has-text('Simulate')")
    results += await looked_at(page)
    assert "\n".join(results) == ""
