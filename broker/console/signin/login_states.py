"""Sign-ins that began here: what each waits for, bound to the browser that began it.

The answer comes back through an identity provider, and must find the very browser
that was sent there, once.

Source: RFC 9700 4.7; SAML 2.0 Profiles 4.1.5 (unsolicited responses have no such
bond).
"""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from broker.console.cookies import SessionCookie
from broker.console.deps import ConsoleDeps
from broker.console.rendering import see_other
from broker.entropy import new_handle
from broker.errors import ValidationError
from broker.sessions.handles import Handles

LIFE = timedelta(minutes=10)
"""For a person to prove who they are at their identity provider."""

_COOKIE = "broker-sign-in"
_BROWSER = "browser"
NOT_OPEN = (
    "This sign-in was not started in this browser, was used already, or took too long."
    " Start again."
)


class LoginStates:
    """Keeps what was begun, under handles that open it until it led somewhere."""

    def __init__(self, deps: ConsoleDeps) -> None:
        self._clock = deps.clock
        self._cookie = SessionCookie(secure=deps.secure, name=_COOKIE)
        self._handles = Handles(deps.cache, deps.vault, "sign-in")

    def browser_of(self, request: Request) -> str:
        """The browser's own random name; a new one unless it has one."""
        return self._cookie.find(request) or new_handle()

    async def put(self, browser: str, value: Mapping[str, object]) -> str:
        """A handle for what this browser begins."""
        return await self._handles.put(
            {**value, _BROWSER: _digest(browser)}, self._clock.now() + LIFE
        )

    def send_off(self, browser: str, url: str) -> Response:
        """Send the browser to the identity provider, with its name to come back by."""
        response = see_other(url)
        self.remember(response, browser)
        return response

    def remember(self, response: Response, browser: str) -> None:
        """Have the browser keep its name."""
        self._cookie.set(response, browser)

    async def find(self, handle: str) -> dict[str, Any] | None:
        """What was begun under a handle; it stays open."""
        return await self._handles.find(handle)

    async def require(self, request: Request, handle: str) -> dict[str, Any]:
        """What was begun, for the browser that began it alone; it stays open.

        Raises:
            ValidationError: it is not open, or not this browser's.
        """
        return self._own(request, await self._handles.find(handle))

    async def finish(self, request: Request, handle: str) -> dict[str, Any]:
        """Likewise, and it is open no more."""
        return self._own(request, await self._handles.take(handle))

    async def reopen(
        self, browser: str, handle: str, value: Mapping[str, object]
    ) -> None:
        """Have what was finished open again under its handle: nothing came of it."""
        await self._handles.replace(
            handle, {**value, _BROWSER: _digest(browser)}, self._clock.now() + LIFE
        )

    async def forget(self, handle: str) -> None:
        """Close what led to its end."""
        await self._handles.forget(handle)

    def _own(self, request: Request, value: dict[str, Any] | None) -> dict[str, Any]:
        browser = self._cookie.find(request)
        if value is None or browser is None:
            raise ValidationError(NOT_OPEN, detail="no open sign-in, or no cookie")
        if not hmac.compare_digest(str(value[_BROWSER]), _digest(browser)):
            raise ValidationError(NOT_OPEN, detail="another browser began it")
        return value


def _digest(browser: str) -> str:
    return hashlib.sha256(browser.encode("utf-8", "replace")).hexdigest()
