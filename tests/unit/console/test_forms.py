from typing import Any

import pytest
from starlette.requests import Request

from broker.console.forms import BODY_BYTES_MAX, Form, read_form
from broker.errors import (
    BrokerError,
    MalformedInput,
    RequestEntityTooLarge,
    ValidationError,
)

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
