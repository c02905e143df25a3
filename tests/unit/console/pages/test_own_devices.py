"""Passkeys over HTTP: registered on one's own page, shown when signing in."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from lxml import html

from broker.model.credentials import Passkey
from broker.model.entities import User
from broker.stores.directory import kinds
from tests.support.authenticator import EDDSA, RS256, Authenticator
from tests.support.passwords import (
    PAGE,
    ROOT_PASSWORD,
    SAME,
    create_user,
    give_device,
    send_password,
    send_step,
    switch_root_on,
)
from tests.support.signin import ACCOUNT, SignInWorld, form_fields, open_world, text_of

ORIGIN = "http://localhost:8080"
HOME = "/console/security"
PASSKEY = f"{HOME}/mfa/passkey"
OWN_USER = "arn:aws:iam::*:user/staff/${aws:username}"
REFUSED = "This passkey was not accepted."


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[SignInWorld]:
    async with open_world(tmp_path, public_url=ORIGIN) as world:
        yield world


def allow(actions: str | list[str], **condition: dict[str, str]) -> str:
    statement: dict[str, Any] = {
        "Effect": "Allow",
        "Action": actions,
        "Resource": OWN_USER,
    }
    if condition:
        statement["Condition"] = condition
    return json.dumps({"Version": "2012-10-17", "Statement": statement})


ALL = allow("iam:*")


async def signed_in(world: SignInWorld, name: str = "ann", **more: Any) -> Any:
    await create_user(world, name, **{"policy": ALL, **more})
    return await enter(world, name)


async def enter(world: SignInWorld, name: str = "ann") -> Any:
    browser = world.browser()
    entered = await send_password(browser, name)
    assert entered.status_code == 303, entered.text
    return browser


def options_on(page: Any) -> str:
    (options,) = html.fromstring(page.text).xpath("//form/@data-options")
    return str(options)


async def answer_page(
    browser: Any, page: Any, credential: str, name: str = "laptop"
) -> Any:
    fields = form_fields(page, PASSKEY)
    typed = {"name": name, "credential": credential}
    return await browser.post(PASSKEY, data={**fields, **typed}, headers=SAME)


async def register(
    browser: Any, authenticator: Authenticator, name: str = "laptop", **knobs: Any
) -> Any:
    page = await browser.get(PASSKEY)
    assert page.status_code == 200, page.text
    credential = authenticator.create(options_on(page), **knobs)
    return await answer_page(browser, page, credential, name)


async def serials(world: SignInWorld) -> list[str]:
    passkeys = await world.services.stores.directory.all_of(kinds.PASSKEY, ACCOUNT)
    return [passkey.serial for passkey in passkeys]


async def test_a_passkey_is_registered_listed_and_removed(world: SignInWorld) -> None:
    browser = await signed_in(world)
    authenticator = Authenticator(ORIGIN)
    done = await register(browser, authenticator)
    assert done.headers["location"] == HOME
    (serial,) = await serials(world)
    assert serial.startswith(f"arn:aws:iam::{ACCOUNT}:u2f/user/ann/laptop-")
    text = text_of(await browser.get(HOME))
    assert "Passkey or security key" in text
    assert serial in text
    record = await world.recorded("signin:RegisterPasskey")
    assert record.parameters == {"DeviceName": "laptop"}
    assert serial in record.resources
    # Who signed in before there was a factor showed none.
    for refused in (
        await remove(browser, serial),
        await register(browser, Authenticator(ORIGIN), "second"),
    ):
        assert refused.status_code == 403
        assert "authenticated with an MFA device" in text_of(refused)
    assert await serials(world) == [serial]
    again = world.browser()
    page = await send_password(again)
    await show(again, page, authenticator.get(options_on(page)))
    assert (await register(again, Authenticator(ORIGIN), "second")).status_code == 303
    gone = await remove(again, serial)
    assert gone.headers["location"] == HOME
    assert len(await serials(world)) == 1


async def remove(browser: Any, serial: str) -> Any:
    ask = await browser.get(f"{HOME}/mfa/remove", params={"serial": serial})
    fields = form_fields(ask, f"{HOME}/mfa/remove")
    return await browser.post(f"{HOME}/mfa/remove", data=fields, headers=SAME)


async def test_an_answer_is_taken_once(world: SignInWorld) -> None:
    browser = await signed_in(world)
    page = await browser.get(PASSKEY)
    credential = Authenticator(ORIGIN).create(options_on(page))
    assert (await answer_page(browser, page, credential)).status_code == 303
    again = await answer_page(browser, page, credential, "other")
    assert again.status_code == 400
    assert "open for too long" in text_of(again)
    assert len(await serials(world)) == 1


async def test_an_answer_is_taken_for_five_minutes(world: SignInWorld) -> None:
    browser = await signed_in(world)
    page = await browser.get(PASSKEY)
    credential = Authenticator(ORIGIN).create(options_on(page))
    world.clock.move(301)
    assert (await answer_page(browser, page, credential)).status_code == 400
    assert await serials(world) == []


async def test_the_challenge_of_another_session_counts_nothing(
    world: SignInWorld,
) -> None:
    """Not even of the same person's; and it is used up for both."""
    here = await signed_in(world)
    there = await enter(world)
    page = await there.get(PASSKEY)
    credential = Authenticator(ORIGIN).create(options_on(page))
    mine = await here.get(PASSKEY)
    fields = form_fields(mine, PASSKEY)
    fields["ceremony"] = form_fields(page, PASSKEY)["ceremony"]
    taken = await here.post(
        PASSKEY, data={**fields, "name": "x", "credential": credential}, headers=SAME
    )
    assert taken.status_code == 400
    assert (await answer_page(there, page, credential)).status_code == 400
    assert await serials(world) == []


