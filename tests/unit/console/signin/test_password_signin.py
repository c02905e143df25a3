"""Sign-in with a password: the steps, over HTTP."""

import json
from typing import Any

import httpx2 as httpx
import pytest
from lxml import html
from msgspec.structs import replace

from broker.kinds import mfa_devices
from broker.kinds.credential_report import PASSWORD_USE
from broker.kinds.root_password import end_root_sign_in
from broker.model.account import AccountId
from broker.proofs.attempts import PER_USER
from broker.sessions.revoke import revoke_issued_before
from broker.stores.directory import kinds
from broker.stores.directory.accounts import update_account
from broker.stores.directory.kinds import (
    LOGIN_PROFILE,
    MFA_DEVICE,
    ROLE,
    SAML_PROVIDER,
    USER,
)
from broker.stores.directory.reports import list_uses
from tests.support.deleted_meanwhile import delete_account
from tests.support.passwords import (
    PAGE,
    PASSWORD,
    ROOT_PASSWORD,
    SAME,
    create_user,
    give_device,
    send_password,
    send_step,
    switch_root_on,
)
from tests.support.signin import ACCOUNT, APPS, SignInWorld, form_fields, text_of

WRONG = "Your authentication information is incorrect."
NEW = "Another-horse-8"


def allow(action: str, **more: Any) -> str:
    statement = {"Effect": "Allow", "Action": action, "Resource": "*", **more}
    return json.dumps({"Version": "2012-10-17", "Statement": statement})


MAY_CHANGE = allow(
    "iam:ChangePassword", Resource="arn:aws:iam::*:user/staff/${aws:username}"
)
WITH_MFA = {"Bool": {"aws:MultiFactorAuthPresent": "true"}}


async def set_policy(world: SignInWorld, **policy: int | bool) -> None:
    async with world.services.stores.directory.change(ACCOUNT) as change:
        account = await change.find(kinds.ACCOUNT, ACCOUNT)
        assert account is not None
        await update_account(change, replace(account, password_policy=policy))


async def may(browser: httpx.AsyncClient, action: str) -> bool:
    """What *Try it* says."""
    fields = form_fields(await browser.get("/console/try"), "/console/try")
    asked = {**fields, "action": action, "resource": "*"}
    answer = await browser.post("/console/try", data=asked, headers=SAME)
    assert answer.status_code == 200, text_of(answer)
    return 'class="answer yes' in answer.text or "answer yes" in answer.text


def is_in(answer: httpx.Response, destination: str = "/console/") -> bool:
    return (answer.status_code, answer.headers.get("location")) == (303, destination)


async def test_a_user_signs_in_with_a_password(world: SignInWorld) -> None:
    user = await create_user(world)
    browser = world.browser()
    entered = await send_password(browser)
    assert is_in(entered)
    cookie = entered.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    home = text_of(await browser.get("/console/"))
    assert "IAM user" in home
    assert "Federated user" not in home
    assert user.arn in home
    assert "Signed in withPassword" in home
    record = await world.recorded("signin:ConsoleLogin")
    assert (record.caller_arn, record.door) == (user.arn, "signin")
    assert record.parameters == {"MFAUsed": "No"}
    assert record.session["kind"] == "ConsoleLogin"
    step = await world.recorded("signin:CheckPassword")
    assert (step.caller_arn, step.error_code) == (user.arn, "")
    assert step.parameters == {"UserName": "ann"}


@pytest.mark.parametrize("place", ["example", ACCOUNT])
async def test_the_account_goes_by_alias_or_number(
    world: SignInWorld, place: str
) -> None:
    await create_user(world)
    assert is_in(await send_password(world.browser(), "ANN", page=f"/signin/{place}"))


async def test_the_sessions_permissions_are_the_users_own(world: SignInWorld) -> None:
    await create_user(world, policy=allow("s3:*"))
    browser = world.browser()
    await send_password(browser)
    assert await may(browser, "s3:GetObject")
    assert not await may(browser, "sqs:SendMessage")


