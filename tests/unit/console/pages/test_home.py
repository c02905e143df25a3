"""Inside: the session, its credentials, its end."""

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.session import Session
from lxml import html
from msgspec.structs import replace

from broker.console.client_settings import SERVICES, client_variables
from broker.errors import ExpiredToken
from broker.model.revocation import Revocation
from broker.model.session import SessionKind
from broker.stores.directory.kinds import ROLE
from tests.support.rows import cases
from tests.support.signin import (
    ACCOUNT,
    APPS,
    COOKIE,
    ORIGIN,
    SignInWorld,
    form_fields,
    get_signin_token,
    login_url,
    session_json,
    text_of,
)

SAME = {"sec-fetch-site": "same-origin"}
FORMS = {
    "file": {"credentials": "file", "config": "file_config"},
    "process": {"broker.json": "process", "config": "process_config"},
}
"""What goes into which file below ``~/.aws``."""


async def show_credentials(browser: Any) -> Any:
    home = await browser.get("/console/")
    fields = form_fields(home, "/console/credentials")
    return await browser.post("/console/credentials", data=fields, headers=SAME)


def shown_values(page: Any) -> dict[str, str]:
    """What the bash snippet exports."""
    (bash,) = html.fromstring(page.text).xpath("//pre[@id='bash']")
    return dict(
        line.removeprefix("export ").split("=", 1)
        for line in bash.text_content().strip().splitlines()
    )


async def revoke(world: SignInWorld, target: str, before_ms: int | None = None) -> None:
    now = world.clock.now()
    async with world.services.stores.directory.change(ACCOUNT) as change:
        await change.revoke(
            Revocation(
                account=ACCOUNT,
                target=target,
                not_before_ms=before_ms,
                expires_at=now + timedelta(days=2),
            )
        )


async def test_home_shows_who_one_is(world: SignInWorld) -> None:
    browser = world.browser()
    await world.sign_in(
        browser, aws={"tags": {"Team": "blue"}, "source_identity": "alice"}
    )
    label = text_of(await browser.get("/console/"))
    for text in (
        f"example ({ACCOUNT})",
        "Reader",
        "alice@example.com",
        "Source identity",
        "Team",
        "blue",
        "59 min",
        f"arn:aws:sts::{ACCOUNT}:assumed-role/Reader/alice@example.com",
    ):
        assert text in label


async def test_no_secret_is_on_the_page_until_it_is_asked_for(
    world: SignInWorld,
) -> None:
    browser = world.browser()
    await world.sign_in(browser)
    home = await browser.get("/console/")
    assert "AWS_SECRET_ACCESS_KEY" not in home.text
    assert browser.cookies[COOKIE] not in home.text
    assert not any("Credentials" in record.action for record in await world.audit())


async def test_shown_credentials_work_and_count_as_chained(world: SignInWorld) -> None:
    browser = world.browser()
    await world.sign_in(browser, aws={"duration": "7200"})
    page = await show_credentials(browser)
    assert page.status_code == 200
    assert page.headers["cache-control"] == "no-store"
    values = shown_values(page)
    resolved = await world.services.resolver.resolve(
        values["AWS_ACCESS_KEY_ID"], values["AWS_SESSION_TOKEN"], world.clock.now()
    )
    assert resolved.secret.reveal() == values["AWS_SECRET_ACCESS_KEY"]
    assert resolved.caller.principal.session_name == "alice@example.com"
    assert resolved.session.chain_depth == 1
    left = resolved.session.expires_at - world.clock.now().timestamp()
    assert left == pytest.approx(3600, abs=3)
    console = (await world.recorded("sts:AssumeRoleWithSAML")).session
    assert resolved.session.issued_at_ms == console["issued_at_ms"]
    assert resolved.session.parent_key_id == console["access_key_id"]


