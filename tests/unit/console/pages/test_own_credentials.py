"""One's own password, devices, keys and other credentials, over HTTP."""

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from lxml import html

from broker.model.credentials import MfaDevice
from broker.model.entities import InlinePolicy
from broker.stores.directory import kinds
from broker.stores.directory.kinds import MFA_DEVICE
from broker.stores.directory.policies import put_inline_policy
from tests.support.certificates import server_certificate
from tests.support.passwords import (
    PASSWORD,
    SAME,
    create_user,
    give_device,
    send_password,
    send_step,
    switch_root_on,
)
from tests.support.signin import ACCOUNT, SignInWorld, form_fields, pair, text_of
from tests.support.totp import PERIOD, oath_code

HOME = "/console/security"
SERVICES = f"{HOME}/services"
MFA = f"{HOME}/mfa"
OWN_USER = "arn:aws:iam::*:user/staff/${aws:username}"


def policy(*actions: str, resource: str | list[str] = "*") -> str:
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": resource}
    return json.dumps({"Version": "2012-10-17", "Statement": statement})


ALL = policy("iam:*")


def ssh_key() -> str:
    public = rsa.generate_private_key(65537, 2048).public_key()
    form = serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    return public.public_bytes(*form).decode()


async def signed_in(world: SignInWorld, document: str | None = ALL) -> Any:
    await create_user(world, policy=document)
    browser = world.browser()
    entered = await send_password(browser)
    assert entered.status_code == 303, entered.text
    return browser


async def post(browser: Any, page: str, action: str, **typed: str) -> Any:
    """Send the form that posts to ``action`` on a page."""
    view = await browser.get(page)
    fields = form_fields(view, action)
    return await browser.post(action, data={**fields, **typed}, headers=SAME)


async def csrf(browser: Any) -> dict[str, str]:
    return form_fields(await browser.get("/console/"), "/console/sign-out")


async def act(browser: Any, path: str, **typed: str) -> Any:
    """Send a form without its page, as whoever loaded it before would."""
    return await browser.post(path, data={**await csrf(browser), **typed}, headers=SAME)


def secret_on(page: Any) -> str:
    (match,) = html.fromstring(page.text).xpath("//*[@id='secret']")
    text: str = match.text_content().strip()
    return text


async def test_a_user_finds_what_they_have(world: SignInWorld) -> None:
    browser = await signed_in(world)
    page = await browser.get(HOME)
    assert page.status_code == 200
    assert len(page.content) < 60_000
    text = text_of(page)
    assert "ann, arn:" in text
    assert "You have no MFA device" in text
    assert (await browser.get(SERVICES)).status_code == 200


async def test_what_policies_do_not_allow_is_named_in_its_place(
    world: SignInWorld,
) -> None:
    browser = await signed_in(world, policy("iam:ListAccessKeys", resource=OWN_USER))
    page = await browser.get(HOME)
    assert page.status_code == 200
    text = text_of(page)
    for missing in ("iam:ListMFADevices", "iam:ListSigningCertificates"):
        assert f"is not authorized to perform: {missing}" in text
    assert "iam:ListAccessKeys" not in text
    made = await act(browser, f"{HOME}/access-keys/new")
    assert made.status_code == 403
    assert "iam:CreateAccessKey" in text_of(made)


async def test_a_federated_person_is_told_what_applies(world: SignInWorld) -> None:
    browser = world.browser()
    await world.sign_in(browser, pair("Reader"))
    page = await browser.get(HOME)
    text = text_of(page)
    assert "with the role Reader" in text
    assert "identity provider, Corp" in text
    for path in (f"{HOME}/password", f"{MFA}/passkey", SERVICES):
        assert "with the role Reader" in text_of(await browser.get(path))
    made = await act(browser, f"{HOME}/access-keys/new")
    assert "with the role Reader" in text_of(made)