async def test_last_use_of_the_password_is_noted(world: SignInWorld) -> None:
    user = await create_user(world)
    await send_password(world.browser(), password="wrong")
    uses, directory = world.services.uses, world.services.stores.directory
    await uses.flush()
    assert not await list_uses(directory, ACCOUNT, [user.user_id])
    await send_password(world.browser())
    await uses.flush()
    stored_uses = await list_uses(directory, ACCOUNT, [user.user_id])
    assert PASSWORD_USE in {(use.service, use.action) for use in stored_uses}


async def test_whatever_is_wrong_the_answer_is_the_same(world: SignInWorld) -> None:
    await create_user(world)
    await create_user(world, "bob", None)
    await switch_root_on(world)  # without a second factor it stays off
    answers = []
    for name, password, more in (
        ("ann", "wrong", {}),
        ("ann", "", {}),
        ("ann", PASSWORD + "x" * 200, {}),
        ("bob", PASSWORD, {}),
        ("nobody", PASSWORD, {}),
        ("", PASSWORD, {}),
        ("", ROOT_PASSWORD, {"kind": "root"}),
        ("ann", PASSWORD, {"page": "/signin/no-such-account"}),
        ("ann", PASSWORD, {"page": "/signin/999999999999"}),
        ("", ROOT_PASSWORD, {"kind": "root", "page": "/signin/999999999999"}),
    ):
        answer = await send_password(world.browser(), name, password, **more)
        assert answer.status_code == 403
        assert WRONG in text_of(answer)
        assert password not in answer.text or not password
        answers.append(answer)
        assert "broker-session" not in str(answer.headers.get_list("set-cookie"))
    assert not [r for r in await world.audit() if r.session]


async def test_what_was_typed_as_an_unknown_name_is_not_recorded(
    world: SignInWorld,
) -> None:
    """It may be the password."""
    await create_user(world)
    await send_password(world.browser(), PASSWORD, "ann")
    record = await world.recorded("signin:CheckPassword")
    assert record.parameters == {"UserName": "HIDDEN_DUE_TO_SECURITY_REASONS"}
    assert (record.error_code, record.decision) == ("AccessDenied", "refused")
    assert PASSWORD not in str(await world.audit())


async def test_a_wrong_password_is_recorded_with_the_users_name(
    world: SignInWorld,
) -> None:
    user = await create_user(world)
    await send_password(world.browser(), "ANN", "wrong")
    record = await world.recorded("signin:CheckPassword")
    assert record.parameters == {"UserName": "ann"}
    assert record.resources == (user.arn,)
    # Nobody proved to be that user.
    assert record.caller_arn == ""


async def test_a_device_is_asked_for_and_reaches_every_decision(
    world: SignInWorld,
) -> None:
    user = await create_user(world, policy=allow("s3:*", Condition=WITH_MFA))
    phone = await give_device(world, user.user_id)
    browser = world.browser()
    asked = await send_password(browser)
    assert asked.status_code == 200
    assert "Second factor" in text_of(asked)
    assert (await browser.get("/console/")).status_code == 303
    assert is_in(await send_step(browser, asked, "factor", code=phone.code(world)))
    assert await may(browser, "s3:GetObject")
    record = await world.recorded("signin:ConsoleLogin")
    assert record.parameters == {"MFAUsed": "Yes", "MFAIdentifier": phone.serial}
    step = await world.recorded("signin:CheckMfa")
    assert (step.caller_arn, step.error_code) == (user.arn, "")


async def test_without_a_device_the_session_says_that_there_was_none(
    world: SignInWorld,
) -> None:
    await create_user(world, policy=allow("s3:*", Condition=WITH_MFA))
    browser = world.browser()
    await send_password(browser)
    assert not await may(browser, "s3:GetObject")


