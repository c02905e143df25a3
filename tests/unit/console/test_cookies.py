from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from broker.console.cookies import SessionCookie
from tests.support.rows import rows

VALUE = "a" * 43


def request(*cookies: str) -> Request:
    scope: dict[str, Any] = {
        "type": "http",
        "headers": [(b"cookie", cookie.encode()) for cookie in cookies],
    }
    return Request(scope)


def test_over_https_the_cookie_is_bound_to_the_host() -> None:
    response = Response()
    SessionCookie(secure=True).set(response, VALUE)
    name, *attributes = response.headers["set-cookie"].split("; ")
    assert name == f"__Host-broker-session={VALUE}"
    assert {a.lower() for a in attributes} == {
        "httponly",
        "path=/",
        "samesite=lax",
        "secure",
    }


def test_over_loopback_http_it_goes_without_secure() -> None:
    response = Response()
    SessionCookie(secure=False).set(response, VALUE)
    name, *attributes = response.headers["set-cookie"].split("; ")
    assert name == f"broker-session={VALUE}"
    assert {a.lower() for a in attributes} == {"httponly", "path=/", "samesite=lax"}


def test_clearing_names_the_same_cookie() -> None:
    response = Response()
    SessionCookie(secure=True).clear(response)
    header = response.headers["set-cookie"].lower()
    assert header.startswith('__host-broker-session="";')
    assert "max-age=0" in header
    assert "secure" in header


def test_the_value_is_found_among_others() -> None:
    cookie = SessionCookie(secure=True)
    assert cookie.find(request(f"a=b; __Host-broker-session={VALUE}")) == VALUE
    assert cookie.find(request("a=b", f"__Host-broker-session={VALUE}")) == VALUE


@rows("given")
def test_an_ambiguous_cookie_is_ignored(given: tuple[str, ...]) -> None:
    """A neighbour host can add a second one; nobody can say which is ours."""
    assert SessionCookie(secure=True).find(request(*given)) is None
