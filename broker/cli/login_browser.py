"""How the code comes back: to a port of this machine, or typed in by the person.

Source: RFC 8252 7.3; botocore's signin model.
"""

import base64
import hmac
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

from broker.errors import ValidationError

_PATH = "/oauth/callback"
_MINUTES = 10
_READ_SECONDS = 5
_DONE = ("You are logged in", "You can close this page and go back to your terminal.")
_REFUSED = ("The terminal was not let in", "You can close this page.")
_NOWHERE = ("There is nothing here", "Go back to your terminal.")
_PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>main {{ max-width: 32rem; margin: 15vh auto; padding: 0 1rem; font: 1rem/1.5 system-ui, sans-serif }}</style>
<main><h1>{title}</h1><p>{text}</p></main>
</html>
"""


class Waiting:
    """A port of this machine that waits for the browser."""

    def __init__(self) -> None:
        self.state = secrets.token_urlsafe()
        self._query: dict[str, list[str]] | None = None
        outer = self

        class _Handler(BaseHTTPRequestHandler):
            timeout = _READ_SECONDS

            def do_GET(self) -> None:
                words = outer._take(self.path)
                self.send_response(404 if words is None else 200)
                self.send_header("content-type", "text/html; charset=utf-8")
                self.send_header("cache-control", "no-store")
                self.send_header("referrer-policy", "no-referrer")
                self.end_headers()
                title, text = words or _NOWHERE
                self.wfile.write(_PAGE.format(title=title, text=text).encode())

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
                """Nothing: the path holds the code."""

        self._server = HTTPServer(("127.0.0.1", 0), _Handler)
        self._server.timeout = 1
        self.redirect_uri = f"http://127.0.0.1:{self._server.server_port}{_PATH}"

    def wait(self) -> str:
        """The code.

        Raises:
            ValidationError: the person refused, or nobody came.
        """
        deadline = time.monotonic() + _MINUTES * 60
        while self._query is None:
            if time.monotonic() > deadline:
                raise ValidationError("Nobody signed in. Start again.")
            self._server.handle_request()
        if "code" not in self._query:
            raise ValidationError("The login was refused in the browser.")
        return self._query["code"][0]

    def close(self) -> None:
        """Give the port back."""
        self._server.server_close()

    def _take(self, path: str) -> tuple[str, str] | None:
        parts = urlsplit(path)
        query = parse_qs(parts.query)
        # Any page may send a browser here; only the one that we sent off knows this.
        if parts.path != _PATH or not _is(query, self.state):
            return None
        self._query = query
        return _DONE if "code" in query else _REFUSED


@contextmanager
def answer_of_browser() -> Iterator[Waiting]:
    """A port that waits as long as the block runs."""
    waiting = Waiting()
    try:
        yield waiting
    finally:
        waiting.close()


def answer_of_person(text: str, state: str) -> str:
    """The code in what a person typed in.

    Raises:
        ValidationError: it is no code, or one for another login.
    """
    try:
        query = parse_qs(base64.b64decode(text.strip(), validate=True).decode("ascii"))
    except ValueError as error:
        raise ValidationError("That is not the code of the page.") from error
    if not _is(query, state) or "code" not in query:
        raise ValidationError("That is not the code of this login.")
    return query["code"][0]


def _is(query: dict[str, list[str]], state: str) -> bool:
    given = query.get("state", [""])[0]
    return hmac.compare_digest(given.encode("utf-8", "replace"), state.encode())