async def test_a_code_of_any_device_will_do(world: SignInWorld) -> None:
    """Using the one does not lock the other."""
    user = await create_user(world)
    phones = [await give_device(world, user.user_id, name) for name in ("a", "b")]
    for phone in [phones[1]] * 6 + [phones[0]]:
        browser = world.browser()
        asked = await send_password(browser)
        assert "You have 2 devices" in text_of(asked)
        assert is_in(await send_step(browser, asked, "factor", code=phone.code(world)))
        world.clock.move(60)


async def test_a_code_counts_once(world: SignInWorld) -> None:
    user = await create_user(world)
    phone = await give_device(world, user.user_id)
    code = phone.code(world)
    for expected in (303, 403):
        browser = world.browser()
        asked = await send_password(browser)
        answer = await send_step(browser, asked, "factor", code=code)
        assert answer.status_code == expected
    assert "already used" in text_of(answer)


async def test_a_wrong_code_may_be_typed_again(world: SignInWorld) -> None:
    user = await create_user(world)
    phone = await give_device(world, user.user_id)
    browser = world.browser()
    asked = await send_password(browser, Destination="/console/sessions")
    again = await send_step(browser, asked, "factor", code="000000")
    assert again.status_code == 403
    code = phone.code(world)
    entered = await send_step(browser, again, "factor", code=f"{code[:3]} {code[3:]}")
    assert is_in(entered, "/console/sessions")


async def test_a_drifted_device_is_asked_for_two_codes(world: SignInWorld) -> None:
    user = await create_user(world)
    phone = await give_device(world, user.user_id)
    phone.off = 600
    browser = world.browser()
    asked = await send_password(browser)
    again = await send_step(browser, asked, "factor", code=phone.code(world))
    assert "two consecutive codes" in text_of(again)
    # One code, or two that do not follow each other, are not enough.
    again = await send_step(browser, again, "factor", code=phone.code(world))
    assert again.status_code == 403
    again = await send_step(
        browser, again, "factor", code=phone.code(world), code2=phone.code(world, 2)
    )
    assert "not two consecutive codes" in text_of(again)
    entered = await send_step(
        browser, again, "factor", code=phone.code(world), code2=phone.code(world, 1)
    )
    assert is_in(entered)
    world.clock.move(60)
    browser = world.browser()
    asked = await send_password(browser)
    assert is_in(await send_step(browser, asked, "factor", code=phone.code(world)))


async def test_a_password_that_must_be_changed_is_changed_first(
    world: SignInWorld,
) -> None:
    await create_user(world, policy=MAY_CHANGE, reset_required=True)
    browser = world.browser()
    asked = await send_password(browser)
    assert "Choose a new password" in text_of(asked)
    assert "At least 8 characters" in text_of(asked)

    async def change(response: httpx.Response, **typed: str) -> httpx.Response:
        params = {"password": PASSWORD, "new": NEW, "again": NEW, **typed}
        return await send_step(browser, response, "new-password", **params)

    again = await change(asked, again="something else")
    assert "do not match" in text_of(again)
    again = await change(again, new="short", again="short")
    assert "minimum length of 8" in text_of(again)
    again = await change(again, password="wrong")
    assert "old password was incorrect" in text_of(again)
    assert (await browser.get("/console/")).status_code == 303
    assert is_in(await change(again))
    assert (await browser.get("/console/")).status_code == 200
    record = await world.recorded("iam:ChangePassword")
    assert (record.door, record.parameters) == ("signin", {})
    assert NEW not in str(await world.audit())
    assert is_in(await send_password(world.browser(), password=NEW))
    assert (await send_password(world.browser())).status_code == 403


async def test_changing_needs_the_users_permission(world: SignInWorld) -> None:
    await create_user(world, reset_required=True)
    browser = world.browser()
    asked = await send_password(browser)
    typed = {"password": PASSWORD, "new": NEW, "again": NEW}
    answer = await send_step(browser, asked, "new-password", **typed)
    assert answer.status_code == 403
    assert "iam:ChangePassword" in text_of(answer)
    await set_policy(world, AllowUsersToChangePassword=True)
    assert is_in(await send_step(browser, answer, "new-password", **typed))


