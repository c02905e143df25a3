"""Attacks on the sign-in with a password.

Enumeration, guessing from many places and at once, forged and replayed forms, fixation,
steps left out, codes used twice, secrets in logs.
"""

import asyncio
import base64
import json
import re
from collections.abc import Callable
from typing import Any

import httpx2 as httpx
import pytest
from argon2 import PasswordHasher
from msgspec.structs import replace

from broker.proofs.attempts import PER_USER, limit_of_address
from broker.stores.directory.kinds import SAML_PROVIDER
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
from tests.support.signin import (
    ACCOUNT,
    COOKIE,
    SignInWorld,
    form_fields,
    text_of,
)

CROSS = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
KNOWN = "broker-known"
BROWSER = "broker-sign-in"
NEW = "Another-horse-8"
MAY_CHANGE = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Action": "iam:ChangePassword",
            "Resource": "*",
        },
    }
)


def browser_at(world: SignInWorld, address: str) -> httpx.AsyncClient:
    client = httpx.AsyncClient(
        transport=httpx.ASGITransport(app=world.app, client=(address, 4711)),
        base_url=world.services.settings.public_origin,
    )
    world.browsers.append(client)
    return client


def without_ids(page: httpx.Response, place: str, name: str = "") -> str:
    """A page without what is new each time, and without what was typed."""
    text = re.sub(r'name="csrf" value="[^"]+"', "", page.text)
    text = re.sub(r"Request ID <code>[^<]+</code>", "", text)
    for typed in (f'value="{name}"', f"to {place} ", f"/{place}", f">{place}<"):
        text = text.replace(typed, "")
    return text


STRANGERS = (
    ("ann", "wrong", PAGE),
    ("bob", PASSWORD, PAGE),
    ("nobody", PASSWORD, PAGE),
    ("ann", PASSWORD, "/signin/no-such-one"),
    ("ann", PASSWORD, "/signin/999999999999"),
)


async def test_no_answer_tells_what_was_wrong(world: SignInWorld) -> None:
    await create_user(world)
    await create_user(world, "bob", None)
    seen = set()
    for name, password, page in STRANGERS:
        answer = await send_password(world.browser(), name, password, page=page)
        text = without_ids(answer, page.rpartition("/")[2], name)
        seen.add((answer.status_code, text, tuple(sorted(answer.headers.keys()))))
    assert len(seen) == 1
    assert "Check the account, the user name and the password" in text


async def test_the_operator_reads_that_there_is_no_such_account(
    world: SignInWorld,
) -> None:
    await send_password(world.browser(), "ann", PASSWORD, page="/signin/no-such-one")
    record = await world.recorded("signin:CheckPassword")
    assert record.detail == "no account has the number or alias no-such-one"


def count_verifications(
    monkeypatch: pytest.MonkeyPatch, counted: Callable[[], None]
) -> None:
    verify = PasswordHasher.verify

    def counting(self: PasswordHasher, *params: Any, **more: Any) -> Any:
        counted()
        return verify(self, *params, **more)

    monkeypatch.setattr(PasswordHasher, "verify", counting)