async def test_the_password_is_changed_by_anyone_who_knows_it(
    world: SignInWorld,
) -> None:
    browser = await signed_in(world)
    page, new = f"{HOME}/password", "Another-horse-8"
    assert "At least 8 characters" in text_of(await browser.get(page))
    for typed, said in (
        (
            {"old_password": "wrong", "new_password": new, "new_password_again": new},
            "The old password was incorrect.",
        ),
        (
            {
                "old_password": PASSWORD,
                "new_password": new,
                "new_password_again": new + "x",
            },
            "do not match",
        ),
        (
            {
                "old_password": PASSWORD,
                "new_password": "short",
                "new_password_again": "short",
            },
            "minimum length of 8",
        ),
        (
            {"old_password": "", "new_password": "", "new_password_again": ""},
            "oldPassword",
        ),
    ):
        refused = await post(browser, page, page, **typed)
        assert refused.status_code in {400, 403}
        assert said in text_of(refused)
        assert PASSWORD not in refused.text
        assert new not in refused.text
    typed = {"old_password": PASSWORD, "new_password": new, "new_password_again": new}
    changed = await post(browser, page, page, **typed)
    assert changed.headers["location"] == HOME
    assert "was changed" in text_of(await browser.get(changed.headers["location"]))
    assert (await send_password(world.browser())).status_code == 403
    assert (await send_password(world.browser(), password=new)).status_code == 303
    record = await world.recorded("iam:ChangePassword")
    assert new not in str(record)
    assert PASSWORD not in str(record)


async def test_an_access_key_is_shown_once_and_switched_and_deleted(
    world: SignInWorld,
) -> None:
    browser = await signed_in(world)
    made = await post(browser, HOME, f"{HOME}/access-keys/new")
    secret = secret_on(made)
    assert len(secret) == 40
    (key,) = html.fromstring(made.text).xpath("//*[@id='fact-1']/code/text()")
    page = await browser.get(HOME)
    assert key in page.text
    assert secret not in page.text
    assert "Never used" in text_of(page)
    off = await post(browser, HOME, f"{HOME}/status")
    assert off.status_code == 303
    assert "Inactive" in text_of(await browser.get(HOME))
    ask = f"{HOME}/remove?kind=access-key&id={key}"
    gone = await post(browser, ask, f"{HOME}/remove")
    assert gone.headers["location"] == HOME
    assert key not in (await browser.get(HOME)).text


async def test_what_is_not_ones_own_is_neither_switched_nor_deleted(
    world: SignInWorld,
) -> None:
    browser = await signed_in(world)
    made = await act(browser, f"{HOME}/access-keys/new")
    (key,) = html.fromstring(made.text).xpath("//*[@id='fact-1']/code/text()")
    await create_user(world, "bob", policy=ALL)
    other = world.browser()
    await send_password(other, "bob")
    params = {"kind": "access-key", "id": key}
    assert (await act(other, f"{HOME}/remove", **params)).status_code == 404
    off = await act(other, f"{HOME}/status", **params, status="Inactive")
    assert off.status_code == 404
    assert key in (await browser.get(HOME)).text


@pytest.mark.parametrize(
    ("path", "typed"),
    [
        ("status", {"kind": "access-key", "id": "AKIA" + "A" * 16, "status": "Gone"}),
        ("status", {"kind": "password", "id": "x", "status": "Active"}),
        ("remove", {"kind": "<b>", "id": "x"}),
        ("upload", {"kind": "access-key", "text": "x"}),
        ("remove", {"kind": "access-key", "id": "x"}),
    ],
)
async def test_forms_that_no_page_has_do_nothing(
    world: SignInWorld, path: str, typed: dict[str, str]
) -> None:
    browser = await signed_in(world)
    answer = await act(browser, f"{HOME}/{path}", **typed)
    assert answer.status_code in {400, 404}
    assert "<b>" not in answer.text


async def test_forms_need_this_sessions_token(world: SignInWorld) -> None:
    browser = await signed_in(world)
    for path in ("access-keys/new", "password", "mfa/app", "mfa/passkey", "remove"):
        answer = await browser.post(f"{HOME}/{path}", data={"id": "x"}, headers=SAME)
        assert answer.status_code == 403
    assert "None." in text_of(await browser.get(HOME))


async def made_app(browser: Any, **typed: str) -> tuple[Any, str]:
    page = await post(browser, f"{MFA}/app", f"{MFA}/app", **typed)
    (seed,) = html.fromstring(page.text).xpath("//*[@id='seed']/code/text()")
    return page, seed


def codes(world: SignInWorld, seed: str) -> dict[str, str]:
    at = int(world.clock.now().timestamp())
    return {
        "first_code": oath_code(seed, at - PERIOD),
        "second_code": oath_code(seed, at),
    }


async def enable(browser: Any, page: Any, **typed: str) -> Any:
    fields = form_fields(page, f"{MFA}/app/enable")
    return await browser.post(
        f"{MFA}/app/enable", data={**fields, **typed}, headers=SAME
    )


