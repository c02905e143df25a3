"""Accounts and their providers: by alias, by id, all of the installation."""

from collections.abc import AsyncIterator, Iterable
from typing import Any

from sqlalchemy import select, update

from broker.model.account import Account
from broker.model.entities import SamlProvider
from broker.stores.directory.kinds import ACCOUNT, SAML_PROVIDER
from broker.stores.directory.port import DirectoryChange, DirectoryReader
from broker.stores.directory.readings import any_rows
from broker.stores.directory.stored import Entity, Kind
from broker.stores.errors import AlreadyExistsError
from broker.stores.schema import ACCOUNTS, CHANGES, SAML_PROVIDERS

_NAMING_MAX = 20


async def find_account_by_alias(
    directory: DirectoryReader, alias: str
) -> Account | None:
    """The account of an alias."""
    return await directory.find_entity(ACCOUNT.stored, alias=alias)


async def list_accounts(directory: DirectoryReader) -> tuple[Account, ...]:
    """All of the installation, by number."""
    every = select(ACCOUNTS).order_by(ACCOUNTS.c.account)
    return await directory.list_entities(ACCOUNT.stored, every)


async def has_any(kinds: Iterable[Kind[Any]], directory: DirectoryReader) -> bool:
    """Whether any account has one of these kinds."""
    for kind in kinds:
        entry = select(*kind.table.primary_key).limit(1)
        if await directory.find_row(entry) is not None:
            return True
    return False


async def has_option(name: str, directory: DirectoryReader) -> bool:
    """Whether any account has the operator's option of this name."""
    named = ACCOUNTS.c.options.contains(f'"{name}"', autoescape=True)
    entry = select(ACCOUNTS.c.account).where(named).limit(1)
    return await directory.find_row(entry) is not None


async def list_everywhere(
    directory: DirectoryReader, kind: Kind[Entity]
) -> list[Entity]:
    """All of a kind in all accounts, account by account, without their documents."""
    return [
        entity
        for account in await list_accounts(directory)
        for entity in await directory.all_of(kind, account.account_id)
    ]


async def read_everywhere(
    directory: DirectoryReader, kind: Kind[Entity]
) -> AsyncIterator[Entity]:
    """The same with their documents, one at a time."""
    listed = await list_everywhere(directory, kind)
    async for entity in directory.with_documents(kind, listed):
        yield entity


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


async def remove_account(change: DirectoryChange, account: Account) -> None:
    """Remove an account with all that it has.

    Which rows its changes wrote is forgotten as well, but not that they were made: a
    database without them is one that went back.
    """
    await change.remove(ACCOUNT, account)
    await change.run(
        update(CHANGES)
        .where(CHANGES.c.account == account.account_id)
        .values(rows=any_rows().dump())
    )


async def find_saml_provider_by_uuid(
    directory: DirectoryReader, uuid: str
) -> SamlProvider | None:
    """A SAML provider of any account, without its metadata."""
    return await directory.find_listed(SAML_PROVIDER.stored, uuid=uuid)


async def list_published_saml_providers(
    directory: DirectoryReader,
) -> tuple[SamlProvider, ...]:
    """Of all accounts, those whose options name a ``MetadataUrl``; without metadata."""
    return await directory.list_entities(
        SAML_PROVIDER.stored,
        SAML_PROVIDER.stored.listed.where(
            SAML_PROVIDERS.c.options.contains('"MetadataUrl"', autoescape=True)
        ).order_by(SAML_PROVIDERS.c.uuid),
    )


async def list_saml_providers_naming(
    directory: DirectoryReader, text: str
) -> tuple[SamlProvider, ...]:
    """Of all accounts, some whose metadata holds this text; without it."""
    return await directory.list_entities(
        SAML_PROVIDER.stored,
        SAML_PROVIDER.stored.listed.where(
            SAML_PROVIDERS.c.metadata.contains(text, autoescape=True)
        )
        .order_by(SAML_PROVIDERS.c.uuid)
        .limit(_NAMING_MAX),
    )
