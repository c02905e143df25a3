"""The console's cookies: name, attributes, and value in a request.

Source: RFC 6265bis, "The __Host- Prefix".
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import quote, unquote

from msgspec import Struct
from msgspec.structs import asdict
from starlette.requests import Request
from starlette.responses import Response

from broker.console.deps import ConsoleDeps
from broker.errors import ServiceUnavailable
from broker.sessions.handles import Handles
from broker.sessions.vault import SealBrokenError

_NAME = "broker-session"
_READ = "broker.cookies"
_HANDLE_LENGTH = 43

_FLASH_PURPOSE = b"broker/1/console/done"
_FLASH_LIFE = timedelta(minutes=1)
_TEXT_MAX = 160
_VALUE_MAX = 2048

_LIFE = timedelta(days=400)
"""Browsers cap a cookie's lifetime at 400 days (RFC 6265bis 5.5)."""

_LONGEST = 2048
_KNOWN_PURPOSE = ("known-browser", "", "", "cookie")


class Cookie:
    """A cookie by its name; ``secure`` when the broker is served over https.

    Without a ``life`` it lasts as long as the browser's session.
    """

    def __init__(
        self, name: str, *, secure: bool, life: timedelta | None = None
    ) -> None:
        self.name = f"__Host-{name}" if secure else name
        self._secure = secure
        self._life = life

    def values(self, request: Request) -> list[str]:
        """All values, as they were sent.

        ``request.cookies`` also takes quotation marks and escapes away, which takes
        Python before 3.11.10 and 3.12.6 seconds for a long value (CVE-2024-7592).
        """
        return _read_once(request).get(self.name, [])

    def set(self, response: Response, value: str) -> None:
        """Set it, for a life that begins now."""
        life = self._life
        response.set_cookie(
            self.name,
            value,
            max_age=None if life is None else int(life.total_seconds()),
            path="/",
            secure=self._secure,
            httponly=True,
            samesite="lax",
        )

    def clear(self, response: Response) -> None:
        """Clear it."""
        response.delete_cookie(
            self.name, path="/", secure=self._secure, httponly=True, samesite="lax"
        )


def _read_once(request: Request) -> Mapping[str, list[str]]:
    """All values by their cookies' names: a page looks at many cookies."""
    values: dict[str, list[str]] | None = request.scope.get(_READ)
    if values is None:
        values = request.scope[_READ] = {}
        for header in request.headers.getlist("cookie"):
            for part in header.split(";"):
                name, is_named, value = part.partition("=")
                if is_named:
                    values.setdefault(name.strip(), []).append(value.strip())
    return values


class SessionCookie(Cookie):
    """A cookie that holds a handle.

    A session's has no ``life``, so that the browser still sends it after the session has
    ended and the page can say "your session has ended" rather than "sign in".
    """

    def __init__(
        self, *, secure: bool, name: str = _NAME, life: timedelta | None = None
    ) -> None:
        super().__init__(name, secure=secure, life=life)

    def find(self, request: Request) -> str | None:
        """Return the value; None when it is missing, sent twice or malformed."""
        values = self.values(request)
        if len(values) != 1 or len(values[0]) != _HANDLE_LENGTH:
            return None
        return values[0]


class BrowserHandles:
    """Values that wait for a browser, whose handle it has in a cookie of their own.

    Every method but ``forget`` raises ``ServiceUnavailable`` without the cache.
    """

    def __init__(
        self, deps: ConsoleDeps, cookie: str, space: str, life: timedelta
    ) -> None:
        self._clock = deps.clock
        self._cookie = SessionCookie(secure=deps.secure, name=cookie, life=life)
        self._handles = Handles(deps.cache, deps.vault, space)
        self._life = life

    async def put(self, response: Response, value: Mapping[str, object]) -> None:
        """Keep a value for the browser that gets the response."""
        handle = await self._handles.put(value, self._clock.now() + self._life)
        self._cookie.set(response, handle)

    async def find(self, request: Request) -> dict[str, Any] | None:
        """The value, which stays."""
        handle = self._cookie.find(request)
        return await self._handles.find(handle) if handle else None

    async def take(self, request: Request) -> dict[str, Any] | None:
        """The value, removed: of two requests at once one gets it."""
        handle = self._cookie.find(request)
        return await self._handles.take(handle) if handle else None

    def forget(self, response: Response) -> None:
        """Clear the cookie."""
        self._cookie.clear(response)


class Flash:
    """A message that the next page shows once, after a redirect.

    It travels in a cookie of its own, not in the address, where anyone could make the
    broker say something: the cookie carries a code over its text that only holders of
    the session's cookie could have made. It ends with the next page, or after a minute.
    """

    def __init__(self, *, secure: bool) -> None:
        self._cookie = Cookie("broker-done", secure=secure, life=_FLASH_LIFE)

    def put(self, response: Response, text: str, session_cookie: str) -> None:
        """Have the session's next page show ``text``, cut to 160 characters."""
        text = text[:_TEXT_MAX]
        value = f"{_code(text, session_cookie)}.{quote(text, safe='')}"
        self._cookie.set(response, value)

    def find(self, request: Request, session_cookie: str) -> str:
        """The message to show; empty without one, or when it is another session's."""
        value = "".join(self._cookie.values(request)[-1:])[:_VALUE_MAX]
        code, _, quoted = value.partition(".")
        text = unquote(quoted)
        expected = _code(text, session_cookie)
        same = hmac.compare_digest(expected.encode(), code.encode("utf-8", "replace"))
        return text if same else ""

    def clear(self, request: Request, response: Response) -> None:
        """Forget the message, if there is one."""
        if self._cookie.values(request):
            self._cookie.clear(response)


def _code(text: str, session_cookie: str) -> str:
    key = session_cookie.encode("ascii", "replace")
    digest = hmac.digest(key, _FLASH_PURPOSE + text.encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(digest).decode("ascii").rstrip("=")


class KnownBrowser(Struct, frozen=True, kw_only=True):
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
    """The cookie that remembers a browser's account, user and sign-in option.

    It is sealed, so that only a browser in which the user has signed in can present it:
    `broker.proofs.attempts` counts such browsers separately. It proves nothing else.
    """

    def __init__(self, deps: ConsoleDeps) -> None:
        self._vault = deps.vault
        self._cookie = Cookie("broker-known", secure=deps.secure, life=_LIFE)
        self.forget = self._cookie.clear

    def find(self, request: Request) -> KnownBrowser | None:
        """Read the cookie; None when it is missing or not ours."""
        # Padding has it sent in quotation marks.
        text = "".join(self._cookie.values(request)[-1:]).strip('"')
        if not 0 < len(text) <= _LONGEST:
            return None
        try:
            sealed = base64.urlsafe_b64decode(text.encode("ascii"))
            plain = self._vault.open_sealed(*_KNOWN_PURPOSE, sealed)
            return KnownBrowser(**json.loads(plain))
        except (ValueError, TypeError, SealBrokenError, ServiceUnavailable):
            return None

    def remember(self, response: Response, known: KnownBrowser) -> None:
        """Set the cookie."""
        plain = json.dumps(asdict(known)).encode("ascii")
        try:
            sealed = self._vault.seal(*_KNOWN_PURPOSE, plain)
        except ServiceUnavailable:  # signing in works without it
            return
        text = base64.urlsafe_b64encode(sealed).decode("ascii")
        self._cookie.set(response, text)
