"""Accounts and their generations."""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import delete, or_, select
from sqlalchemy.sql import Executable

from broker.model.account import Account, AccountId
from broker.stores.directory.entity_tables import AnyRow
from broker.stores.directory.kinds import ACCOUNT
from broker.stores.directory.readings import ChangedRows
from broker.stores.directory.revocations import RevocationReads, RevocationWrites
from broker.stores.errors import AlreadyExistsError
from broker.stores.schema import (
    ACCOUNTS,
    CHANGES,
    GENERATIONS,
)

_ACCOUNTS_A_QUERY = 500
_CHANGED_A_QUERY = 100

CHANGES_KEPT = 256
"""Of an account, at least: more than are made between two polls."""

CHANGES_A_DELETE = 64
"""Made between two deletions of older ones."""


class AccountReads(RevocationReads):
    """See ``DirectoryReader``."""

    async def watched_rows(self, statement: Executable) -> Sequence[AnyRow]:
        """All rows of the statement that also serves as the health check."""
        return await self.rows(statement)

    async def generations(
        self, accounts: Collection[AccountId] | None = None
    ) -> Mapping[AccountId, int]:
        statement = select(GENERATIONS.c.account, GENERATIONS.c.generation)
        if accounts is None:
            rows = list(await self.rows(statement))
        else:
            rows = []
            ids = list(accounts)
            # An empty list still asks: the answer shows that the database is there.
            for start in range(0, max(1, len(ids)), _ACCOUNTS_A_QUERY):
                some = ids[start : start + _ACCOUNTS_A_QUERY]
                rows += await self.watched_rows(
                    statement.where(GENERATIONS.c.account.in_(some))
                )
        return {row.account: row.generation for row in rows}

    async def changes(
        self, after: Mapping[AccountId, int]
    ) -> Mapping[AccountId, Mapping[int, ChangedRows]]:
        found: dict[AccountId, dict[int, ChangedRows]] = {one: {} for one in after}
        rest = [
            (CHANGES.c.account == account) & (CHANGES.c.generation > generation)
            for account, generation in after.items()
        ]
        for start in range(0, len(rest), _CHANGED_A_QUERY):
            some = rest[start : start + _CHANGED_A_QUERY]
            for row in await self.watched_rows(select(CHANGES).where(or_(*some))):
                found[row.account][row.generation] = ChangedRows.load(row.rows)
        return found

    async def find_account(self, account_id: AccountId) -> Account | None:
        row = await self.find_by(ACCOUNTS, account=account_id)
        return None if row is None else ACCOUNT.stored.read(row)

    async def find_account_by_alias(self, alias: str) -> Account | None:
        row = await self.find_by(ACCOUNTS, alias=alias)
        return None if row is None else ACCOUNT.stored.read(row)

    async def list_accounts(self) -> tuple[Account, ...]:
        rows = await self.rows(select(ACCOUNTS).order_by(ACCOUNTS.c.account))
        return tuple(ACCOUNT.stored.read(row) for row in rows)


class AccountWrites(AccountReads, RevocationWrites):
    """See ``DirectoryChange``."""

    async def insert_account(self, account: Account) -> None:
        if await self.find_account(account.account_id) is not None:
            raise AlreadyExistsError("account")
        await self.insert_new(ACCOUNTS, ACCOUNT.stored.values(account), "alias")

    async def update_account(self, account: Account) -> None:
        if account.alias is not None:
            taken = await self.find_account_by_alias(account.alias)
            if taken is not None and taken.account_id != account.account_id:
                raise AlreadyExistsError("alias")
        await self.update_by(
            ACCOUNTS, ACCOUNT.stored.values(account), account=account.account_id
        )

    async def delete_account(self, account_id: AccountId) -> None:
        for column in ACCOUNT.owns:
            await self.run(delete(column.table).where(column == account_id))
        await self.run(delete(ACCOUNTS).where(ACCOUNTS.c.account == account_id))