async def test_the_other_forms_hold_the_same_credentials(world: SignInWorld) -> None:
    browser = world.browser()
    await world.sign_in(browser)
    tree = html.fromstring((await show_credentials(browser)).text)
    bash, shell, file = (
        tree.xpath(f"//pre[@id='{name}']")[0].text_content()
        for name in ("bash", "powershell", "file")
    )
    secret = bash.split("AWS_SECRET_ACCESS_KEY=")[1].splitlines()[0]
    assert f'$Env:AWS_SECRET_ACCESS_KEY="{secret}"' in shell
    assert f"aws_secret_access_key={secret}" in file
    assert file.startswith(f"[{ACCOUNT}_Reader]\n")


def pasted(page: Any, form: str, folder: Path) -> Session:
    """AWS's own reading of what a form says to paste, in a home of its own."""
    tree = html.fromstring(page.text)
    for place, name in FORMS[form].items():
        (text,) = tree.xpath(f"//pre[@id='{name}']")
        path = folder / ".aws" / place
        path.parent.mkdir(exist_ok=True)
        path.write_text(text.text_content())
    (tried,) = tree.xpath(f"//*[@id='try_{form}']/code")
    words = tried.text_content().split()
    return Session(
        profile=words[words.index("--profile") + 1] if "--profile" in words else None,
        session_vars={
            "config_file": (None, None, str(folder / ".aws" / "config"), None),
            "credentials_file": (
                None,
                None,
                str(folder / ".aws" / "credentials"),
                None,
            ),
        },
    )


