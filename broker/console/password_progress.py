"""A sign-in with a password between its steps: who gave which password, and when.

It stays on the server, parked for the browser; the pages carry only a handle, which
each step uses up.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import field
from msgspec.structs import asdict, replace

from broker.console.parked import NOT_OPEN
from broker.errors import ValidationError
from broker.model.account import AccountId
from broker.model.arn import iam_arn
from broker.model.secret import Confidential, Hidden
from broker.runtime.entropy import new_handle
from broker.sessions.ends import OneTimeUse, one_time_use

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
