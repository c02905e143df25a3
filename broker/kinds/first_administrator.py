"""An account's first administrator, who signs in by a link.

What is missing is made: the account, the user, the policy, the link. What is there stays.
"""

from datetime import datetime

from msgspec import Struct

from broker.errors import EntityAlreadyExists
from broker.kinds.accounts import create_account, set_alias
from broker.kinds.owners import attach_policy
from broker.kinds.rules import Work, create
from broker.kinds.sign_in_links import issue_link, linked_users
from broker.kinds.users import USERS
from broker.model.account import Account, AccountId
from broker.model.entities import User
from broker.model.secret import Secret
from broker.stores.directory.accounts import update_account
from broker.stores.directory.kinds import ACCOUNT, LOGIN_PROFILE, USER
from broker.stores.directory.port import DirectoryChange, DirectoryReader

ADMINISTRATOR_ACCESS = "arn:aws:iam::aws:policy/AdministratorAccess"


class FirstAdministrator(Struct, frozen=True):
    """Who it is, and the token of their sign-in link."""

    account: Account
    user: User
    token: Secret
    is_new_account: bool
    had_link: bool


async def list_waiting(directory: DirectoryReader, account: Account) -> list[User]:
    """The users who were given a sign-in link and have no password yet."""
    number, users = account.account_id, []
    for user_id in linked_users(account):
        user = await directory.find(USER, number, user_id)
        password = await directory.find(LOGIN_PROFILE, number, user_id)
        if user is not None and password is None:
            users.append(user)
    return users


async def make_administrator(
    change: DirectoryChange,
    account_id: AccountId,
    *,
    alias: str | None,
    user_name: str,
    now: datetime,
) -> FirstAdministrator:
    """Make an account and its administrator, as far as they are missing.

    Raises:
        EntityAlreadyExists: the administrator has a password and needs no link, the
            account has another alias, or another account has this one.
        ValidationError: the alias does not look like one.
    """
    account = await change.find(ACCOUNT, account_id)
    is_new = account is None
    if account is None:
        await create_account(change, account_id, alias=alias, now=now)
    elif alias is not None and account.alias is None:
        await set_alias(change, account, alias)
    elif alias is not None and alias != account.alias:
        raise EntityAlreadyExists(
            f"Account {account_id} has the alias {account.alias}; leave --alias out."
        )
    account = await _require(change, account_id)
    user = await change.named(USER, account_id, user_name)
    if user is None:
        work = Work(change=change, account=account_id, region="", now=now, by="")
        user = await create(USERS, {"UserName": user_name}, work)
    elif await change.find(LOGIN_PROFILE, account_id, user.user_id) is not None:
        place = account.alias or account_id
        raise EntityAlreadyExists(
            f"Account {account_id} is set up: {user.name} has a password and signs in at"
            f" /signin/{place}, where Security credentials has their access keys. For another"
            " administrator, pass --user NAME; for another account, pass --account with a"
            " new number."
        )
    await attach_policy(change, account, user, ADMINISTRATOR_ACCESS)
    had_link = user.user_id in linked_users(account)
    account, token = issue_link(account, user, now=now)
    await update_account(change, account)
    return FirstAdministrator(account, user, token, is_new, had_link)


async def _require(change: DirectoryChange, account_id: AccountId) -> Account:
    account = await change.find(ACCOUNT, account_id)
    if account is None:
        raise RuntimeError("the account was just made")
    return account
