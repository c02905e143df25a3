"""Forms that come too late: nothing is done, and nothing typed is lost."""

import httpx2 as httpx
import pytest
from lxml import html

from tests.support.signin import SignInWorld, form_fields, pair, text_of

SAME = {"sec-fetch-site": "same-origin"}
TRY = "/console/try"
TYPED = {"action": "s3:GetObject", "resource": 'arn:aws:s3:::b/"<b>&\r\nkey'}


async def typed(browser: httpx.AsyncClient) -> dict[str, str]:
    return {**form_fields(await browser.get(TRY), TRY), **TYPED}


def kept(page: httpx.Response) -> dict[str, str]:
    """The fields of the form on the page, and that it goes where it was going."""
    return form_fields(page, TRY)


async def send(browser: httpx.AsyncClient, fields: dict[str, str]) -> httpx.Response:
    return await browser.post(TRY, data=fields, headers=SAME)


def unbroken(fields: dict[str, str]) -> dict[str, str]:
    """An HTML parser makes one line break of two characters, a browser sends two."""
    return {name: value.replace("\r\n", "\n") for name, value in fields.items()}


async def test_a_session_that_ends_while_typing_keeps_what_was_typed(
    world: SignInWorld,
) -> None:
    browser = world.browser()
    await world.sign_in(browser)
    fields = await typed(browser)
    world.clock.move(3601)
    page = await send(browser, fields)
    assert page.status_code == 403
    assert "Your session has ended" in text_of(page)
    assert unbroken(kept(page)) == unbroken(TYPED)
    assert "<b>" not in page.text
    still_out = await send(browser, kept(page))
    assert unbroken(kept(still_out)) == unbroken(TYPED)
    await world.sign_in(browser)
    asked = await send(browser, kept(still_out))
    assert asked.status_code == 403
    assert "Reader/alice@example.com" in text_of(asked)
    done = await send(browser, kept(asked))
    assert done.status_code == 200
    assert "Not allowed" in text_of(done)


async def test_anyone_who_is_someone_else_by_now_is_asked(world: SignInWorld) -> None:
    browser = world.browser()
    await world.sign_in(browser, pair("Reader"))
    fields = await typed(browser)
    await browser.post(
        "/console/sign-out",
        data=form_fields(await browser.get("/console/"), "/console/sign-out"),
        headers=SAME,
    )
    await world.sign_in(browser, pair("Admin"))
    page = await send(browser, fields)
    assert page.status_code == 403
    assert "Submit this form?" in text_of(page)
    assert "Admin/alice@example.com" in text_of(page)
    assert not any("Simulate" in record.action for record in await world.audit())


async def test_after_signing_out_what_was_typed_is_there(world: SignInWorld) -> None:
    browser = world.browser()
    await world.sign_in(browser)
    fields = await typed(browser)
    browser.cookies.clear()
    assert unbroken(kept(await send(browser, fields))) == unbroken(TYPED)


async def test_no_password_code_key_or_proof_stands_on_the_page(
    world: SignInWorld,
) -> None:
    secrets = {
        "password": "hunter2-one",
        "NewPassword": "hunter2-two",
        "client_secret": "hunter2-three",
        "mfa_code": "hunter2-four",
        "token": "hunter2-five",
        "csrf": "hunter2-six",
        "pem": "hunter2-seven",
        "proof": "hunter2-eight",
    }
    page = await send(world.browser(), {**TYPED, **secrets})
    assert "hunter2" not in page.text
    assert unbroken(kept(page)) == unbroken(TYPED)


@pytest.mark.parametrize("signed_in", [True, False])
async def test_a_form_of_another_site_is_never_offered_to_be_sent(
    world: SignInWorld, signed_in: bool
) -> None:
    """Else a stranger's form would be one click away from being sent."""
    browser = world.browser()
    if signed_in:
        await world.sign_in(browser)
    for headers in (
        {"origin": "https://evil.example", "sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {},
    ):
        page = await browser.post(TRY, data=TYPED, headers=headers)
        assert page.status_code == 403
        assert "GetObject" not in page.text
        assert html.fromstring(page.text).xpath("//main//form") == []
