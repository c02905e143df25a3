"""Accounts: creation, root keys, alias."""

import re
from dataclasses import replace
from datetime import datetime

from broker.errors import (
    EntityAlreadyExists,
    InvalidClientTokenId,
    NoSuchEntity,
    ValidationError,
)
from broker.kinds.access_keys import insert_new_key
from broker.model.account import Account, AccountId
from broker.model.entities import AccessKey, KeyStatus
from broker.model.sealing import Sealer
from broker.model.secret import Secret
from broker.runtime.entropy import random_bytes
from broker.stores.directory.accounts import (
    find_account_by_alias,
    insert_account,
    update_account,
)
from broker.stores.directory.kinds import ACCESS_KEY, ACCOUNT
from broker.stores.directory.port import DirectoryChange, DirectoryReader
from broker.stores.errors import AlreadyExistsError

_ALIAS = re.compile(r"[a-z0-9]([a-z0-9]|-(?!-)){1,61}[a-z0-9]")
_LOOKS_LIKE_ACCOUNT_ID = re.compile(r"[0-9]{12}")


async def require_account(directory: DirectoryReader, account: AccountId) -> Account:
    """The account that a call acts in.

    Raises:
        InvalidClientTokenId: it was deleted while the call was on its way.
    """
    found = await directory.find(ACCOUNT, account)
    if found is None:
        raise InvalidClientTokenId(detail=f"the account {account} no longer exists")
    return found


async def create_account(
    change: DirectoryChange, account_id: AccountId, *, alias: str | None, now: datetime
) -> Account:
    """Create an account with its own salt, so that it accepts no older session.

    Raises:
        EntityAlreadyExists: the id or the alias is taken.
        ValidationError: the alias does not look like one.
    """
    account = Account(
        account_id=account_id, alias=None, session_salt=random_bytes(32), created_at=now
    )
    try:
        await insert_account(change, account)
    except AlreadyExistsError as error:
        raise EntityAlreadyExists(
            f"The account {account_id} already exists."
        ) from error
    if alias is not None:
        await set_alias(change, account, alias)
    return account


async def create_root_key(
    change: DirectoryChange, account: AccountId, *, sealer: Sealer, now: datetime
) -> tuple[AccessKey, Secret]:
    """Make a root key; the secret is shown this once."""
    return await insert_new_key(change, account, None, sealer=sealer, now=now)


async def deactivate_root_keys(change: DirectoryChange, account: AccountId) -> int:
    """Retire every root key of the account; how many were active."""
    active = [
        key
        for key in await change.all_of(ACCESS_KEY, account, user_id=None)
        if key.status is KeyStatus.ACTIVE
    ]
    for key in active:
        await change.update(ACCESS_KEY, replace(key, status=KeyStatus.INACTIVE))
    return len(active)


async def set_alias(change: DirectoryChange, account: Account, alias: str) -> None:
    """Set the account's one alias, replacing any earlier one.

    Raises:
        EntityAlreadyExists: another account has it.
        ValidationError: it does not look like one, or looks like an account id.
    """
    if not _ALIAS.fullmatch(alias) or _LOOKS_LIKE_ACCOUNT_ID.fullmatch(alias):
        raise ValidationError(
            f"The alias {alias!r} must have 3 to 63 lower-case letters, digits and"
            " single dashes, begin and end with a letter or digit, and not look like an"
            " account id."
        )
    taken = EntityAlreadyExists(f"The account alias {alias} already exists.")
    holder = await find_account_by_alias(change, alias)
    if holder is not None and holder.account_id != account.account_id:
        raise taken
    try:
        await update_account(change, replace(account, alias=alias))
    except AlreadyExistsError as error:
        raise taken from error


async def remove_alias(change: DirectoryChange, account: Account, alias: str) -> None:
    """Take the alias away.

    Raises:
        NoSuchEntity: it is not the account's alias.
    """
    if account.alias != alias:
        raise NoSuchEntity(f"The account alias {alias} cannot be found.")
    await update_account(change, replace(account, alias=None))