async def test_an_answer_to_another_challenge_counts_nothing(
    world: SignInWorld,
) -> None:
    browser = await signed_in(world)
    old = await browser.get(PASSKEY)
    credential = Authenticator(ORIGIN).create(options_on(old))
    refused = await answer_page(browser, await browser.get(PASSKEY), credential)
    assert refused.status_code == 400
    assert "does not prove a new passkey" in text_of(refused)


async def test_a_refused_answer_leads_to_a_new_challenge(world: SignInWorld) -> None:
    browser = await signed_in(world)
    page = await browser.get(PASSKEY)
    knobs: dict[str, Any]
    for knobs in (
        {"origin": "https://evil.example"},
        {"rp_id": "evil.example"},
        {"flags": 0},
        {"client": {"crossOrigin": True}},
    ):
        credential = Authenticator(ORIGIN).create(options_on(page), **knobs)
        page = await answer_page(browser, page, credential, "key-ring")
        assert page.status_code == 400, knobs
        assert 'value="key-ring"' in page.text
    record = await world.recorded("signin:RegisterPasskey")
    assert record.error_code == "ValidationError"
    assert record.detail
    credential = Authenticator(ORIGIN).create(options_on(page))
    done = await answer_page(browser, page, credential, "key-ring")
    assert done.status_code == 303


async def test_a_malformed_answer_is_refused(world: SignInWorld) -> None:
    browser = await signed_in(world)
    page = await browser.get(PASSKEY)
    for credential in ("{}", "[]", "\x00", "x" * 24_001, ""):
        page = await answer_page(browser, page, credential)
        assert page.status_code == 400
    assert "Passkeys need JavaScript" in text_of(page)


async def test_the_permission_is_that_of_enabling_a_device(world: SignInWorld) -> None:
    none = await signed_in(world, policy=allow("iam:List*"))
    refused = await none.get(PASSKEY)
    assert refused.status_code == 403
    assert "iam:EnableMFADevice" in text_of(refused)
    create_only = allow(
        "iam:EnableMFADevice", StringEquals={"iam:RegisterSecurityKey": "Create"}
    )
    half = await signed_in(world, "bob", policy=create_only)
    refused = await register(half, Authenticator(ORIGIN))
    assert refused.status_code == 403
    assert await serials(world) == []
    whole = await signed_in(world, "cem", policy=allow("iam:EnableMFADevice"))
    assert (await register(whole, Authenticator(ORIGIN))).status_code == 303


