"""Sign-ins that are under way: a password was shown, and is not all.

What was shown so far stays here, bound to the browser and to a handle that each step
uses up; the pages carry the handle alone.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.requests import Request

from broker.console.deps import ConsoleDeps
from broker.console.signin.login_states import NOT_OPEN, LoginStates
from broker.entropy import new_handle
from broker.errors import ValidationError
from broker.model.account import AccountId
from broker.model.arn import iam_arn
from broker.sessions.one_time_use import OneTimeUse, one_time_use

LIFE = timedelta(minutes=10)
"""From the password to the end of the sign-in, however many steps there are."""

_KEY = "password"


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordProgress:
    """Somebody who showed a password and is not signed in yet.

    ``place`` is the account as the address named it. ``holder`` is the user's unique
    id, or the account's number for root, whose ``name`` is empty. ``mark`` says which
    password it was; ``began`` and ``mfa_at`` are seconds since 1970, ``factor`` the
    serial number of the second factor that was shown. ``kept`` is what the kinds of
    second factors need to remember between a page and its answer, by their names.
    ``id`` stays through all the steps.
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
    kept: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    id: str = field(default_factory=new_handle, repr=False)

    @property
    def use(self) -> OneTimeUse:
        """The one console session that the sign-in is good for."""
        began = datetime.fromtimestamp(self.began, UTC)
        return one_time_use("password-sign-in", self.id, until=began + LIFE)

    @property
    def is_root(self) -> bool:
        """Whether it is the account's root."""
        return self.holder == self.account

    def keeping(self, kind: str, kept: Mapping[str, Any]) -> "PasswordProgress":
        """With what a kind of second factor wants to remember."""
        return replace(self, kept={**self.kept, kind: kept})


def root_arn(account: AccountId) -> str:
    """The root's ARN."""
    return iam_arn(account, "root")


class PasswordProgressStore:
    """Keeps them."""

    def __init__(self, deps: ConsoleDeps, login_states: LoginStates) -> None:
        self._clock = deps.clock
        self._starts = login_states

    async def put(self, request: Request, pending: PasswordProgress) -> str:
        """A handle that this browser can use once."""
        browser = self._starts.browser_of(request)
        return await self._starts.put(browser, {_KEY: asdict(pending)})

    async def finish(self, request: Request, handle: str) -> PasswordProgress:
        """What is under a handle, for its browser, once.

        Raises:
            ValidationError: there is nothing (any more), or it took too long.
        """
        return self._read(await self._starts.finish(request, handle))

    async def require(self, request: Request, handle: str) -> PasswordProgress:
        """Likewise, and the handle stays good."""
        return self._read(await self._starts.require(request, handle))

    async def reopen(
        self, request: Request, handle: str, pending: PasswordProgress
    ) -> None:
        """Have a handle open again: nothing came of the step."""
        browser = self._starts.browser_of(request)
        await self._starts.reopen(browser, handle, {_KEY: asdict(pending)})

    async def forget(self, handle: str) -> None:
        """The sign-in led to its session."""
        await self._starts.forget(handle)

    def _read(self, value: dict[str, Any]) -> PasswordProgress:
        if _KEY not in value:
            raise ValidationError(NOT_OPEN, detail="another kind of sign-in")
        pending = PasswordProgress(**value[_KEY])
        if self._clock.now() > _moment(pending.began, self._clock.now()) + LIFE:
            raise ValidationError(NOT_OPEN, detail="the sign-in took too long")
        return pending


def _moment(seconds: int, like: datetime) -> datetime:
    return datetime.fromtimestamp(seconds, like.tzinfo)