async def test_a_change_may_ask_for_the_second_factor(world: SignInWorld) -> None:
    user = await create_user(
        world,
        policy=allow("iam:ChangePassword", Condition=WITH_MFA),
        reset_required=True,
    )
    phone = await give_device(world, user.user_id)
    browser = world.browser()
    asked = await send_password(browser)
    asked = await send_step(browser, asked, "factor", code=phone.code(world))
    assert "Choose a new password" in text_of(asked)
    typed = {"password": PASSWORD, "new": NEW, "again": NEW}
    assert is_in(await send_step(browser, asked, "new-password", **typed))


async def test_an_old_password_is_due(world: SignInWorld) -> None:
    await create_user(world)
    await set_policy(
        world,
        MinimumPasswordLength=9,
        RequireNumbers=True,
        PasswordReusePrevention=2,
        MaxPasswordAge=30,
        AllowUsersToChangePassword=True,
    )
    assert is_in(await send_password(world.browser()))
    world.clock.move(30 * 86_400)
    browser = world.browser()
    asked = await send_password(browser)
    text = text_of(asked)
    for line in ("At least 9 characters", "At least one number", "your last 2"):
        assert line in text
    typed = {"password": PASSWORD, "new": PASSWORD, "again": PASSWORD}
    again = await send_step(browser, asked, "new-password", **typed)
    assert "one of the last 2" in text_of(again)
    typed = {"password": PASSWORD, "new": NEW, "again": NEW}
    assert is_in(await send_step(browser, again, "new-password", **typed))


async def test_a_password_that_expired_for_good_is_told_to_its_owner_only(
    world: SignInWorld,
) -> None:
    await create_user(world)
    await set_policy(world, MaxPasswordAge=30, HardExpiry=True)
    world.clock.move(30 * 86_400)
    answer = await send_password(world.browser())
    assert answer.status_code == 403
    assert "expired" in text_of(answer)
    answer = await send_password(world.browser(), password="wrong")
    assert WRONG in text_of(answer)


async def test_a_browser_remembers_account_and_user(world: SignInWorld) -> None:
    await create_user(world)
    browser = world.browser()
    assert (await browser.get("/signin")).status_code == 200
    await send_password(browser, remember="yes", page=f"/signin/{ACCOUNT}")
    led = await browser.get("/signin")
    assert is_in(led, f"/signin/{ACCOUNT}")
    page = await browser.get(led.headers["location"])
    assert 'value="ann"' in page.text
    assert (await browser.get("/signin?other=yes")).status_code == 200
    assert "ann" not in str(browser.cookies)
    await send_password(browser)  # without the tick
    assert (await browser.get("/signin")).status_code == 200


async def test_the_account_is_asked_for(world: SignInWorld) -> None:
    browser = world.browser()
    led = await browser.get("/signin", params={"account": " 1111-2222-3333 "})
    assert is_in(led, f"/signin/{ACCOUNT}")
    led = await browser.get(
        "/signin", params={"account": "Example", "Destination": f"{APPS}/x"}
    )
    assert is_in(led, "/signin/example?Destination=https%3A%2F%2Fapps.example.com%2Fx")
    again = await browser.get("/signin", params={"account": "<b>no account</b>"})
    assert again.status_code == 400
    assert "<b>" not in again.text
    assert "&lt;b&gt;no account" in again.text


@pytest.mark.parametrize(
    ("wanted", "led"),
    [
        ("/console/sessions", "/console/sessions"),
        (f"{APPS}/start", f"{APPS}/start"),
        ("https://evil.example/", "/console/"),
        ("//evil.example", "/console/"),
    ],
)
async def test_a_destination_is_followed_if_it_may_be(
    world: SignInWorld, wanted: str, led: str
) -> None:
    await create_user(world)
    browser = world.browser()
    page = await browser.get(PAGE, params={"Destination": wanted})
    typed = {"username": "ann", "password": PASSWORD}
    fields = form_fields(page, PAGE)
    assert fields.get("Destination", "/console/") == led
    entered = await browser.post(PAGE, data={**fields, **typed}, headers=SAME)
    assert is_in(entered, led)
    fields["Destination"] = wanted
    entered = await browser.post(PAGE, data={**fields, **typed}, headers=SAME)
    assert is_in(entered, led)


