"""Deleting an account; also just before a change to it begins."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from broker.model.account import AccountId
from broker.stores.directory import kinds
from broker.stores.directory.accounts import remove_account
from broker.stores.directory.port import DirectoryChange
from broker.stores.directory.sql import SqlChange, SqlDirectory


async def delete_account(change: DirectoryChange, account: AccountId) -> None:
    """Remove an account with all that it has."""
    stored_account = await change.find(kinds.ACCOUNT, account)
    if stored_account is not None:
        await remove_account(change, stored_account)


def delete_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have another command delete the account before each change."""
    begin = SqlDirectory.change

    @asynccontextmanager
    async def begin_later(
        directory: SqlDirectory, account: AccountId
    ) -> AsyncIterator[SqlChange]:
        async with begin(directory, account) as faster:
            await delete_account(faster, account)
        async with begin(directory, account) as change:
            yield change

    monkeypatch.setattr(SqlDirectory, "change", begin_later)
