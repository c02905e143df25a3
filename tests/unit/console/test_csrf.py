from typing import Any

import pytest
from starlette.requests import Request

from broker.console.csrf import csrf_token, require_csrf
from broker.errors import AccessDenied

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


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": OWN},
        {"origin": OWN, "sec_fetch_site": "same-origin"},
        {"origin": "null", "sec_fetch_site": "same-origin"},
        {"sec_fetch_site": "same-origin"},
    ],
)
def test_a_form_of_ours_passes(headers: dict[str, str]) -> None:
    require_csrf(request(**headers), csrf_token(COOKIE), COOKIE, OWN)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "null"},
        {"origin": "https://evil.example"},
        {"origin": "https://evil.example", "sec_fetch_site": "same-origin"},
        {"origin": "https://broker.example.com.evil.example"},
        {"origin": "http://broker.example.com"},
        {"origin": OWN, "sec_fetch_site": "cross-site"},
        {"origin": OWN, "sec_fetch_site": "same-site"},
        {"origin": "null", "sec_fetch_site": "none"},
        {"sec_fetch_site": "same-site"},
        {"sec_fetch_site": "none"},
    ],
)
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