async def test_someone_else_who_is_signed_in_is_asked(world: SignInWorld) -> None:
    user = await create_user(world)
    browser = world.browser()
    await world.sign_in(browser)
    asked = await send_password(browser)
    assert asked.status_code == 200
    assert user.arn in text_of(asked)
    assert "alice@example.com" in text_of(asked)
    assert "alice@example.com" in text_of(await browser.get("/console/"))
    fields = form_fields(asked, "/signin/continue")
    assert is_in(await browser.post("/signin/continue", data=fields, headers=SAME))
    assert "IAM user" in text_of(await browser.get("/console/"))


async def test_signing_in_again_replaces_the_session(world: SignInWorld) -> None:
    await create_user(world)
    browser = world.browser()
    await send_password(browser)
    first = browser.cookies["broker-session"]
    await send_password(browser)
    stale = world.browser(cookies={"broker-session": first})
    assert (await stale.get("/console/")).status_code == 303


@pytest.mark.parametrize("how", ["user", "password", "revoked"])
async def test_a_session_ends_with_what_it_came_from(
    world: SignInWorld, how: str
) -> None:
    user = await create_user(world)
    browser = world.browser()
    await send_password(browser)
    home = await browser.get("/console/")
    fields = form_fields(home, "/console/credentials")
    response = await browser.post("/console/credentials", data=fields, headers=SAME)
    assert "export AWS_ACCESS_KEY_ID=ASIA" in response.text
    directory = world.services.stores.directory
    async with directory.change(ACCOUNT) as change:
        profile = await change.find(LOGIN_PROFILE, ACCOUNT, user.user_id)
        assert profile is not None
        if how == "user":
            await change.remove(USER, user)
        elif how == "password":
            await change.remove(LOGIN_PROFILE, profile)
        else:
            await revoke_issued_before(
                change, account=ACCOUNT, target=user.user_id, now=world.clock.now()
            )
    assert (await browser.get("/console/")).status_code == 403


async def test_a_session_lasts_twelve_hours(world: SignInWorld) -> None:
    await create_user(world)
    browser = world.browser()
    await send_password(browser)
    world.clock.move(12 * 3600 - 60)
    assert (await browser.get("/console/")).status_code == 200
    world.clock.move(61)
    ended = await browser.get("/console/")
    assert ended.status_code == 403
    assert "Your session has ended" in text_of(ended)
    assert f'href="{PAGE}"' in ended.text


async def test_other_sign_ins_of_a_user_are_listed_among_their_sessions(
    world: SignInWorld,
) -> None:
    await create_user(world)
    await create_user(world, "bob")
    browsers = [world.browser() for _ in range(3)]
    for browser, name in zip(browsers, ("ann", "ann", "bob"), strict=True):
        await send_password(browser, name)
    sessions = await browsers[0].get("/console/sessions")
    assert sessions.text.count('data-label="Issued by"') == 2
    assert "bob" not in sessions.text


async def test_a_terminal_that_waits_is_asked_about_after_the_password(
    world: SignInWorld,
) -> None:
    user = await create_user(world)
    browser = world.browser()
    wanted = {
        "response_type": "code",
        "client_id": "arn:aws:signin:::devtools/same-device",
        "redirect_uri": "http://127.0.0.1:7777/oauth/callback",
        "state": "st4te",
        "code_challenge": "c" * 43,
        "code_challenge_method": "S256",
    }
    await browser.get("/v1/authorize", params=wanted)
    assert is_in(await send_password(browser), "/console/login")
    page = await browser.get("/console/login")
    assert user.arn in text_of(page)
    fields = form_fields(page, "/console/login")
    answer = await browser.post(
        "/console/login", data={**fields, "answer": "allow"}, headers=SAME
    )
    assert answer.headers["location"].startswith("http://127.0.0.1:7777/oauth/callback")