async def test_an_authenticator_app_is_given_its_secret_and_shows_two_codes(
    world: SignInWorld,
) -> None:
    browser = await signed_in(world)
    page, seed = await made_app(browser)
    assert "img-src 'self' data:;" in page.headers["content-security-policy"]
    (picture,) = html.fromstring(page.text).xpath("//img/@src")
    png = base64.b64decode(picture.removeprefix("data:image/png;base64,"))
    assert png.startswith(b"\x89PNG")
    again = await enable(browser, page, first_code="000000", second_code="000000")
    assert again.status_code == 403
    assert "not valid" in text_of(again)
    # The secret and its picture are still there, for another try.
    assert (seed, picture) == (
        html.fromstring(again.text).xpath("//*[@id='seed']/code/text()")[0],
        html.fromstring(again.text).xpath("//img/@src")[0],
    )
    done = await enable(browser, again, **codes(world, seed))
    assert done.headers["location"] == HOME
    text = text_of(await browser.get(HOME))
    assert f"arn:aws:iam::{ACCOUNT}:mfa/ann" in text
    assert "signed in without MFA" in text


async def test_a_secret_that_a_form_brings_is_not_put_on_the_page(
    world: SignInWorld,
) -> None:
    browser = await signed_in(world)
    page, _ = await made_app(browser)
    typed = {
        "secret": "<script>",
        "secret_picture": "x' onerror='alert(1)",
        "first_code": "1",
    }
    again = await enable(browser, page, **typed, second_code="2")
    assert again.status_code == 400
    assert "<script>" not in again.text.replace('<script src="', "")
    assert html.fromstring(again.text).xpath("//img") == []


async def test_a_device_that_was_begun_can_be_dropped_or_begun_again(
    world: SignInWorld,
) -> None:
    browser = await signed_in(world)
    page, _ = await made_app(browser)
    gone = await enable(browser, page, cancel="yes", first_code="", second_code="")
    assert gone.headers["location"] == HOME
    page, first = await made_app(browser)
    refused = await post(browser, f"{MFA}/app", f"{MFA}/app", name="ann")
    assert refused.status_code == 409
    assert "already exists" in text_of(refused)
    again, second = await made_app(browser, name="ann", replace="yes")
    assert first != second
    assert (await enable(browser, again, **codes(world, second))).status_code == 303
    used = await post(browser, f"{MFA}/app", f"{MFA}/app", name="ann", replace="yes")
    assert used.status_code == 409
    assert "in use" in text_of(used)


async def imported_token(world: SignInWorld, serial: str) -> str:
    services = world.services
    from broker.kinds.mfa_devices import import_token

    seed = bytes(range(20))
    async with services.stores.directory.change(ACCOUNT) as change:
        account = await change.find(kinds.ACCOUNT, ACCOUNT)
        assert account is not None
        await import_token(
            change,
            account,
            serial=serial,
            seed=seed,
            period_seconds=30,
            sealer=services.vault,
            now=world.clock.now(),
        )
    return base64.b32encode(seed).decode()


async def test_a_hardware_token_is_assigned_resynced_and_removed(
    world: SignInWorld,
) -> None:
    browser = await signed_in(world)
    serial = "GAHT12345678"
    seed = await imported_token(world, serial)
    wrong = await post(
        browser,
        f"{MFA}/token",
        f"{MFA}/token",
        serial="GAHT1",
        first_code="1",
        second_code="2",
    )
    assert wrong.status_code == 400
    assert 'value="GAHT1"' in wrong.text
    done = await post(
        browser, f"{MFA}/token", f"{MFA}/token", serial=serial, **codes(world, seed)
    )
    assert done.headers["location"] == HOME
    assert "Hardware token" in text_of(await browser.get(HOME))
    world.clock.move(120)
    ask = f"{MFA}/resync?serial={serial}"
    synced = await post(browser, ask, f"{MFA}/resync", **codes(world, seed))
    assert synced.headers["location"] == HOME
    # Who signed in before there was a factor showed none.
    kept = await post(browser, f"{MFA}/remove?serial={serial}", f"{MFA}/remove")
    assert kept.status_code == 403
    world.clock.move(120)
    browser = world.browser()
    response = await send_password(browser)
    code = codes(world, seed)["second_code"]
    await send_step(browser, response, "factor", factor="code", code=code)
    gone = await post(browser, f"{MFA}/remove?serial={serial}", f"{MFA}/remove")
    assert gone.headers["location"] == HOME
    device = await world.services.stores.directory.named(MFA_DEVICE, ACCOUNT, serial)
    assert isinstance(device, MfaDevice)
    assert device.user_id is None


