"""Accounts: their aliases, and all of them."""

from sqlalchemy import select

from broker.model.account import Account
from broker.stores.directory.entity_tables import Entity
from broker.stores.directory.kind import Kind
from broker.stores.directory.kinds import ACCOUNT
from broker.stores.directory.port import DirectoryChange, DirectoryReader
from broker.stores.errors import AlreadyExistsError
from broker.stores.schema import ACCOUNTS


async def find_account_by_alias(
    directory: DirectoryReader, alias: str
) -> Account | None:
    """The account of an alias."""
    return await directory.find_entity(ACCOUNT.stored, alias=alias)


async def list_accounts(directory: DirectoryReader) -> tuple[Account, ...]:
    """All of the installation, by number."""
    every = select(ACCOUNTS).order_by(ACCOUNTS.c.account)
    return await directory.list_entities(ACCOUNT.stored, every)


async def list_everywhere(
    directory: DirectoryReader, kind: Kind[Entity]
) -> list[Entity]:
    """All of a kind in all accounts, account by account."""
    return [
        one
        for account in await list_accounts(directory)
        for one in await directory.all_of(kind, account.account_id)
    ]


async def insert_account(change: DirectoryChange, account: Account) -> None:
    """Write a new account.

    Raises:
        AlreadyExistsError: its number or alias is taken.
    """
    if await change.find(ACCOUNT, account.account_id) is not None:
        raise AlreadyExistsError("account")
    if not await change.insert_if_free(ACCOUNTS, ACCOUNT.stored.values(account)):
        raise AlreadyExistsError("alias")


async def update_account(change: DirectoryChange, account: Account) -> None:
    """Write an account.

    Raises:
        AlreadyExistsError: its alias is taken.
    """
    if account.alias is not None:
        taken = await find_account_by_alias(change, account.alias)
        if taken is not None and taken.account_id != account.account_id:
            raise AlreadyExistsError("alias")
    await change.update(ACCOUNT, account)
