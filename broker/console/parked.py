"""What waits for one browser, under a handle in an address or a form of ours.

A handle can be seen and sent on, so it opens nothing by itself: what is parked belongs
to the browser that began it, by a random id in a short-lived cookie, and only that
browser is given it. Any other is refused, which uses nothing up.

A post of another site brings no cookie of ours (``SameSite=Lax``). What it parks belongs
to the browser that began the sign-in that it answers. If none was begun here, its
response sets a cookie for the redirect that follows: one of few names in turn, so that
tabs do not disturb each other and no site can fill the browser with cookies.

Source: RFC 9700 4.7; RFC 6265bis 5.6.7.1, 5.7.3.
"""

import hashlib
from collections.abc import Mapping
from datetime import timedelta
from itertools import cycle
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from broker.console.cookies import SessionCookie
from broker.console.deps import ConsoleDeps
from broker.console.rendering import see_other
from broker.errors import ValidationError
from broker.model.secret import Confidential, Hidden
from broker.runtime.entropy import new_handle
from broker.sessions.handles import Handles

BEGUN_LIFE = timedelta(hours=1)
"""From the last page or redirect of a sign-in: longer than anything of it is parked."""

ARRIVING_LIFE = timedelta(minutes=1)
ARRIVING_MAX = 16
NOT_OPEN = (
    "This sign-in was not started in this browser, was already used, or took too long."
    " Start again."
)
_OWNER, _ANYONE = "browser", "anyone"


class Browser(Confidential, frozen=True):
    """A browser that things are parked for.

    ``owner`` is the digest of its id, ``cookie`` the cookie that has the id; both the
    cookie and the ``id`` are absent if only the digest is known.
    """

    owner: str
    id: Hidden[str] = ""
    cookie: SessionCookie | None = None


class Browsers:
    """Knows browsers by their cookies."""

    def __init__(self, deps: ConsoleDeps) -> None:
        self._begun = SessionCookie(
            secure=deps.secure, name="broker-sign-in", life=BEGUN_LIFE
        )
        self._arriving = [
            SessionCookie(
                secure=deps.secure, name=f"broker-arriving-{number}", life=ARRIVING_LIFE
            )
            for number in range(ARRIVING_MAX)
        ]
        self._turns = cycle(self._arriving)
        self._public_name = urlsplit(deps.public_origin).hostname

    def of(self, request: Request) -> Browser:
        """The browser of a request that brings its cookies; with a new id if it has none."""
        return _browser(self._begun.find(request) or new_handle(), self._begun)

    def arriving(self, request: Request) -> Browser:
        """The browser of a post of another site, which brings no cookies.

        Under another name of the broker it stays unknown: the redirect leads to the
        public name, where that one's cookies are not sent.
        """
        if request.url.hostname != self._public_name:
            return Browser(_ANYONE)
        return _browser(new_handle(), next(self._turns))

    def remember(self, response: Response, browser: Browser) -> None:
        """Set the browser's cookie, with a life that begins now."""
        if browser.cookie is not None:
            browser.cookie.set(response, browser.id)

    def redirect(self, browser: Browser, url: str) -> Response:
        """Redirect, setting the browser's cookie."""
        response = see_other(url)
        self.remember(response, browser)
        return response

    def is_owner(self, request: Request, owner: str) -> bool:
        """Whether a request is of this browser."""
        if owner == _ANYONE:
            return True
        ids = (cookie.find(request) for cookie in (self._begun, *self._arriving))
        return any(_digest(text) == owner for text in ids if text is not None)


class Parked:
    """Values parked in one ``space`` of the cache; ``gone`` says that one is not there.

    Every method but ``forget`` raises ``ServiceUnavailable`` without the cache.
    """

    def __init__(
        self, deps: ConsoleDeps, browsers: Browsers, space: str, gone: str = NOT_OPEN
    ) -> None:
        self._clock = deps.clock
        self._browsers = browsers
        self._gone = gone
        self._handles = Handles(deps.cache, deps.vault, space)

    async def put(
        self, browser: Browser, value: Mapping[str, object], life: timedelta
    ) -> str:
        """Park a value for a browser; its handle."""
        return await self._handles.put(_owned(browser, value), self._clock.now() + life)

    async def require(self, request: Request, handle: str) -> dict[str, Any]:
        """The value under a handle, which stays.

        Raises:
            ValidationError: There is none, or it belongs to another browser.
        """
        value, browser = await self.peek(handle)
        if value is None:
            raise ValidationError(self._gone, detail="nothing is parked there")
        if not self._browsers.is_owner(request, browser.owner):
            raise ValidationError(NOT_OPEN, detail="another browser started it")
        return value

    async def take(self, request: Request, handle: str) -> dict[str, Any]:
        """Like `require`, and remove the value: of two requests at once one gets it."""
        await self.require(request, handle)
        value = await self._handles.take(handle)
        if value is None:
            raise ValidationError(self._gone, detail="it was taken at the same time")
        return _split(value)[0]

    async def peek(self, handle: str) -> tuple[dict[str, Any] | None, Browser]:
        """The value under a handle whichever browser asks, and whose it is.

        For a post of another site, which does not show its browser: what comes of the
        value is to be parked for the browser that it belongs to.
        """
        value = await self._handles.find(handle)
        return (None, Browser("")) if value is None else _split(value)

    async def put_back(
        self,
        browser: Browser,
        handle: str,
        value: Mapping[str, object],
        life: timedelta,
    ) -> None:
        """Park a value again under the handle that it was taken from."""
        await self._handles.replace(
            handle, _owned(browser, value), self._clock.now() + life
        )

    async def forget(self, handle: str) -> None:
        """Remove what is not needed any more."""
        await self._handles.forget(handle)


def _owned(browser: Browser, value: Mapping[str, object]) -> Mapping[str, object]:
    return {**value, _OWNER: browser.owner}


def _split(value: dict[str, Any]) -> tuple[dict[str, Any], Browser]:
    # What an earlier version parked names no browser, so no browser may have it.
    return value, Browser(value.pop(_OWNER, ""))


def _browser(text: str, cookie: SessionCookie) -> Browser:
    return Browser(_digest(text), text, cookie)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
