"""Receiving the login's code: on a loopback port, or pasted by the user.

Source: RFC 8252 7.3; botocore's signin model.
"""

import base64
import hmac
import secrets
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

from broker.errors import ValidationError

_PATH = "/oauth/callback"
_MINUTES = 10
_READ_SECONDS = 5
_DONE = ("You are logged in", "You can close this page and go back to your terminal.")
_REFUSED = ("The login was denied", "You can close this page.")
_NOWHERE = ("Not found", "Go back to your terminal.")
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


class CallbackServer:
    """A loopback port that the browser is redirected to."""

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
                """Log nothing: the path contains the code."""

        self._server = HTTPServer(("127.0.0.1", 0), _Handler)
        self._server.timeout = 1
        self.redirect_uri = f"http://127.0.0.1:{self._server.server_port}{_PATH}"

    def wait(self) -> str:
        """Wait for the code.

        Raises:
            ValidationError: The login was denied, or timed out.
        """
        deadline = time.monotonic() + _MINUTES * 60
        while self._query is None:
            if time.monotonic() > deadline:
                raise ValidationError("The login timed out. Start again.")
            self._server.handle_request()
        if "code" not in self._query:
            raise ValidationError("The login was denied in the browser.")
        return self._query["code"][0]

    def close(self) -> None:
        """Close the port."""
        self._server.server_close()

    def _take(self, path: str) -> tuple[str, str] | None:
        parts = urlsplit(path)
        query = parse_qs(parts.query)
        # Any page can redirect a browser here; only our login's knows the state.
        if parts.path != _PATH or not _is(query, self.state):
            return None
        self._query = query
        return _DONE if "code" in query else _REFUSED


def parse_pasted_code(text: str, state: str) -> str:
    """Parse the code that the user pasted.

    Raises:
        ValidationError: It is not a code, or belongs to another login.
    """
    try:
        query = parse_qs(base64.b64decode(text.strip(), validate=True).decode("ascii"))
    except ValueError as error:
        raise ValidationError("That is not the code from the page.") from error
    if not _is(query, state) or "code" not in query:
        raise ValidationError("That code belongs to another login.")
    return query["code"][0]


def _is(query: dict[str, list[str]], state: str) -> bool:
    given = query.get("state", [""])[0]
    return hmac.compare_digest(given.encode("utf-8", "replace"), state.encode())