async def test_a_user_switches_to_a_role_and_back(world: SignInWorld) -> None:
    await create_user(
        world, policy=allow("sts:AssumeRole"), password=PASSWORD, reset_required=False
    )
    async with world.services.stores.directory.change(ACCOUNT) as change:
        role = await change.named(ROLE, ACCOUNT, "Admin")
        assert role is not None
        trust = {
            "Version": "2012-10-17",
            "Statement": {
                "Effect": "Allow",
                "Principal": {"AWS": ACCOUNT},
                "Action": "sts:AssumeRole",
            },
        }
        await change.update(ROLE, replace(role, trust_policy=json.dumps(trust)))
    browser = world.browser()
    await send_password(browser)
    page = await browser.get("/console/switch")
    fields = form_fields(page, "/console/switch")
    switched = await browser.post(
        "/console/switch", data={**fields, "role": "Admin"}, headers=SAME
    )
    assert is_in(switched), text_of(switched)
    assert "assumed-role/Admin/ann" in text_of(await browser.get("/console/"))


async def test_too_many_wrong_passwords_close_a_user_from_everywhere(
    world: SignInWorld,
) -> None:
    """Whether the user is there or not; and for a quarter of an hour."""
    await create_user(world)
    for name, kind in (("ann", "iam"), ("nobody", "iam"), ("", "iam"), ("", "root")):
        for number in range(PER_USER + 2):
            answer = await send_password(world.browser(), name, "wrong", kind=kind)
            assert answer.status_code == (403 if number < PER_USER else 429)
        assert "too many attempts" in text_of(answer)
    assert (await send_password(world.browser(), "ann")).status_code == 429
    assert (await send_password(world.browser(), "ANN ")).status_code == 429
    page = f"/signin/{ACCOUNT}"
    assert (await send_password(world.browser(), page=page)).status_code == 429
    world.clock.move(15 * 60 + 1)
    assert is_in(await send_password(world.browser()))


async def test_a_known_browser_is_not_closed_by_guesses_from_elsewhere(
    world: SignInWorld,
) -> None:
    await create_user(world)
    known = world.browser()
    await send_password(known, remember="yes")
    for _ in range(PER_USER + 1):
        await send_password(world.browser(), password="wrong")
    assert (await send_password(world.browser())).status_code == 429
    assert is_in(await send_password(known, remember="yes"))
    # It has no more guesses than others.
    for _ in range(PER_USER):
        await send_password(known, password="wrong")
    assert (await send_password(known)).status_code == 429


async def test_a_browser_is_not_known_for_another_user_of_the_name(
    world: SignInWorld,
) -> None:
    before, after = await create_user(world), await create_user(world, "ben")
    known = world.browser()
    await send_password(known, remember="yes")
    async with world.services.stores.directory.change(ACCOUNT) as change:
        await change.update(USER, replace(before, name="anna"))
        await change.update(USER, replace(after, name="ann"))
    for _ in range(PER_USER):
        await send_password(known, password="wrong")
    assert (await send_password(world.browser())).status_code == 429


async def test_right_passwords_do_not_count(world: SignInWorld) -> None:
    await create_user(world)
    for _ in range(PER_USER + 1):
        assert is_in(await send_password(world.browser()))


async def test_wrong_codes_close_the_sign_in_and_then_the_user(
    world: SignInWorld,
) -> None:
    user = await create_user(world)
    await give_device(world, user.user_id)
    browser = world.browser()
    statuses = []
    for _ in range(2):
        response = await send_password(browser)
        for _ in range(5):
            response = await send_step(browser, response, "factor", code="000000")
            statuses.append(response.status_code)
        assert "Start again" in text_of(response)
    assert statuses == [403] * 10
    response = await send_password(browser)
    response = await send_step(browser, response, "factor", code="000000")
    assert response.status_code == 429


