"""Links by which a user without a password chooses the first one, and signs in.

The operator issues one with ``broker init``; it works once and for a day. The account
keeps only the token's digest, as an option, beside the user's id. A link ends when it
is used, when another one replaces it, for good when the user gets a password in another
way, when the user or the account is deleted, and when its time is over.
"""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from msgspec.structs import replace

from broker.errors import AccessDenied
from broker.model.account import Account
from broker.model.entities import User
from broker.model.secret import Secret
from broker.runtime.entropy import new_handle
from broker.stores.directory.kinds import LOGIN_PROFILE, USER
from broker.stores.directory.port import DirectoryReader

OPTION: Final = "SignInLinks"
"""The name of the account's option."""

LIFE = timedelta(hours=24)
_MOST = 20
"""Links of an account at a time; the oldest gives way to a new one."""

LINK_ENDED = (
    "This sign-in link has been used, has expired or was replaced by a newer one. Ask"
    " the person who sent it for a new link."
)


def issue_link(
    account: Account, user: User, *, now: datetime
) -> tuple[Account, Secret]:
    """The account with a new link for a user, and the link's token."""
    token = new_handle()
    until = int((now + LIFE).timestamp())
    kept = _without(_links(account, now), user.user_id)[1 - _MOST :]
    row = {"UserId": user.user_id, "Digest": _digest(token), "Until": until}
    return _with(account, [*kept, row]), Secret(token)


def end_link(account: Account, user_id: str, *, now: datetime) -> Account:
    """The account without the user's link."""
    return _with(account, _without(_links(account, now), user_id))


async def require_linked_user(
    directory: DirectoryReader, account: Account, token: str, *, now: datetime
) -> User:
    """The user of a link that can still be used.

    Raises:
        AccessDenied: there is no such link; it has ended.
    """
    digest = _digest(token)
    for row in _links(account, now):
        if hmac.compare_digest(str(row["Digest"]), digest):
            user_id = str(row["UserId"])
            number = account.account_id
            user = await directory.find(USER, number, user_id)
            password = await directory.find(LOGIN_PROFILE, number, user_id)
            if user is not None and password is None:
                return user
            raise AccessDenied(
                LINK_ENDED, detail="the user no longer exists or has a password"
            )
    raise AccessDenied(LINK_ENDED, detail="no such sign-in link, or it has ended")


def linked_users(account: Account) -> tuple[str, ...]:
    """The ids of the users who were given a link, even one whose time is over."""
    return tuple(str(row["UserId"]) for row in _all_links(account))


def _links(account: Account, now: datetime) -> list[Mapping[str, object]]:
    """The links whose time is not over."""
    return [row for row in _all_links(account) if _until(row) > now]


def _all_links(account: Account) -> list[Mapping[str, object]]:
    entity = account.options.get(OPTION, ())
    return entity if isinstance(entity, list) else []


def _until(row: Mapping[str, object]) -> datetime:
    return datetime.fromtimestamp(int(str(row["Until"])), UTC)


def _without(
    links: list[Mapping[str, object]], user_id: str
) -> list[Mapping[str, object]]:
    return [row for row in links if row["UserId"] != user_id]


def _with(account: Account, links: list[Mapping[str, object]]) -> Account:
    options = {name: v for name, v in account.options.items() if name != OPTION}
    if links:
        options[OPTION] = links
    return replace(account, options=options)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