async def test_a_removed_app_is_deleted_or_said_to_be_left(world: SignInWorld) -> None:
    user = await create_user(world, policy=policy("iam:DeactivateMFADevice"))
    phone = await give_device(world, user.user_id)
    browser = world.browser()
    response = await send_password(browser)
    await send_step(browser, response, "factor", factor="code", code=phone.code(world))
    gone = await act(browser, f"{MFA}/remove", serial=phone.serial)
    assert gone.headers["location"] == HOME
    assert "iam:DeleteVirtualMFADevice" in text_of(
        await browser.get(gone.headers["location"])
    )
    directory = world.services.stores.directory
    async with directory.change(ACCOUNT) as change:
        await put_inline_policy(
            change,
            InlinePolicy(
                account=ACCOUNT, owner_id=user.user_id, name="own", document=ALL
            ),
        )
    other = await give_device(world, user.user_id, "other")
    gone = await act(browser, f"{MFA}/remove", serial=other.serial)
    assert gone.headers["location"] == HOME
    assert await directory.named(MFA_DEVICE, ACCOUNT, other.serial) is None


async def test_credentials_of_other_services_are_made_and_ended(
    world: SignInWorld,
) -> None:
    browser = await signed_in(world)
    made = await post(
        browser, SERVICES, f"{SERVICES}/new", service="codecommit.amazonaws.com"
    )
    secret = secret_on(made)
    page = await browser.get(SERVICES)
    assert f"ann-at-{ACCOUNT}" in page.text
    assert secret not in page.text
    reset = await post(browser, SERVICES, f"{SERVICES}/reset")
    assert secret_on(reset) != secret
    assert (await post(browser, SERVICES, f"{HOME}/status")).status_code == 303
    (link,) = html.fromstring((await browser.get(SERVICES)).text).xpath(
        "//a[contains(@href, '/remove')]/@href"
    )
    assert "kind=service" in link
    gone = await post(browser, link, f"{HOME}/remove")
    assert gone.headers["location"] == SERVICES
    key = await post(
        browser, SERVICES, f"{SERVICES}/new", service="bedrock.amazonaws.com"
    )
    assert "API key" in text_of(key)
    none = await post(browser, SERVICES, f"{SERVICES}/new", service="x.example.com")
    assert none.status_code == 404


async def test_keys_and_certificates_are_uploaded(world: SignInWorld) -> None:
    browser = await signed_in(world)
    for kind, text, page in (
        ("ssh-key", ssh_key(), SERVICES),
        ("certificate", server_certificate()[0], HOME),
    ):
        ask = f"{HOME}/upload?kind={kind}"
        wrong = await post(browser, ask, f"{HOME}/upload", text="<nonsense>")
        assert wrong.status_code == 400
        assert "&lt;nonsense&gt;" in wrong.text
        done = await post(browser, ask, f"{HOME}/upload", text=text)
        assert done.headers["location"] == page
        (link,) = html.fromstring((await browser.get(page)).text).xpath(
            "//a[contains(@href, '/remove')]/@href"
        )
        gone = await post(browser, link, f"{HOME}/remove")
        assert gone.headers["location"] == page


async def test_root_finds_its_own(world: SignInWorld) -> None:
    await switch_root_on(world)
    phone = await give_device(world, ACCOUNT)
    browser = world.browser()
    from tests.support.passwords import ROOT_PASSWORD

    response = await send_password(browser, "", ROOT_PASSWORD, kind="root")
    entered = await send_step(
        browser, response, "factor", factor="code", code=phone.code(world)
    )
    assert entered.status_code == 303
    text = text_of(await browser.get(HOME))
    assert "The root user" in text
    assert phone.serial in text
    assert "signed in without MFA" not in text
    assert secret_on(await act(browser, f"{HOME}/access-keys/new"))
    assert "The operator sets the root user" in text_of(
        await browser.get(f"{HOME}/password")
    )
    assert "broker mfa enable-root" in text_of(await browser.get(f"{MFA}/new"))
    assert "Only IAM users can have these" in text_of(await browser.get(SERVICES))


async def test_no_secret_of_these_pages_is_kept_when_the_session_is_over(
    world: SignInWorld,
) -> None:
    """A form that comes too late is shown once more, without what nobody may read."""
    browser = await signed_in(world)
    world.clock.move(43_200)
    secrets = {
        f"{HOME}/password": ("old_password", "new_password", "new_password_again"),
        f"{MFA}/app/enable": ("first_code", "second_code", "secret", "secret_picture"),
    }
    for path, names in secrets.items():
        typed = {**dict.fromkeys(names, "HARD-TO-GUESS"), "name": "kept"}
        answer = await browser.post(path, data=typed, headers=SAME)
        assert "kept" in text_of(answer)
        assert "HARD-TO-GUESS" not in answer.text