async def test_the_roots_sign_in_is_off_unless_it_was_switched_on(
    world: SignInWorld,
) -> None:
    await give_device(world, ACCOUNT)
    answer = await send_password(world.browser(), "", ROOT_PASSWORD, kind="root")
    assert WRONG in text_of(answer)


async def test_the_root_signs_in_with_a_device_for_an_hour(world: SignInWorld) -> None:
    await switch_root_on(world)
    phone = await give_device(world, ACCOUNT)
    browser = world.browser()
    asked = await send_password(browser, "", ROOT_PASSWORD, kind="root")
    step = await world.recorded("signin:CheckPassword")
    assert step.parameters == {"UserName": "root"}
    assert "Root user" in text_of(asked)
    entered = await send_step(browser, asked, "factor", code=phone.code(world))
    assert is_in(entered)
    home = await browser.get("/console/")
    assert "Root user" in text_of(home)
    assert await may(browser, "iam:DeleteUser")
    record = await world.recorded("signin:ConsoleLogin")
    assert record.caller_arn == f"arn:aws:iam::{ACCOUNT}:root"
    world.clock.move(3601)
    assert (await browser.get("/console/")).status_code == 403


async def test_switching_the_root_off_ends_its_sessions(world: SignInWorld) -> None:
    await switch_root_on(world)
    phone = await give_device(world, ACCOUNT)
    browser = world.browser()
    asked = await send_password(browser, "", ROOT_PASSWORD, kind="root")
    await send_step(browser, asked, "factor", code=phone.code(world))
    async with world.services.stores.directory.change(ACCOUNT) as change:
        assert await end_root_sign_in(change, ACCOUNT)
        assert not await end_root_sign_in(change, ACCOUNT)
    assert (await browser.get("/console/")).status_code == 403


async def test_what_changes_on_the_way_is_seen_at_the_end(world: SignInWorld) -> None:
    """Nothing that was shown counts for longer than it is true."""
    user = await create_user(world)
    phone = await give_device(world, user.user_id)
    directory = world.services.stores.directory
    browser = world.browser()

    async def begin() -> httpx.Response:
        world.clock.move(60)
        return await send_password(browser)

    response = await begin()
    async with directory.change(ACCOUNT) as change:
        profile = await change.find(LOGIN_PROFILE, ACCOUNT, user.user_id)
        assert profile is not None
        await change.update(
            LOGIN_PROFILE, replace(profile, changed_at=world.clock.now())
        )
    answer = await send_step(browser, response, "factor", code=phone.code(world))
    assert "Something changed while you were signing in" in text_of(answer)

    response = await begin()
    async with directory.change(ACCOUNT) as change:
        await change.remove(LOGIN_PROFILE, profile)
    answer = await send_step(browser, response, "factor", code=phone.code(world))
    assert answer.status_code == 403
    assert (await browser.get("/console/")).status_code == 303


async def test_an_account_that_is_gone_signs_no_one_in(world: SignInWorld) -> None:
    user = await create_user(world)
    phone = await give_device(world, user.user_id)
    browser = world.browser()
    response = await send_password(browser)
    async with world.services.stores.directory.change(ACCOUNT) as change:
        await delete_account(change, AccountId(ACCOUNT))
    answer = await send_step(browser, response, "factor", code=phone.code(world))
    assert answer.status_code == 400


