"""The console's cookies: name, attributes, and value in a request.

Source: RFC 6265bis, "The __Host- Prefix".
"""

import base64
import binascii
import hashlib
import hmac
import json
from dataclasses import asdict, dataclass
from datetime import timedelta
from urllib.parse import quote, unquote

from starlette.requests import Request
from starlette.responses import Response

from broker.console.deps import ConsoleDeps
from broker.errors import ServiceUnavailable
from broker.sessions.vault import SealBrokenError

_NAME = "broker-session"
_HANDLE_LENGTH = 43


def find_values(request: Request, name: str) -> list[str]:
    """All values of a cookie, as they were sent.

    ``request.cookies`` also takes quotation marks and escapes away, which takes Python
    before 3.11.10 and 3.12.6 seconds for a long value (CVE-2024-7592).
    """
    prefix = f"{name}="
    return [
        part.strip().removeprefix(prefix)
        for header in request.headers.getlist("cookie")
        for part in header.split(";")
        if part.strip().startswith(prefix)
    ]


class SessionCookie:
    """A cookie that holds a handle; ``secure`` when the broker is served over https.

    It has no expiry, so that the browser still sends it after the session has ended
    and the page can say "your session has ended" rather than "sign in".
    """

    def __init__(self, *, secure: bool, name: str = _NAME) -> None:
        self.name = f"__Host-{name}" if secure else name
        self._secure = secure

    def find(self, request: Request) -> str | None:
        """Return the value; None when it is missing, sent twice or malformed."""
        found = find_values(request, self.name)
        if len(found) != 1 or len(found[0]) != _HANDLE_LENGTH:
            return None
        return found[0]

    def set(self, response: Response, value: str) -> None:
        """Set the cookie."""
        response.set_cookie(
            self.name,
            value,
            path="/",
            secure=self._secure,
            httponly=True,
            samesite="lax",
        )

    def clear(self, response: Response) -> None:
        """Clear the cookie."""
        response.delete_cookie(
            self.name, path="/", secure=self._secure, httponly=True, samesite="lax"
        )


_FLASH_NAME = "broker-done"
_FLASH_PURPOSE = b"broker/1/console/done"
_SECONDS = 60
_TEXT_MAX = 160
_VALUE_MAX = 2048


class Flash:
    """Sets and takes the message; ``secure`` when the broker is served over https."""

    def __init__(self, *, secure: bool) -> None:
        self._name = f"__Host-{_FLASH_NAME}" if secure else _FLASH_NAME
        self._secure = secure

    def put(self, response: Response, text: str, session_cookie: str) -> None:
        """Have the session's next page show ``text``, cut to 160 characters."""
        text = text[:_TEXT_MAX]
        response.set_cookie(
            self._name,
            f"{_code(text, session_cookie)}.{quote(text, safe='')}",
            max_age=_SECONDS,
            path="/",
            secure=self._secure,
            httponly=True,
            samesite="lax",
        )

    def find(self, request: Request, session_cookie: str) -> str:
        """The message to show; empty without one, or when it is another session's."""
        value = "".join(find_values(request, self._name)[-1:])[:_VALUE_MAX]
        code, _, quoted = value.partition(".")
        text = unquote(quoted)
        expected = _code(text, session_cookie)
        same = hmac.compare_digest(expected.encode(), code.encode("utf-8", "replace"))
        return text if same else ""

    def clear(self, request: Request, response: Response) -> None:
        """Forget the message, if there is one."""
        if find_values(request, self._name):
            response.delete_cookie(
                self._name, path="/", secure=self._secure, httponly=True, samesite="lax"
            )


def _code(text: str, session_cookie: str) -> str:
    key = session_cookie.encode("ascii", "replace")
    digest = hmac.digest(key, _FLASH_PURPOSE + text.encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(digest).decode("ascii").rstrip("=")


_KNOWN_NAME = "broker-known"
_LIFE = timedelta(days=400)
"""Browsers cap a cookie's lifetime at 400 days (RFC 6265bis 5.5)."""

_LONGEST = 2048
_KNOWN_PURPOSE = ("known-browser", "", "", "cookie")


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownBrowser:
    """The content of the cookie.

    ``place`` is the account as its sign-in URL names it, ``way`` the id of the
    identity provider that was used last. ``account``, ``user_id`` and ``id`` (new at
    each sign-in) are set once the user ``name`` (empty for the root user) has signed
    in here with a password.
    """

    place: str
    name: str = ""
    account: str = ""
    user_id: str = ""
    way: str = ""
    id: str = ""


class KnownBrowsers:
    """Reads and writes the cookie."""

    def __init__(self, deps: ConsoleDeps) -> None:
        self._vault = deps.vault
        self._secure = deps.secure
        self._name = f"__Host-{_KNOWN_NAME}" if deps.secure else _KNOWN_NAME

    def find(self, request: Request) -> KnownBrowser | None:
        """Read the cookie; None when it is missing or not ours."""
        # Padding has it sent in quotation marks.
        text = "".join(find_values(request, self._name)[-1:]).strip('"')
        if not 0 < len(text) <= _LONGEST:
            return None
        try:
            sealed = base64.urlsafe_b64decode(text.encode("ascii"))
            plain = self._vault.open_sealed(*_KNOWN_PURPOSE, sealed)
            return KnownBrowser(**json.loads(plain))
        except (
            ValueError,
            TypeError,
            binascii.Error,
            SealBrokenError,
            ServiceUnavailable,
        ):
            return None

    def remember(self, response: Response, known: KnownBrowser) -> None:
        """Set the cookie."""
        plain = json.dumps(asdict(known)).encode("ascii")
        try:
            sealed = self._vault.seal(*_KNOWN_PURPOSE, plain)
        except ServiceUnavailable:  # signing in works without it
            return
        response.set_cookie(
            self._name,
            base64.urlsafe_b64encode(sealed).decode("ascii"),
            max_age=int(_LIFE.total_seconds()),
            path="/",
            secure=self._secure,
            httponly=True,
            samesite="lax",
        )

    def forget(self, response: Response) -> None:
        """Clear the cookie."""
        response.delete_cookie(
            self._name, path="/", secure=self._secure, httponly=True, samesite="lax"
        )
