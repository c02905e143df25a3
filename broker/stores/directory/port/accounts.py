"""Accounts, their generations, and what an account holds."""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Protocol

from broker.model.account import Account, AccountId

if TYPE_CHECKING:
    from broker.stores.directory.readings import ChangedRows


class GenerationReader(Protocol):
    """The counters that say when an account last changed, and what changed."""

    async def generations(
        self, accounts: Collection[AccountId] | None = None
    ) -> Mapping[AccountId, int]:
        """Each account's generation, of the given accounts only; of all for None.

        Raised by each committed change and never lowered, not even by an account's
        deletion; absent for an account that never was. The database is asked even
        when no account is given.
        """
        ...

    async def changes(
        self, after: Mapping[AccountId, int]
    ) -> "Mapping[AccountId, Mapping[int, ChangedRows]]":
        """What the changes after a generation of each account wrote, by generation.

        Only the latest are kept: one that is missing may have written anything.
        """
        ...


class AccountReader(Protocol):
    """Accounts by number and by alias."""

    async def find_account(self, account_id: AccountId) -> Account | None: ...

    async def find_account_by_alias(self, alias: str) -> Account | None: ...

    async def list_accounts(self) -> tuple[Account, ...]: ...


class AccountChange(AccountReader, Protocol):
    """Writes to the account itself."""

    async def insert_account(self, account: Account) -> None: ...

    async def update_account(self, account: Account) -> None: ...

    async def delete_account(self, account_id: AccountId) -> None:
        """Removes the account and everything it owns; ledger entries stay."""
        ...