async def test_every_attempt_costs_one_verification(
    world: SignInWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the time tells nothing; for the root as for users."""
    await create_user(world)
    await create_user(world, "bob", None)
    await send_password(world.browser(), "nobody", "x")  # makes the dummy hash
    costs: list[int] = []

    def counted() -> None:
        costs[-1] += 1

    count_verifications(monkeypatch, counted)
    for name, password, page in STRANGERS:
        for kind in ("user", "root"):
            costs.append(0)
            await send_password(world.browser(), name, password, page=page, kind=kind)
    costs.append(0)
    await send_password(world.browser())
    assert set(costs) == {1}


async def test_the_page_of_an_account_does_not_tell_whether_it_is_there(
    world: SignInWorld,
) -> None:
    pages = [
        (await world.browser().get(f"/signin/{place}"), place)
        for place in (ACCOUNT, "999999999999", "example", "no-such-one")
    ]
    assert {page.status_code for page, _ in pages} == {200}
    texts = {without_ids(page, place) for page, place in pages}
    assert len(texts) == 1


async def test_guesses_from_many_addresses_are_counted_together(
    world: SignInWorld,
) -> None:
    await create_user(world)
    statuses = []
    for number in range(PER_USER + 3):
        browser = browser_at(world, f"203.0.113.{number}")
        statuses.append((await send_password(browser, password="wrong")).status_code)
    assert statuses == [403] * PER_USER + [429] * 3
    # The right one is not told from a wrong one any more.
    answer = await send_password(browser_at(world, "198.51.100.1"))
    assert answer.status_code == 429


async def test_guesses_at_once_are_no_way_around_the_limit(
    world: SignInWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    await create_user(world)
    await send_password(world.browser(), "nobody", "x")
    calls: list[None] = []
    count_verifications(monkeypatch, lambda: calls.append(None))
    answers = await asyncio.gather(
        *(
            send_password(world.browser(), password=f"guess {number}")
            for number in range(3 * PER_USER)
        )
    )
    assert {answer.status_code for answer in answers} == {403, 429}
    assert len(calls) <= PER_USER


async def test_one_address_cannot_try_one_password_on_everyone(
    world: SignInWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.proofs.attempts.PER_ADDRESS", 5)
    for number in range(7):
        browser = browser_at(world, f"2001:db8:1:2::{number}")
        answer = await send_password(browser, f"user{number}", PASSWORD)
        assert answer.status_code == (403 if number < 5 else 429)
    answer = await send_password(browser_at(world, "2001:db8:1:3::1"), "user9", "x")
    assert answer.status_code == 403


def test_a_customers_ipv6_network_is_one_address() -> None:
    same = {limit_of_address(f"2001:db8::{n}").key for n in ("1", "2", "ffff:1")}
    assert len(same) == 1
    assert limit_of_address("2001:db8:0:1::1").key not in same
    assert limit_of_address("192.0.2.1").key != limit_of_address("192.0.2.2").key
    assert limit_of_address("unix").key


@pytest.mark.parametrize(
    "how", ["no-token", "foreign-token", "no-cookie", "cross-site"]
)
async def test_other_sites_cannot_sign_a_browser_in(
    world: SignInWorld, how: str
) -> None:
    """Login CSRF: the victim would work in the attacker's session."""
    await create_user(world)
    browser = world.browser()
    fields = form_fields(await browser.get(PAGE), PAGE)
    headers = SAME
    if how == "no-token":
        del fields["csrf"]
    elif how == "foreign-token":
        fields = form_fields(await world.browser().get(PAGE), PAGE)
    elif how == "no-cookie":
        browser.cookies.clear()
    else:
        headers = CROSS
    typed = {**fields, "username": "ann", "password": PASSWORD}
    answer = await browser.post(PAGE, data=typed, headers=headers)
    assert answer.status_code == 403
    assert COOKIE not in str(answer.headers.get_list("set-cookie"))
    assert not any(
        record.action.startswith("signin:") for record in await world.audit()
    )


@pytest.mark.parametrize("how", ["no-token", "foreign-token", "cross-site", "no-site"])
async def test_other_sites_cannot_take_a_step(world: SignInWorld, how: str) -> None:
    """A form from elsewhere uses nothing up either."""
    user = await create_user(world)
    phone = await give_device(world, user.user_id)
    browser = world.browser()
    asked = await send_password(browser)
    fields = form_fields(asked, f"{PAGE}/factor")
    typed = {**fields, "code": phone.code(world)}
    headers = SAME
    if how == "no-token":
        del typed["csrf"]
    elif how == "foreign-token":
        other = form_fields(await world.browser().get(PAGE), PAGE)
        typed["csrf"] = other["csrf"]
    else:
        headers = CROSS if how == "cross-site" else {}
    answer = await browser.post(f"{PAGE}/factor", data=typed, headers=headers)
    assert answer.status_code == 403
    typed["csrf"] = fields["csrf"]
    answer = await browser.post(f"{PAGE}/factor", data=typed, headers=SAME)
    assert answer.status_code == 303


async def test_a_sign_in_is_bound_to_the_browser_that_began_it(
    world: SignInWorld,
) -> None:
    """Each handle on the way is nothing in another browser."""
    user = await create_user(world)
    phone = await give_device(world, user.user_id)
    attacker, victim = world.browser(), world.browser()
    asked = await send_password(attacker)
    stolen = form_fields(asked, f"{PAGE}/factor")
    own = form_fields(await victim.get(PAGE), PAGE)
    answer = await victim.post(
        f"{PAGE}/factor",
        data={**stolen, "csrf": own["csrf"], "code": phone.code(world)},
        headers=SAME,
    )
    assert answer.status_code == 400
    assert (await victim.get("/console/")).status_code == 303


async def test_a_parked_sign_in_does_not_sign_another_browser_in(
    world: SignInWorld,
) -> None:
    """The handle of the question is a link that an attacker could send."""
    await create_user(world)
    attacker, victim = world.browser(), world.browser()
    await world.sign_in(attacker)
    asked = await send_password(attacker)
    handle = form_fields(asked, "/signin/continue")["handle"]
    answer = await victim.get("/signin/continue", params={"handle": handle})
    assert answer.status_code == 400
    assert COOKIE not in str(answer.headers.get_list("set-cookie"))


async def test_planted_cookies_are_not_adopted(world: SignInWorld) -> None:
    await create_user(world)
    planted = "p" * 43
    browser = world.browser(cookies={COOKIE: planted, BROWSER: planted})
    entered = await send_password(browser)
    assert f"{COOKIE}={planted}" not in str(entered.headers.get_list("set-cookie"))
    # Whoever planted the browser's name has nothing of the session.
    other = world.browser(cookies={COOKIE: planted, BROWSER: planted})
    assert (await other.get("/console/")).status_code == 303


async def test_a_step_is_taken_once_even_in_a_race(world: SignInWorld) -> None:
    user = await create_user(world)
    phone = await give_device(world, user.user_id)
    browser = world.browser()
    asked = await send_password(browser)
    code = phone.code(world)
    answers = await asyncio.gather(
        *(send_step(browser, asked, "factor", code=code) for _ in range(6))
    )
    assert sorted(answer.status_code for answer in answers) == [303] + [400] * 5


async def test_a_code_signs_one_browser_in_even_in_a_race(world: SignInWorld) -> None:
    user = await create_user(world)
    phone = await give_device(world, user.user_id)
    browsers = [world.browser() for _ in range(4)]
    pages = [await send_password(browser) for browser in browsers]
    code = phone.code(world)
    answers = await asyncio.gather(
        *(
            send_step(browser, page, "factor", code=code)
            for browser, page in zip(browsers, pages, strict=True)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [303] + [403] * 3


async def test_a_code_that_is_sent_again_is_no_guess(world: SignInWorld) -> None:
    user = await create_user(world)
    phone, watch = [
        await give_device(world, user.user_id, n) for n in ("phone", "watch")
    ]
    code = phone.code(world)
    for number in range(12):
        browser = world.browser()
        answer = await send_step(
            browser, await send_password(browser), "factor", code=code
        )
        assert answer.status_code == (403 if number else 303)
    assert "already used" in text_of(answer)
    world.clock.move(30)
    for device in (phone, watch):
        browser = world.browser()
        page = await send_password(browser)
        sent = await send_step(browser, page, "factor", code=device.code(world))
        assert sent.status_code == 303
    browser = world.browser()
    page = await send_password(browser)
    for _ in range(6):  # more than wrong answers, after which one has to start again
        page = await send_step(browser, page, "factor", code=phone.code(world))
        assert page.status_code == 403
    world.clock.move(30)
    sent = await send_step(browser, page, "factor", code=phone.code(world))
    assert sent.status_code == 303


async def test_the_second_factor_cannot_be_left_out(world: SignInWorld) -> None:
    """Not to get in, and not to change the password either."""
    user = await create_user(world, policy=MAY_CHANGE, reset_required=True)
    await give_device(world, user.user_id)
    for path, typed in (
        (f"{PAGE}/new-password", {"password": PASSWORD, "new": NEW, "again": NEW}),
        ("/signin/continue", {}),
        (f"{PAGE}/factor", {"factor": "none"}),
        (f"{PAGE}/factor", {"factor": "code", "code": ""}),
    ):
        browser = world.browser()
        asked = await send_password(browser)
        fields = form_fields(asked, f"{PAGE}/factor")
        answer = await browser.post(path, data={**fields, **typed}, headers=SAME)
        assert answer.status_code in {400, 403}, path
        assert (await browser.get("/console/")).status_code == 303
    assert not [r for r in await world.audit() if r.action == "iam:ChangePassword"]
    assert (await send_password(world.browser(), password=NEW)).status_code == 403


async def test_a_change_that_is_due_cannot_be_left_out(world: SignInWorld) -> None:
    await create_user(world, policy=MAY_CHANGE, reset_required=True)
    browser = world.browser()
    asked = await send_password(browser)
    answer = await send_step_as(browser, asked, "new-password", "factor")
    assert answer.status_code == 400
    assert (await browser.get("/console/")).status_code == 303


async def send_step_as(
    browser: httpx.AsyncClient, response: httpx.Response, of: str, to: str
) -> httpx.Response:
    """Send one step's form to another's address."""
    fields = form_fields(response, f"{PAGE}/{of}")
    typed = {**fields, "factor": "code", "code": "000000"}
    return await browser.post(f"{PAGE}/{to}", data=typed, headers=SAME)


async def test_a_step_of_one_account_does_not_count_for_another(
    world: SignInWorld,
) -> None:
    user = await create_user(world)
    phone = await give_device(world, user.user_id)
    browser = world.browser()
    asked = await send_password(browser)
    fields = form_fields(asked, f"{PAGE}/factor")
    typed = {**fields, "code": phone.code(world)}
    answer = await browser.post("/signin/other/factor", data=typed, headers=SAME)
    assert answer.status_code == 400


async def test_a_sign_in_ends_after_ten_minutes_whatever_is_done(
    world: SignInWorld,
) -> None:
    user = await create_user(world)
    phone = await give_device(world, user.user_id)
    browser = world.browser()
    response = await send_password(browser)
    for _ in range(2):
        world.clock.move(290)
        response = await send_step(browser, response, "factor", code="000000")
        assert response.status_code == 403
    world.clock.move(60)
    answer = await send_step(browser, response, "factor", code=phone.code(world))
    assert answer.status_code == 400
    assert "took too long" in text_of(answer)


@pytest.mark.parametrize(
    "cookie",
    [
        "x",
        "=" * 8,
        base64.urlsafe_b64encode(b"\x01" + bytes(60)).decode(),
        base64.urlsafe_b64encode(b"\x01\x00").decode(),
        "é" * 20,
        "A" * 3000,
    ],
)
async def test_a_forged_cookie_of_known_users_is_ignored(
    world: SignInWorld, cookie: str
) -> None:
    raw = f"{KNOWN}={cookie}".encode()
    answer = await world.browser().get("/signin", headers={b"cookie": raw})  # type: ignore[dict-item]
    assert answer.status_code == 200


async def test_a_memory_of_one_user_gives_no_guesses_at_another(
    world: SignInWorld,
) -> None:
    await create_user(world)
    await create_user(world, "eve")
    eve = world.browser()
    await send_password(eve, "eve", remember="yes")
    for _ in range(PER_USER):
        await send_password(eve, "ann", "wrong")
    assert (await send_password(eve, "ann", "wrong")).status_code == 429
    assert (await send_password(world.browser(), "ann")).status_code == 429


@pytest.mark.parametrize("junk", [".", "!"])
async def test_a_memory_written_in_other_ways_gives_no_more_guesses(
    world: SignInWorld, junk: str
) -> None:
    """Decoders of base64 skip characters that are not in their alphabet."""
    await create_user(world)
    browser = world.browser()
    await send_password(browser, remember="yes")
    cookie = browser.cookies[KNOWN]
    for number in range(PER_USER + 1):
        thief = browser_at(world, f"198.51.100.{number}")
        written = f"{cookie[:8]}{junk * number}{cookie[8:]}"
        thief.cookies.set(KNOWN, written, domain="127.0.0.1")
        answer = await send_password(thief, password="wrong")
    assert answer.status_code == 429


async def test_choosing_another_way_in_gives_no_more_guesses(
    world: SignInWorld,
) -> None:
    """The cookie is written anew then; whom it is of stays."""
    await create_user(world)
    change = world.services.stores.directory.change
    async with change(ACCOUNT) as writer:
        provider = (await writer.all_of(SAML_PROVIDER, ACCOUNT))[0]
        await writer.update(SAML_PROVIDER, replace(provider, options={"SignIn": True}))
    browser = world.browser()
    await send_password(browser, remember="yes")
    written = set()
    for _ in range(PER_USER + 1):
        world.clock.move(1)  # sign-ins of one address may begin only so often a second
        chosen = await browser.get(f"/signin/{ACCOUNT}/with/{provider.uuid}")
        assert chosen.status_code in {200, 303}
        written.add(browser.cookies[KNOWN])
        answer = await send_password(browser, password="wrong")
    assert len(written) > PER_USER
    assert answer.status_code == 429


MARKUP = "\"><script>alert(1)</script>'&amp;"


@pytest.mark.parametrize(
    "typed",
    [
        {"username": MARKUP},
        {"username": "ann\r\nSet-Cookie: x=1"},
        {"username": "\ud800".encode("utf-8", "surrogatepass").decode("latin-1")},
        {"username": "a" * 5000},
        {"password": "p" * 30_000},
        {"kind": "admin"},
        {"remember": MARKUP},
        {"Destination": MARKUP},
        {"username": "\x00"},
    ],
)
async def test_odd_input_is_a_wrong_password_and_stays_text(
    world: SignInWorld, typed: dict[str, str]
) -> None:
    browser = world.browser()
    answer = await send_password(browser, **{"name": "ann", **renamed(typed)})
    assert answer.status_code == 403
    assert "<script>alert" not in answer.text
    assert "x=1" not in str(answer.headers)


def renamed(typed: dict[str, str]) -> dict[str, Any]:
    return {"name" if key == "username" else key: text for key, text in typed.items()}


async def test_a_field_sent_twice_is_refused(world: SignInWorld) -> None:
    browser = world.browser()
    fields = form_fields(await browser.get(PAGE), PAGE)
    body = "&".join(
        f"{name}={value}"
        for name, value in [*fields.items(), ("username", "ann"), ("username", "bob")]
    )
    headers = {**SAME, "content-type": "application/x-www-form-urlencoded"}
    answer = await browser.post(PAGE, content=body, headers=headers)
    assert answer.status_code == 400


async def test_the_root_is_guessed_no_more_often_than_others(
    world: SignInWorld,
) -> None:
    await switch_root_on(world)
    await give_device(world, ACCOUNT)
    for number in range(PER_USER + 1):
        answer = await send_password(world.browser(), "", "wrong", kind="root")
        assert answer.status_code == (403 if number < PER_USER else 429)
    # A user of that name is somebody else, with a count of their own.
    answer = await send_password(world.browser(), "root", "wrong")
    assert answer.status_code == 403
    answer = await send_password(world.browser(), "", ROOT_PASSWORD, kind="root")
    assert answer.status_code == 429


async def test_guesses_at_unknown_names_do_not_keep_the_root_out(
    world: SignInWorld,
) -> None:
    await switch_root_on(world)
    await give_device(world, ACCOUNT)
    for number in range(PER_USER + 1):
        answer = await send_password(world.browser(), f"nobody-{number}", "wrong")
        assert answer.status_code == 403
    answer = await send_password(world.browser(), "", ROOT_PASSWORD, kind="root")
    assert answer.status_code < 400


async def test_no_secret_is_logged_recorded_or_shown(
    world: SignInWorld, capfd: pytest.CaptureFixture[str]
) -> None:
    user = await create_user(world, policy=MAY_CHANGE, reset_required=True)
    phone = await give_device(world, user.user_id)
    browser = world.browser()
    pages = [await send_password(browser, password="Wrong-horse-1")]
    pages.append(await send_password(browser, remember="yes"))
    code = phone.code(world)
    pages.append(await send_step(browser, pages[-1], "factor", code="000001"))
    pages.append(await send_step(browser, pages[-1], "factor", code=code))
    typed = {"password": PASSWORD, "new": NEW, "again": NEW}
    pages.append(await send_step(browser, pages[-1], "new-password", **typed))
    assert pages[-1].status_code == 303
    await world.recorded("signin:ConsoleLogin")
    told = "".join(capfd.readouterr())
    told += str(await world.audit()) + "".join(page.text for page in pages)
    for secret in (PASSWORD, "Wrong-horse-1", NEW, code, browser.cookies[COOKIE]):
        assert secret not in told
