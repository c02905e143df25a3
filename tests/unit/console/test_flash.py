"""What a page says once about what was done."""

import pytest
from starlette.requests import Request
from starlette.responses import Response

from broker.console.cookies import Flash

SESSION = "s" * 43


def carried(response: Response) -> str:
    return response.headers["set-cookie"].partition(";")[0]


def request(cookie: str) -> Request:
    return Request({"type": "http", "headers": [(b"cookie", cookie.encode("latin-1"))]})


@pytest.mark.parametrize("secure", [True, False])
def test_a_message_reaches_the_next_page_of_its_session(secure: bool) -> None:
    flash, response = Flash(secure=secure), Response()
    flash.put(response, "Role “Ana; الاسم” created.", SESSION)
    assert (
        flash.find(request(carried(response)), SESSION) == "Role “Ana; الاسم” created."
    )
    assert flash.find(request(carried(response)), "t" * 43) == ""
    assert ("; Secure" in response.headers["set-cookie"]) is secure


def test_no_one_else_can_write_one() -> None:
    flash, response = Flash(secure=False), Response()
    flash.put(response, "Saved.", SESSION)
    name, _, value = carried(response).partition("=")
    for forged in (
        value.replace("Saved", "Call+this+number"),
        "Saved.",
        ".Saved.",
        "é.Saved.",
        "",
        "x" * 5000,
    ):
        assert flash.find(request(f"{name}={forged}"), SESSION) == ""


def test_a_message_is_short_and_shown_once() -> None:
    flash, response = Flash(secure=False), Response()
    flash.put(response, "é" * 1000, SESSION)
    assert len(response.headers["set-cookie"]) < 1200
    later = request(carried(response))
    assert flash.find(later, SESSION) == "é" * 160
    flash.clear(later, answer := Response())
    assert "Max-Age=0" in answer.headers["set-cookie"]
    flash.clear(request(""), answer := Response())
    assert "set-cookie" not in answer.headers