async def test_at_a_number_the_page_says_why_there_are_none(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        browser = await signed_in(world)
        page = await browser.get(PASSKEY)
        assert page.status_code == 200
        assert "Passkeys are not available here" in text_of(page)
        assert "data-options" not in page.text
        fields = form_fields(await browser.get("/console/"), "/console/sign-out")
        sent = await browser.post(
            PASSKEY, data={**fields, "credential": "{}"}, headers=SAME
        )
        assert "Passkeys are not available here" in text_of(sent)


async def person(
    world: SignInWorld, name: str = "ann", algorithm: int = EDDSA
) -> tuple[User, Authenticator]:
    """A user who has a passkey."""
    user = await create_user(world, name, policy=ALL)
    authenticator = Authenticator(ORIGIN, algorithm)
    browser = await enter(world, name)
    done = await register(browser, authenticator)
    assert done.status_code == 303, done.text
    return user, authenticator


async def show(browser: Any, page: Any, credential: str) -> Any:
    return await send_step(
        browser, page, "factor", factor="passkey", credential=credential
    )


@pytest.mark.parametrize("signed_in", [False, True])
async def test_the_step_of_a_passkey_is_of_the_browser_that_began_it(
    world: SignInWorld, signed_in: bool
) -> None:
    _, authenticator = await person(world)
    browser, victim = world.browser(), world.browser()
    page = await send_password(browser)
    answer = {"factor": "passkey", "credential": authenticator.get(options_on(page))}
    if signed_in:
        await create_user(world, "bob", policy=ALL)
        victim = await enter(world, "bob")
    own = form_fields(await victim.get(PAGE), PAGE)
    stolen = {**form_fields(page, f"{PAGE}/factor"), "csrf": own["csrf"], **answer}
    refused = await victim.post(f"{PAGE}/factor", data=stolen, headers=SAME)
    assert "not started in this browser" in text_of(refused)
    assert ("user/staff/bob" in (await victim.get("/console/")).text) is signed_in
    entered = await send_step(browser, page, "factor", **answer)
    assert entered.status_code == 303


@pytest.mark.parametrize("algorithm", [EDDSA, RS256])
async def test_a_passkey_is_the_second_factor(
    world: SignInWorld, algorithm: int
) -> None:
    _, authenticator = await person(world, algorithm=algorithm)
    browser = world.browser()
    page = await send_password(browser)
    assert page.status_code == 200
    assert "Use your passkey" in text_of(page)
    assert "Code of your device" not in text_of(page)
    assert "Your only device is a passkey" in page.text
    entered = await show(browser, page, authenticator.get(options_on(page)))
    assert (entered.status_code, entered.headers["location"]) == (303, "/console/")
    (passkey,) = await world.services.stores.directory.all_of(kinds.PASSKEY, ACCOUNT)
    assert passkey.sign_count == 1
    assert passkey.last_used_at is not None
    record = await world.recorded("signin:CheckMfa")
    assert record.parameters == {"MFAIdentifier": passkey.serial}
    assert "signed in without MFA" not in text_of(await browser.get(HOME))


async def test_a_policy_that_asks_for_mfa_lets_the_passkey_in(
    world: SignInWorld,
) -> None:
    with_mfa = allow("iam:ListAccessKeys", Bool={"aws:MultiFactorAuthPresent": "true"})
    both = json.loads(with_mfa)
    both["Statement"] = [
        both["Statement"],
        json.loads(allow("iam:Enable*"))["Statement"],
    ]
    await create_user(world, policy=json.dumps(both))
    authenticator = Authenticator(ORIGIN)
    without = await enter(world)
    await register(without, authenticator)
    assert "perform: iam:ListAccessKeys" in text_of(await without.get(HOME))
    browser = world.browser()
    page = await send_password(browser)
    await show(browser, page, authenticator.get(options_on(page)))
    text = text_of(await browser.get(HOME))
    assert "perform: iam:ListMFADevices" in text
    assert "perform: iam:ListAccessKeys" not in text


async def test_an_app_and_a_passkey_are_offered_together(world: SignInWorld) -> None:
    user, authenticator = await person(world)
    phone = await give_device(world, user.user_id)
    browser = world.browser()
    page = await send_password(browser)
    text = text_of(page)
    assert "Code of your device" in text
    assert "Use your passkey" in text
    fields = {"factor": "code", "code": phone.code(world)}
    forms = html.fromstring(page.text).xpath("//form[@id='code_form']//input")
    hidden = {f.get("name"): f.get("value") for f in forms if f.get("type") == "hidden"}
    entered = await browser.post(
        f"{PAGE}/factor", data={**hidden, **fields}, headers=SAME
    )
    assert entered.status_code == 303
    other = world.browser()
    page = await send_password(other)
    forms = html.fromstring(page.text).xpath("//form[@id='passkey_form']//input")
    hidden = {f.get("name"): f.get("value") for f in forms if f.get("type") == "hidden"}
    params = {**hidden, "credential": authenticator.get(options_on(page))}
    entered = await other.post(f"{PAGE}/factor", data=params, headers=SAME)
    assert entered.status_code == 303


async def test_a_wrong_answer_does_not_sign_in(world: SignInWorld) -> None:
    _, authenticator = await person(world)
    knobs: dict[str, Any]
    for knobs in (
        {"origin": "http://localhost:9090"},
        {"origin": "http://127.0.0.1:8080"},
        {"rp_id": "127.0.0.1"},
        {"flags": 0},
        {"client": {"crossOrigin": True}},
        {"challenge": "AAAA"},
        {"signature": b"\x00" * 64},
        {"user_handle": b"AIDASOMEBODYELSE00000"},
        {"answer": {"id": "x", "rawId": "x"}},
    ):
        browser = world.browser()
        page = await send_password(browser)
        answer = authenticator.get(options_on(page), **knobs)
        refused = await show(browser, page, answer)
        assert refused.status_code == 403, knobs
        assert REFUSED in text_of(refused)
        assert (await browser.get("/console/")).status_code == 303
        right = authenticator.get(options_on(refused))
        assert (await show(browser, refused, right)).status_code == 303


async def test_after_five_wrong_answers_the_sign_in_is_over(world: SignInWorld) -> None:
    _, authenticator = await person(world)
    browser = world.browser()
    page = await send_password(browser)
    for _ in range(5):
        last, page = page, await show(browser, page, "{}")
        assert page.status_code == 403
    assert "Too many wrong answers" in text_of(page)
    answer = authenticator.get(options_on(last))
    assert (await show(browser, last, answer)).status_code == 400


async def test_an_answer_to_an_earlier_page_does_not_sign_in(
    world: SignInWorld,
) -> None:
    _, authenticator = await person(world)
    browser = world.browser()
    first = await send_password(browser)
    answer = authenticator.get(options_on(first))
    second = await send_password(browser)
    refused = await show(browser, second, answer)
    assert refused.status_code == 403
    # The first page's own handle is good for its own challenge, once.
    assert (await show(browser, first, answer)).status_code == 303
    assert (await show(browser, first, answer)).status_code == 400


async def test_another_browser_cannot_go_on_with_the_sign_in(
    world: SignInWorld,
) -> None:
    _, authenticator = await person(world)
    mine, theirs = world.browser(), world.browser()
    page = await send_password(mine)
    own = form_fields(await send_password(theirs), f"{PAGE}/factor")
    answer = authenticator.get(options_on(page))
    stolen = form_fields(page, f"{PAGE}/factor")
    params = {**stolen, "csrf": own["csrf"], "factor": "passkey", "credential": answer}
    refused = await theirs.post(f"{PAGE}/factor", data=params, headers=SAME)
    assert refused.status_code in {400, 403}
    assert (await theirs.get("/console/")).status_code == 303


async def test_another_persons_passkey_does_not_sign_in(world: SignInWorld) -> None:
    await person(world, "ann")
    _, theirs = await person(world, "bob")
    browser = world.browser()
    page = await send_password(browser, "ann")
    answer = theirs.get(options_on(page), credential=theirs.credentials[0])
    refused = await show(browser, page, answer)
    assert refused.status_code == 403
    assert REFUSED in text_of(refused)


async def test_a_count_that_goes_back_is_told_and_recorded(world: SignInWorld) -> None:
    _, authenticator = await person(world)
    authenticator.credentials[0].count = 7
    browser = world.browser()
    page = await send_password(browser)
    await show(browser, page, authenticator.get(options_on(page)))
    other = world.browser()
    page = await send_password(other)
    refused = await show(other, page, authenticator.get(options_on(page), count=3))
    assert "may have been copied" in text_of(refused)
    async with asyncio.timeout(5):
        while True:
            results = [r for r in await world.audit() if "went back" in r.detail]
            if results:
                break
            await asyncio.sleep(0.02)
    assert results[0].action == "signin:CheckMfa"


async def test_without_a_script_the_text_says_so(world: SignInWorld) -> None:
    await person(world)
    browser = world.browser()
    page = await send_password(browser)
    refused = await show(browser, page, "")
    assert refused.status_code == 403
    assert "Passkeys need JavaScript" in text_of(refused)


async def test_a_removed_passkey_does_not_sign_in(world: SignInWorld) -> None:
    _, authenticator = await person(world)
    browser = world.browser()
    page = await send_password(browser)
    directory = world.services.stores.directory
    async with directory.change(ACCOUNT) as change:
        (passkey,) = await change.all_of(kinds.PASSKEY, ACCOUNT)
        await change.remove(kinds.PASSKEY, passkey)
    refused = await show(browser, page, authenticator.get(options_on(page)))
    assert refused.status_code in {400, 403}
    assert (await browser.get("/console/")).status_code == 303


async def test_root_has_passkeys_of_its_own(world: SignInWorld) -> None:
    await switch_root_on(world)
    phone = await give_device(world, ACCOUNT)
    browser = world.browser()
    page = await send_password(browser, "", ROOT_PASSWORD, kind="root")
    code = phone.code(world)
    await send_step(browser, page, "factor", factor="code", code=code)
    authenticator = Authenticator(ORIGIN)
    done = await register(browser, authenticator, "safe")
    assert done.status_code == 303
    (serial,) = await serials(world)
    assert serial.startswith(f"arn:aws:iam::{ACCOUNT}:u2f/root/safe-")
    fields = form_fields(await browser.get("/console/"), "/console/sign-out")
    removed = await browser.post(
        f"{HOME}/mfa/remove", data={**fields, "serial": serial}, headers=SAME
    )
    assert removed.headers["location"] == HOME


async def test_at_an_address_without_passkeys_the_sign_in_says_so(
    tmp_path: Path,
) -> None:
    """The broker's address was changed after the passkey was made."""
    async with open_world(tmp_path) as world:
        user = await create_user(world)
        passkey = Passkey(
            account=ACCOUNT,
            serial=f"arn:aws:iam::{ACCOUNT}:u2f/user/ann/laptop-X",
            user_id=user.user_id,
            credential_id=b"id",
            public_key=b"key",
            enabled_at=world.clock.now(),
        )
        async with world.services.stores.directory.change(ACCOUNT) as change:
            await change.insert(kinds.PASSKEY, passkey)
        browser = world.browser()
        page = await send_password(browser)
        assert "cannot be used at this address" in text_of(page)
        assert "data-options" not in page.text


async def test_the_manuals_policy_lets_users_help_themselves_with_mfa(
    world: SignInWorld,
) -> None:
    manual = (Path(__file__).parents[4] / "docs/operating/passwords.md").read_text(
        "utf-8"
    )
    document = manual.partition('```json\n{\n  "Version"')[2].partition("```")[0]
    policy = json.loads(f'{{"Version"{document}')
    policy["Statement"].append({"Effect": "Allow", "Action": "iam:*", "Resource": "*"})
    browser = await signed_in(world, policy=json.dumps(policy))
    text = text_of(await browser.get(HOME))
    assert "perform: iam:ListMFADevices" not in text
    assert "perform: iam:ListAccessKeys" in text
    fields = form_fields(await browser.get("/console/"), "/console/sign-out")
    key = await browser.post(f"{HOME}/access-keys/new", data=fields, headers=SAME)
    assert key.status_code == 403
    app = {**fields, "name": "ann-phone"}
    made = await browser.post(f"{HOME}/mfa/app", data=app, headers=SAME)
    assert made.status_code == 200
    authenticator = Authenticator(ORIGIN)
    assert (await register(browser, authenticator)).status_code == 303
    with_mfa = world.browser()
    page = await send_password(with_mfa)
    await show(with_mfa, page, authenticator.get(options_on(page)))
    text = text_of(await with_mfa.get(HOME))
    assert "is not authorized" not in text
    fields = form_fields(await with_mfa.get("/console/"), "/console/sign-out")
    key = await with_mfa.post(f"{HOME}/access-keys/new", data=fields, headers=SAME)
    assert "Access key created" in text_of(key)
