"""The whole account of the demonstration, set up in the console and nowhere else."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml
from playwright.async_api import Browser, Page, expect

from broker.demo.people import ACCOUNT, ALIAS
from tests.support.broker import RunningBroker, running_broker
from tests.support.browser import CHROMIUM, DESKTOP
from tests.support.demo import running_demo

PATIENCE = 60_000
PASSWORD = "Administrator-1"

Yaml = dict[str, Any]


def account_of(text: str) -> Yaml:
    """What ``broker export`` says of the account."""
    whole = yaml.load(text, Loader=yaml.BaseLoader)
    account: Yaml = whole["Accounts"][ACCOUNT]
    for provider in account["SAMLProviders"]:
        # A form takes the last line's end away.
        provider["SamlMetadataDocument"] = provider["SamlMetadataDocument"].strip()
    return account


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> Yaml:
    """The account that `broker demo` makes, its addresses included."""
    folder = tmp_path_factory.mktemp("wanted") / "demo"
    with running_demo(folder) as demo:
        exported = subprocess.run(
            [sys.executable, "-m", "broker", "export", ACCOUNT],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(folder),
                "BROKER_DATA_DIR": str(folder),
                "BROKER_PUBLIC_URL": demo.broker,
            },
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        return account_of(exported.replace(demo.broker, "https://demo.example.com"))


@pytest.fixture
def broker(tmp_path: Path, wanted: Yaml) -> Iterator[RunningBroker]:
    """An installation with one account, in which there is an administrator only."""
    if not CHROMIUM.exists():
        pytest.skip("Debian's chromium is not installed")
    (provider,) = wanted["OIDCProviders"]
    issuer = provider["Url"].partition("://")[2]
    with running_broker(tmp_path, internal_issuers=issuer) as running:
        iam = running.client("iam", running.create_account(ACCOUNT))
        iam.create_user(UserName="admin")
        iam.attach_user_policy(
            UserName="admin", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess"
        )
        iam.create_login_profile(UserName="admin", Password=PASSWORD)
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def page(broker: RunningBroker, browser: Browser) -> Page:
    page = await browser.new_page(viewport=DESKTOP)  # type: ignore[arg-type] # a dictionary will do
    page.set_default_timeout(PATIENCE)
    await page.goto(f"{broker.url}/signin/{ACCOUNT}")
    await page.fill("#username", "admin")
    await page.fill("#password", PASSWORD)
    await page.click("#password_button")
    await page.wait_for_url("**/console/")
    return page


async def go(page: Page, label: str) -> None:
    """To a page of the menu."""
    await page.click(f"nav#menu >> text={label}")


async def arrived(page: Page, heading: str) -> None:
    await expect(page.locator("h1")).to_have_text(heading, timeout=PATIENCE)


def as_json(document: object) -> str:
    return json.dumps(document, indent=2)


def as_lines(value: str | list[str]) -> str:
    return value if isinstance(value, str) else "\n".join(value)


def as_tags(entity: Yaml) -> str:
    return "\n".join(f"{tag['Key']}={tag['Value']}" for tag in entity.get("Tags", []))


async def name_the_account(page: Page) -> None:
    await go(page, "Account settings")
    await page.fill("[name=alias]", ALIAS)
    await page.click("form:has([name=alias]) button")
    await expect(page.locator("main")).to_contain_text(f"/signin/{ALIAS}")


async def add_providers(page: Page, wanted: Yaml) -> None:
    for provider in wanted["SAMLProviders"]:
        await go(page, "Identity providers")
        await page.click("text=Add SAML")
        await page.fill("[name=name]", provider["Name"])
        await page.fill("[name=metadata]", provider["SamlMetadataDocument"])
        await page.click("button:has-text('Add the provider')")
        await arrived(page, provider["Name"])
    for provider in wanted["OIDCProviders"]:
        await go(page, "Identity providers")
        await page.click("text=Add OpenID Connect")
        await page.fill("[name=url]", provider["Url"])
        await page.fill("[name=clients]", as_lines(provider["ClientIdList"]))
        await page.click("button:has-text('Add the provider')")
        await arrived(page, provider["Url"].partition("://")[2])


async def write_statements(page: Page, document: Yaml) -> None:
    """In the form, without a word of JSON."""
    for number, statement in enumerate(document["Statement"]):
        if number:
            await page.click("text=Add statement")
        await page.fill(f"[name='s{number}.sid']", statement.get("Sid", ""))
        await page.fill(f"[name='s{number}.actions']", as_lines(statement["Action"]))
        await page.fill(
            f"[name='s{number}.resources']", as_lines(statement["Resource"])
        )


async def add_policies(page: Page, wanted: Yaml) -> None:
    for policy in wanted["ManagedPolicies"]:
        await go(page, "Policies")
        await page.click("text=New policy")
        await write_statements(page, policy["PolicyDocument"])
        await page.fill("[name=name]", policy["ManagedPolicyName"])
        await page.fill("[name=description]", policy["Description"])
        await page.click("button:has-text('Create policy')")
        await arrived(page, policy["ManagedPolicyName"])


async def add_groups(page: Page, wanted: Yaml) -> None:
    for group in wanted["Groups"]:
        await go(page, "Groups")
        await page.click("text=New group")
        await page.fill("[name=name]", group["GroupName"])
        await page.click("#create_button")
        await arrived(page, group["GroupName"])
        await page.click("nav[aria-label=Group] >> text=Permissions")
        for arn in group["ManagedPolicyArns"]:
            name = arn.rpartition("/")[2]
            await page.click("text=Attach a policy")
            await page.fill("main [name=q]", name)
            await page.click("main >> text=Find")
            await page.click(f"[aria-label='Attach: {name}']")
            await expect(page.locator("tbody")).to_contain_text(name)


async def write_inline(page: Page, owner: Yaml, link: str) -> None:
    """The policies of the user or role whose permissions are shown."""
    for policy in owner.get("Policies", []):
        await page.click(f"main >> text={link}")
        await page.click("[aria-label='Show as JSON']")
        await page.fill("#policy-text", as_json(policy["PolicyDocument"]))
        await page.fill("[name=policy]", policy["PolicyName"])
        await page.click("button:has-text('Save')")
        await expect(page.locator("main")).to_contain_text(policy["PolicyName"])


async def add_users(page: Page, wanted: Yaml) -> None:
    for user in wanted["Users"]:
        await go(page, "Users")
        await page.click("text=New user")
        await page.fill("[name=name]", user["UserName"])
        await page.fill("[name=tags]", as_tags(user))
        for group in user.get("Groups", []):
            await page.check(f"[name=group][value='{group}']")
        if "LoginProfile" in user:
            await page.check("[name=console][value=generate]")
            await page.uncheck("[name=reset]")
        else:
            await page.check("[name=key]")
        await page.click("#create_button")
        await arrived(page, f"User {user['UserName']} created")
        await page.click(f"text=Go to {user['UserName']}")
        await page.click("nav[aria-label=User] >> text=Permissions")
        await write_inline(page, user, "Create inline policy")


async def add_roles(page: Page, wanted: Yaml) -> None:
    for role in wanted["Roles"]:
        statements = role["AssumeRolePolicyDocument"]["Statement"]
        await go(page, "Roles")
        await page.click("text=New role")
        if ":oidc-provider/" in statements[0]["Principal"]["Federated"]:
            await page.click("main >> text=with an OIDC token")
            (equals,) = statements[0]["Condition"].values()
            for key, value in equals.items():
                field = "audience" if key.endswith(":aud") else "subjects"
                lines = value if isinstance(value, list) else [value]
                await page.fill(f"[name={field}]", "\n".join(lines))
        else:
            await page.click("main >> text=through a SAML identity provider")
            audience = statements[0]["Condition"]["StringLike"]["SAML:aud"]
            await page.fill("[name=audience]", audience)
        if "sts:TagSession" not in statements[0]["Action"]:
            await page.uncheck("[name=tag_session]")
            await page.uncheck("[name=source_identity]")
        for arn in role.get("ManagedPolicyArns", []):
            await page.check(f"[name=chosen][value='{arn}']")
        await page.fill("[name=name]", role["RoleName"])
        await page.fill("[name=description]", role["Description"])
        longest = int(role.get("MaxSessionDuration", 3600))
        await page.fill("[name=minutes]", str(longest // 60))
        await page.click("main >> button:has-text('Create role') >> nth=-1")
        await arrived(page, role["RoleName"])
        if len(statements) > 1:
            await page.click("text=Edit trust policy")
            await page.click("[aria-label='Show as JSON']")
            await page.fill("#policy-text", as_json(role["AssumeRolePolicyDocument"]))
            await page.click("button:has-text('Save')")
            await arrived(page, role["RoleName"])
        await write_inline(page, role, "New inline policy")


async def test_an_administrator_sets_the_demo_up_in_the_console_alone(
    broker: RunningBroker, page: Page, wanted: Yaml
) -> None:
    await name_the_account(page)
    await add_providers(page, wanted)
    await add_policies(page, wanted)
    await add_groups(page, wanted)
    await add_users(page, wanted)
    await add_roles(page, wanted)
    made = account_of(broker.command("export", ACCOUNT))
    assert made["Users"].pop(0)["UserName"] == "admin"
    # A provider's options are the operator's, unless they let an account set them.
    assert wanted["SAMLProviders"][0].pop("Broker") == {"SignIn": "true"}
    assert made == wanted
