"""The state of sign-ins that start here, each bound to the browser that started it.

The identity provider's answer must come back in the same browser, and only once.

Source: RFC 9700 4.7; SAML 2.0 Profiles 4.1.5 (unsolicited responses have no such
binding).

The state of a password sign-in between its steps is one of them: it stays on the
server, and the pages carry only a handle, which each step uses up.
"""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import field
from msgspec.structs import asdict, replace
from starlette.requests import Request
from starlette.responses import Response

from broker.console.cookies import SessionCookie
from broker.console.csrf import FIELD, require_csrf
from broker.console.deps import ConsoleDeps
from broker.console.forms import Form
from broker.console.rendering import see_other
from broker.errors import ValidationError
from broker.model.account import AccountId
from broker.model.arn import iam_arn
from broker.model.secret import Confidential, Hidden
from broker.runtime.entropy import new_handle
from broker.sessions.ends import OneTimeUse, one_time_use
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
        self._origin = deps.public_origin
        self._cookie = SessionCookie(secure=deps.secure, name=_COOKIE)
        self._handles = Handles(deps.cache, deps.vault, "sign-in")

    def browser_of(self, request: Request) -> str:
        """The random id in the browser's cookie, or a new one."""
        return self._cookie.find(request) or new_handle()

    def require_own_form(self, request: Request, form: Form) -> None:
        """Require that a form comes from a page of ours that this browser loaded.

        Raises:
            AccessDenied: It was sent from another site, or without the browser's cookie.
        """
        browser = self.browser_of(request)
        require_csrf(request, form.find(FIELD), browser, self._origin)

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
        self, request: Request, handle: str, value: Mapping[str, object]
    ) -> None:
        """Store the state again under its handle, after a step that failed."""
        browser = self.browser_of(request)
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


PASSWORD_LIFE = timedelta(minutes=10)
"""From the password to the end of the sign-in, however many steps it takes."""

_KEY = "password"


class PasswordProgress(Confidential, frozen=True, kw_only=True):
    """A user who has given the right password and is not signed in yet.

    ``place`` is the account as the address named it. ``holder`` is the user's unique
    id, or the account number for the root user, whose ``name`` is empty. ``mark``
    identifies the password that was used; ``began`` and ``mfa_at`` are in seconds
    since the epoch; ``factor`` is the serial number of the second factor. ``kept``
    holds the data of each kind of second factor between a page and its answer.
    ``id`` stays the same through all steps.
    """

    place: str
    account: AccountId
    holder: str
    name: str
    arn: str
    mark: int
    began: int
    destination: str = ""
    remember: bool = False
    mfa_at: int | None = None
    factor: str = ""
    wrong: int = 0
    kept: Hidden[Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)
    id: Hidden[str] = field(default_factory=new_handle)

    @property
    def use(self) -> OneTimeUse:
        """What the mint uses up: a sign-in is good for one console session."""
        began = datetime.fromtimestamp(self.began, UTC)
        return one_time_use("password-sign-in", self.id, until=began + PASSWORD_LIFE)

    @property
    def is_root(self) -> bool:
        """Whether this is the account's root user."""
        return self.holder == self.account

    @classmethod
    def read(cls, state: Mapping[str, Any], now: datetime) -> "PasswordProgress":
        """The progress in a state.

        Raises:
            ValidationError: There is none, or the sign-in took too long.
        """
        if _KEY not in state:
            raise ValidationError(NOT_OPEN, detail="another kind of sign-in")
        pending = cls(**state[_KEY])
        if now > datetime.fromtimestamp(pending.began, UTC) + PASSWORD_LIFE:
            raise ValidationError(NOT_OPEN, detail="the sign-in took too long")
        return pending

    @property
    def state(self) -> Mapping[str, object]:
        """The state that holds it."""
        return {_KEY: asdict(self)}

    def keeping(self, kind: str, kept: Mapping[str, Any]) -> "PasswordProgress":
        """Return a copy with the data of one kind of second factor."""
        return replace(self, kept={**self.kept, kind: kept})


def root_arn(account: AccountId) -> str:
    """The root user's ARN."""
    return iam_arn(account, "root")
