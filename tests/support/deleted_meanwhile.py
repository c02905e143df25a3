"""An account that is deleted just before a change to it begins."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from broker.model.account import AccountId
from broker.stores.directory.sql import SqlChange, SqlDirectory


def delete_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have another command delete the account before each change."""
    begin = SqlDirectory.change

    @asynccontextmanager
    async def begin_later(
        directory: SqlDirectory, account: AccountId
    ) -> AsyncIterator[SqlChange]:
        async with begin(directory, account) as faster:
            await faster.delete_account(account)
        async with begin(directory, account) as change:
            yield change

    monkeypatch.setattr(SqlDirectory, "change", begin_later)
