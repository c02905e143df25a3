"""Long-term access keys."""

from typing import Protocol

from broker.model.account import AccountId
from broker.model.entities import AccessKey
from broker.stores.directory.port.entities import EntityReader


class AccessKeyReader(Protocol):
    """Access keys, of users and of the root."""

    async def find_access_key(self, access_key_id: str) -> AccessKey | None: ...

    async def list_access_keys(
        self, account: AccountId, user_id: str | None
    ) -> tuple[AccessKey, ...]:
        """A user's keys, oldest first; the root's for ``user_id`` None."""
        ...

    async def list_account_keys(self, account: AccountId) -> tuple[AccessKey, ...]:
        """The access keys of all users and of the root, oldest first."""
        ...


class AccessKeyChange(AccessKeyReader, EntityReader, Protocol):
    """Writes to access keys."""

    async def insert_access_key(self, key: AccessKey) -> None:
        """The id is never used again, not even after the key's deletion."""
        ...

    async def update_access_key(self, key: AccessKey) -> None: ...

    async def delete_access_key(self, key: AccessKey) -> None: ...