async def test_a_busy_broker_says_so_and_counts_nothing(
    world: SignInWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    await create_user(world)
    with monkeypatch.context() as busy:
        busy.setattr("broker.kinds.passwords._WAITING_MAX", 0)
        for _ in range(PER_USER + 1):
            answer = await send_password(world.browser())
            assert answer.status_code == 429
            assert "Try again in a moment" in text_of(answer)
    assert is_in(await send_password(world.browser()))


@pytest.mark.parametrize("change", ["device", "no-device", "due"])
async def test_what_changes_while_someone_is_asked_is_seen(
    world: SignInWorld, change: str
) -> None:
    """All was shown; the question about the other session is open."""
    user = await create_user(world)
    browser = world.browser()
    await world.sign_in(browser)
    directory = world.services.stores.directory
    if change == "no-device":
        phone = await give_device(world, user.user_id)
        response = await send_password(browser)
        asked = await send_step(browser, response, "factor", code=phone.code(world))
        async with directory.change(ACCOUNT) as opened:
            device = await opened.named(MFA_DEVICE, ACCOUNT, phone.serial)
            assert device is not None
            await mfa_devices.deactivate_device(opened, device)
    else:
        asked = await send_password(browser)
        if change == "device":
            await give_device(world, user.user_id)
        else:
            async with directory.change(ACCOUNT) as opened:
                profile = await opened.find(LOGIN_PROFILE, ACCOUNT, user.user_id)
                assert profile is not None
                await opened.update(
                    LOGIN_PROFILE, replace(profile, reset_required=True)
                )
    fields = form_fields(asked, "/signin/continue")
    answer = await browser.post("/signin/continue", data=fields, headers=SAME)
    assert answer.status_code == 403
    assert "Something changed while you were signing in" in text_of(answer)
    assert "Sign-in did not work" in text_of(answer)
    assert "trust policy" not in text_of(answer)
    assert "alice@example.com" in text_of(await browser.get("/console/"))


async def test_the_way_that_was_chosen_last_comes_first(world: SignInWorld) -> None:
    async with world.services.stores.directory.change(ACCOUNT) as change:
        listed = await change.all_of(SAML_PROVIDER, ACCOUNT)
        (corp,) = [p async for p in change.with_documents(SAML_PROVIDER, listed)]
        for name in ("Acme", "Zeta"):
            await change.insert(
                SAML_PROVIDER,
                replace(
                    corp,
                    name=name,
                    uuid=f"SAMLSP{name.upper():X<16}",
                    options={"SignIn": True},
                ),
            )
    browser = world.browser()
    page = await browser.get(PAGE)
    assert page.text.index("Acme") < page.text.index("Zeta")
    assert "Last used" not in page.text
    page = await browser.get(PAGE, params={"Destination": "/console/sessions"})
    (way,) = html.fromstring(page.text).xpath("//a[strong='Zeta']/@href")
    assert way.endswith("?Destination=%2Fconsole%2Fsessions")
    await browser.get(way)
    led = await browser.get("/signin")
    assert is_in(led, f"/signin/{ACCOUNT}")
    page = await browser.get(led.headers["location"])
    assert page.text.index("Zeta") < page.text.index("Acme")
    assert page.text.count("Last used") == 1


async def test_other_ways_in_keep_where_one_is_going(world: SignInWorld) -> None:
    browser = world.browser()
    page = await browser.get(PAGE, params={"Destination": "/console/sessions"})
    links = "//ul[@class='elsewhere']//a/@href"
    for link in html.fromstring(page.text).xpath(links):
        other = await browser.get(link)
        fields = html.fromstring(other.text).xpath("//input[@name='Destination']")
        assert [field.get("value") for field in fields] == ["/console/sessions"], link
    root = await browser.get(PAGE, params={"kind": "root", "Destination": "/console/"})
    assert f"{PAGE}?Destination=%2Fconsole%2F" in root.text
    assert f'{PAGE}?kind=root"' in (await browser.get(PAGE)).text


async def test_a_user_with_a_name_of_one_letter_switches_roles_too(
    world: SignInWorld,
) -> None:
    await create_user(world, "a", policy=allow("sts:AssumeRole"))
    browser = world.browser()
    await send_password(browser, "a")
    fields = form_fields(await browser.get("/console/switch"), "/console/switch")
    answer = await browser.post(
        "/console/switch", data={**fields, "role": "Admin"}, headers=SAME
    )
    assert "not authorized to perform: sts:AssumeRole" in text_of(answer)
