"""Forms: read within bounds, and kept to be sent again after a session has ended."""

from typing import Any

import httpx2 as httpx
import pytest
from lxml import html
from starlette.requests import Request

from broker.console.forms import BODY_BYTES_MAX, Form, read_form
from broker.errors import (
    BrokerError,
    MalformedInput,
    RequestEntityTooLarge,
    ValidationError,
)
from tests.support.signin import SignInWorld, form_fields, pair, text_of

FORM = b"application/x-www-form-urlencoded"


async def read(
    query: bytes = b"", *body: bytes, kind: bytes = FORM, **options: int
) -> Form:
    chunks = list(body)

    async def receive() -> dict[str, Any]:
        chunk = chunks.pop(0) if chunks else b""
        return {"type": "http.request", "body": chunk, "more_body": bool(chunks)}

    scope = {
        "type": "http",
        "method": "POST" if body else "GET",
        "query_string": query,
        "headers": [(b"content-type", kind)],
    }
    return await read_form(Request(scope, receive), **options)


async def test_parameters_come_from_query_and_body() -> None:
    form = await read(b"a=1&e=", b"b=2&", b"c=%C3%A9+x")
    assert [form.find(name) for name in "abcde"] == ["1", "2", "é x", None, ""]


@pytest.mark.parametrize(("query", "body"), [(b"a=1&a=1", b""), (b"a=1", b"a=1")])
async def test_a_parameter_sent_twice_is_refused(query: bytes, body: bytes) -> None:
    form = await read(query, body)
    with pytest.raises(ValidationError):
        form.find("a")


async def test_a_repeated_parameter_that_no_one_asks_for_is_ignored() -> None:
    assert (await read(b"x=1&x=2&a=3")).find("a") == "3"


@pytest.mark.parametrize("sent", [(b"a=b%00",), (b"", b"a=b%00"), (b"", b"a=b\0")])
async def test_nul_is_replaced(sent: tuple[bytes, ...]) -> None:
    """No database is asked for it: PostgreSQL refuses."""
    assert (await read(*sent)).find("a") == "b\ufffd"


@pytest.mark.parametrize("query", [b"", b"a="])
async def test_a_required_parameter_must_be_there(query: bytes) -> None:
    with pytest.raises(ValidationError):
        (await read(query)).require("a")


@pytest.mark.parametrize(
    ("query", "body", "kind", "error"),
    [
        (b"a=%FF", (), FORM, MalformedInput),
        (b"a=\xff", (), FORM, MalformedInput),
        (b"&".join(b"a%d=1" % n for n in range(99)), (), FORM, MalformedInput),
        (b"", (b"a=" + b"b" * BODY_BYTES_MAX,), FORM, RequestEntityTooLarge),
        (b"", (b"a=" + b"b" * 9, b"c" * BODY_BYTES_MAX), FORM, RequestEntityTooLarge),
        (b"", (b"{}",), b"application/json", MalformedInput),
        (b"", (b"a=1",), b"multipart/form-data; boundary=x", MalformedInput),
    ],
)
async def test_what_cannot_be_taken_apart_is_refused(
    query: bytes, body: tuple[bytes, ...], kind: bytes, error: type[BrokerError]
) -> None:
    with pytest.raises(error):
        await read(query, *body, kind=kind)


async def test_the_form_type_may_name_a_character_set() -> None:
    assert (await read(b"", b"a=1", kind=FORM + b"; charset=utf-8")).find("a") == "1"


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
