"""The state of sign-ins that start here, each bound to the browser that started it.

The identity provider's answer must come back in the same browser, and only once.

Source: RFC 9700 4.7; SAML 2.0 Profiles 4.1.5 (unsolicited responses have no such
binding).
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
from broker.errors import ValidationError
from broker.runtime.entropy import new_handle
from broker.sessions.handles import Handles

LIFE = timedelta(minutes=10)
"""For the user to sign in at their identity provider."""

_COOKIE = "broker-sign-in"
_BROWSER = "browser"
NOT_OPEN = (
    "This sign-in was not started in this browser, was already used, or took too long."
    " Start again."
)


class LoginStates:
    """Stores the state of started sign-ins under single-use handles."""

    def __init__(self, deps: ConsoleDeps) -> None:
        self._clock = deps.clock
        self._cookie = SessionCookie(secure=deps.secure, name=_COOKIE)
        self._handles = Handles(deps.cache, deps.vault, "sign-in")

    def browser_of(self, request: Request) -> str:
        """The random id in the browser's cookie, or a new one."""
        return self._cookie.find(request) or new_handle()

    async def put(self, browser: str, value: Mapping[str, object]) -> str:
        """Store the state of a sign-in that this browser starts; return its handle."""
        return await self._handles.put(
            {**value, _BROWSER: _digest(browser)}, self._clock.now() + LIFE
        )

    def redirect(self, browser: str, url: str) -> Response:
        """Redirect to the identity provider, setting the browser's cookie."""
        response = see_other(url)
        self.remember(response, browser)
        return response

    def remember(self, response: Response, browser: str) -> None:
        """Set the browser's cookie."""
        self._cookie.set(response, browser)

    async def find(self, handle: str) -> dict[str, Any] | None:
        """Read the state under a handle; None when there is none."""
        return await self._handles.find(handle)

    async def require(self, request: Request, handle: str) -> dict[str, Any]:
        """Read the state under a handle of this browser.

        Raises:
            ValidationError: There is none, or another browser started it.
        """
        return self._require_browser(request, await self._handles.find(handle))

    async def finish(self, request: Request, handle: str) -> dict[str, Any]:
        """Like `require`, and remove the state."""
        return self._require_browser(request, await self._handles.take(handle))

    async def reopen(
        self, browser: str, handle: str, value: Mapping[str, object]
    ) -> None:
        """Store the state again under its handle, after a step that failed."""
        await self._handles.replace(
            handle, {**value, _BROWSER: _digest(browser)}, self._clock.now() + LIFE
        )

    async def forget(self, handle: str) -> None:
        """Remove the state of a sign-in that is complete."""
        await self._handles.forget(handle)

    def _require_browser(
        self, request: Request, value: dict[str, Any] | None
    ) -> dict[str, Any]:
        browser = self._cookie.find(request)
        if value is None or browser is None:
            raise ValidationError(NOT_OPEN, detail="no open sign-in, or no cookie")
        if not hmac.compare_digest(str(value[_BROWSER]), _digest(browser)):
            raise ValidationError(NOT_OPEN, detail="another browser started it")
        return value


def _digest(browser: str) -> str:
    return hashlib.sha256(browser.encode("utf-8", "replace")).hexdigest()
