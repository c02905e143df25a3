"""Accounts as their own administrators see them: the alias."""

import re
from dataclasses import replace

from broker.errors import (
    EntityAlreadyExists,
    InvalidClientTokenId,
    NoSuchEntity,
    ValidationError,
)
from broker.model.account import Account, AccountId
from broker.stores.directory.port import DirectoryChange, DirectoryReader
from broker.stores.errors import AlreadyExistsError

_LOOKS_LIKE_ACCOUNT_ID = re.compile(r"[0-9]{12}")


async def require_account(directory: DirectoryReader, account: AccountId) -> Account:
    """The account that a call acts in.

    Raises:
        InvalidClientTokenId: it was deleted while the call was on its way.
    """
    found = await directory.find_account(account)
    if found is None:
        raise InvalidClientTokenId(detail=f"the account {account} is gone")
    return found


async def set_alias(change: DirectoryChange, account: Account, alias: str) -> None:
    """Give the account its one alias; a former one is replaced.

    Raises:
        EntityAlreadyExists: another account has it.
        ValidationError: it could be mistaken for an account id.
    """
    if _LOOKS_LIKE_ACCOUNT_ID.fullmatch(alias):
        raise ValidationError(
            "1 validation error detected: Value at 'accountAlias' failed to satisfy "
            "constraint: Member must not be a 12-digit number"
        )
    taken = EntityAlreadyExists(f"The account alias {alias} already exists.")
    holder = await change.find_account_by_alias(alias)
    if holder is not None and holder.account_id != account.account_id:
        raise taken
    try:
        await change.update_account(replace(account, alias=alias))
    except AlreadyExistsError as error:
        raise taken from error


async def remove_alias(change: DirectoryChange, account: Account, alias: str) -> None:
    """Take the alias away.

    Raises:
        NoSuchEntity: it is not the account's alias.
    """
    if account.alias != alias:
        raise NoSuchEntity(f"The account alias {alias} cannot be found.")
    await change.update_account(replace(account, alias=None))
