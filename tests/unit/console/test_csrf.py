from typing import Any

import pytest
from starlette.requests import Request

from broker.console.csrf import csrf_token, require_csrf
from broker.errors import AccessDenied
from tests.support.rows import rows

OWN = "https://broker.example.com"
COOKIE = "a" * 43


def request(**headers: str) -> Request:
    scope: dict[str, Any] = {
        "type": "http",
        "headers": [
            (name.replace("_", "-").encode(), value.encode())
            for name, value in headers.items()
        ],
    }
    return Request(scope)


@rows("headers")
def test_a_form_of_ours_passes(headers: dict[str, str]) -> None:
    require_csrf(request(**headers), csrf_token(COOKIE), COOKIE, OWN)


@rows("headers")
def test_a_form_from_elsewhere_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(AccessDenied):
        require_csrf(request(**headers), csrf_token(COOKIE), COOKIE, OWN)


@pytest.mark.parametrize(
    "token", [None, "", "x", csrf_token("b" * 43), csrf_token(COOKIE)[:-1], "é", COOKIE]
)
def test_a_token_of_no_or_another_session_is_refused(token: str | None) -> None:
    with pytest.raises(AccessDenied):
        require_csrf(request(origin=OWN), token, COOKIE, OWN)


def test_the_token_does_not_give_the_cookie_away() -> None:
    assert COOKIE not in csrf_token(COOKIE)
    assert csrf_token(COOKIE) != csrf_token("b" * 43)