@pytest.mark.parametrize("form", FORMS)
async def test_pasted_files_speak_to_this_broker(
    world: SignInWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    for name in ("AWS_PROFILE", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    browser = world.browser()
    await world.sign_in(browser)
    session = pasted(await show_credentials(browser), form, tmp_path)
    for service, path in SERVICES.items():
        client = session.create_client(service.replace("_", "-"))
        assert client.meta.endpoint_url == f"{ORIGIN}{path}"
    keys = session.get_credentials().get_frozen_credentials()
    resolved = await world.services.resolver.resolve(
        keys.access_key, keys.token, world.clock.now()
    )
    assert resolved.secret.reveal() == keys.secret_key


async def test_pasted_variables_leave_nothing_to_awss_own_endpoints(
    world: SignInWorld,
) -> None:
    browser = world.browser()
    await world.sign_in(browser)
    tree = html.fromstring((await show_credentials(browser)).text)
    for form, say in (
        ("bash", "export {}={}"),
        ("powershell", '$Env:{}="{}"'),
        ("fish", "set -gx {} {}"),
    ):
        (text,) = tree.xpath(f"//pre[@id='{form}']")
        lines = text.text_content().splitlines()
        settings = client_variables(ORIGIN, "us-east-1")
        assert lines[3:] == [say.format(*pair) for pair in settings.items()]
        (tried,) = tree.xpath(f"//*[@id='try_{form}']/code")
        assert tried.text == "aws sts get-caller-identity"


async def test_shown_credentials_never_outlive_the_session(world: SignInWorld) -> None:
    browser = world.browser()
    await world.sign_in(browser)
    world.clock.move(3000)
    await show_credentials(browser)
    session = (await world.audit())[0].session
    console = (await world.recorded("sts:AssumeRoleWithSAML")).session
    assert session["expires_at"] <= console["expires_at"]
    assert session["expires_at"] == pytest.approx(console["expires_at"], abs=1)


async def test_shown_credentials_open_no_longer_console(world: SignInWorld) -> None:
    browser = world.browser()
    await world.sign_in(browser, aws={"duration": "7200"})
    (bash,) = html.fromstring((await show_credentials(browser)).text).xpath(
        "//pre[@id='bash']"
    )
    values = [line.split("=", 1)[1] for line in bash.text_content().splitlines()[:3]]
    minted = await world.mint(SessionKind.ASSUME_ROLE)
    session = session_json(
        minted, sessionId=values[0], sessionKey=values[1], sessionToken=values[2]
    )
    params = {"Action": "getSigninToken", "Session": session}
    plain = await browser.get("/federation", params=params)
    longer = await browser.get(
        "/federation", params=params | {"SessionDuration": "900"}
    )
    assert (plain.status_code, longer.status_code) == (200, 400)


async def test_signing_out_ends_the_session_for_good(world: SignInWorld) -> None:
    browser = world.browser()
    await world.sign_in(browser)
    cookie = browser.cookies[COOKIE]
    fields = form_fields(await browser.get("/console/"), "/console/sign-out")
    answer = await browser.post("/console/sign-out", data=fields, headers=SAME)
    assert (answer.status_code, answer.headers["location"]) == (
        303,
        "/signin/signed-out",
    )
    assert COOKIE not in browser.cookies
    assert (await browser.get("/signin/signed-out")).status_code == 200
    stale = await world.browser(cookies={COOKIE: cookie}).get("/console/")
    assert (stale.status_code, stale.headers["location"]) == (303, "/signin")
    assert (await world.recorded("signin:ConsoleLogout")).principal_id
    live = (await world.recorded("sts:AssumeRoleWithSAML")).session["access_key_id"]
    assert await world.services.stores.cache.find_session(live) is None


async def test_signing_out_twice_is_no_error(world: SignInWorld) -> None:
    answer = await world.browser().post("/console/sign-out", headers=SAME)
    assert answer.status_code == 303


async def test_after_its_end_a_session_shows_the_way_back(world: SignInWorld) -> None:
    browser = world.browser()
    token = await get_signin_token(browser, await world.mint(SessionKind.ASSUME_ROLE))
    await browser.get(login_url(token, Issuer=f"{APPS}/login"))
    world.clock.move(3601)
    page = await browser.get("/console/")
    assert page.status_code == 403
    assert "Your session has ended" in page.text
    assert html.fromstring(page.text).xpath("//a[@id='issuer_link']/@href") == [
        f"{APPS}/login"
    ]
    posted = await browser.post("/console/credentials", headers=SAME)
    assert posted.status_code == 403
    assert "Your session has ended" in posted.text


@pytest.mark.parametrize("issuer", ["https://evil.example/", "javascript:alert(1)"])
async def test_an_issuer_elsewhere_is_text_and_no_link(
    world: SignInWorld, issuer: str
) -> None:
    browser = world.browser()
    token = await get_signin_token(browser, await world.mint(SessionKind.ASSUME_ROLE))
    await browser.get(login_url(token, Issuer=issuer))
    assert issuer in text_of(await browser.get("/console/"))
    world.clock.move(3601)
    page = await browser.get("/console/")
    assert issuer in text_of(page)
    links = html.fromstring(page.text).xpath("//@href")
    assert all(link.startswith(("/", "#")) for link in links)


async def test_revoking_the_console_session_ends_it_and_what_it_showed(
    world: SignInWorld,
) -> None:
    browser = world.browser()
    await world.sign_in(browser)
    values = shown_values(await show_credentials(browser))
    key, token = values["AWS_ACCESS_KEY_ID"], values["AWS_SESSION_TOKEN"]
    resolver = world.services.resolver
    assert await resolver.resolve(key, token, world.clock.now())
    console = (await world.recorded("sts:AssumeRoleWithSAML")).session
    await revoke(world, console["access_key_id"])
    assert (await browser.get("/console/")).status_code == 403
    with pytest.raises(ExpiredToken):
        await resolver.resolve(key, token, world.clock.now())


async def test_a_mark_on_the_credentials_ends_the_console_made_from_them(
    world: SignInWorld,
) -> None:
    """The first issue time is kept: the mark lies before the login."""
    browser = world.browser()
    minted = await world.mint(SessionKind.ASSUME_ROLE)
    mark = minted.session.issued_at_ms + 1
    world.clock.move(60)
    await browser.get(login_url(await get_signin_token(browser, minted)))
    assert (await browser.get("/console/")).status_code == 200
    await revoke(world, minted.session.principal_id, mark)
    assert (await browser.get("/console/")).status_code == 403


async def test_revocation_is_checked_again_at_login(world: SignInWorld) -> None:
    browser = world.browser()
    minted = await world.mint(SessionKind.ASSUME_ROLE)
    token = await get_signin_token(browser, minted)
    await revoke(world, minted.session.access_key_id)
    answer = await browser.get(login_url(token))
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


async def test_the_role_is_checked_again_at_login_and_at_every_page(
    world: SignInWorld,
) -> None:
    browser = world.browser()
    minted = await world.mint(SessionKind.ASSUME_ROLE)
    await browser.get(login_url(await get_signin_token(browser, minted)))
    token = await get_signin_token(browser, minted)
    role = await world.services.fresh.named(ROLE, ACCOUNT, "Reader")
    assert role is not None
    async with world.services.stores.directory.change(ACCOUNT) as change:
        await change.remove(ROLE, role)
        await change.insert(ROLE, replace(role, role_id="AROANEWLYMADEROLE000"))
    assert (await browser.get(login_url(token))).status_code == 403
    assert (await browser.get("/console/")).status_code == 403


async def test_every_sign_in_gives_a_new_cookie_and_ends_the_old_one(
    world: SignInWorld,
) -> None:
    browser = world.browser()
    await world.sign_in(browser)
    first = browser.cookies[COOKIE]
    await world.sign_in(browser)
    assert browser.cookies[COOKIE] != first
    stale = await world.browser(cookies={COOKIE: first}).get("/console/")
    assert stale.status_code == 303


async def test_signin_says_who_is_signed_in(world: SignInWorld) -> None:
    browser = world.browser()
    assert "Account number or alias" in (await browser.get("/signin")).text
    await world.sign_in(browser)
    assert "alice@example.com" in text_of(await browser.get("/signin"))


@cases("account, status")
async def test_signin_names_the_account_and_tells_no_one_which_exist(
    world: SignInWorld, account: str, status: int
) -> None:
    assert (await world.browser().get(f"/signin/{account}")).status_code == status


async def test_the_origin_is_compared_with_the_public_one(world: SignInWorld) -> None:
    browser = world.browser()
    await world.sign_in(browser)
    fields = form_fields(await browser.get("/console/"), "/console/credentials")
    good = await browser.post(
        "/console/credentials", data=fields, headers={"origin": ORIGIN}
    )
    assert good.status_code == 200


async def test_the_process_form_is_what_a_credential_process_prints(
    world: SignInWorld,
) -> None:
    browser = world.browser()
    await world.sign_in(browser)
    page = await show_credentials(browser)
    (view,) = html.fromstring(page.text).xpath("//pre[@id='process']")
    printed = json.loads(view.text_content())
    values = shown_values(page)
    assert printed["Version"] == 1
    assert printed["AccessKeyId"] == values["AWS_ACCESS_KEY_ID"]
    assert printed["SecretAccessKey"] == values["AWS_SECRET_ACCESS_KEY"]
    assert printed["SessionToken"] == values["AWS_SESSION_TOKEN"]
    assert datetime.fromisoformat(printed["Expiration"]) > world.clock.now()


async def test_near_its_end_the_session_warns_and_can_be_renewed(
    world: SignInWorld,
) -> None:
    browser = world.browser()
    await world.sign_in(browser)
    early = html.fromstring((await browser.get("/console/")).text)
    assert early.xpath("//*[@data-warning]/@hidden")
    assert early.xpath("//a[@id='renew_link']/@href") == [f"/signin/{ACCOUNT}"]
    world.clock.move(3400)
    late = html.fromstring((await browser.get("/console/")).text)
    assert late.xpath("//*[@data-warning and not(@hidden)]")
