"""Groups and who is in them."""

from collections.abc import Collection, Mapping
from typing import Protocol

from broker.model.account import AccountId
from broker.model.entities import Group, User
from broker.model.page import Page, PageRequest
from broker.stores.directory.port.entities import EntityReader


class GroupReader(Protocol):
    """Groups and memberships."""

    async def find_group(self, account: AccountId, name: str) -> Group | None: ...

    async def list_groups(
        self, account: AccountId, path_prefix: str, page: PageRequest
    ) -> Page[Group]: ...

    async def list_group_users(
        self, account: AccountId, group_id: str, page: PageRequest
    ) -> Page[User]: ...

    async def list_user_groups(
        self, account: AccountId, user_id: str
    ) -> tuple[Group, ...]:
        """All groups that a user is in, by name."""
        ...

    async def list_memberships(
        self, account: AccountId, user_ids: Collection[str]
    ) -> Mapping[str, tuple[Group, ...]]:
        """The groups of several users, by name; users without any are left out."""
        ...


class GroupChange(GroupReader, EntityReader, Protocol):
    """Writes to groups and memberships."""

    async def insert_group(self, group: Group) -> None: ...

    async def update_group(self, group: Group) -> None: ...

    async def delete_group(self, group: Group) -> None: ...

    async def add_member(self, account: AccountId, group_id: str, user_id: str) -> bool:
        """Whether the user was not in the group before."""
        ...

    async def remove_member(
        self, account: AccountId, group_id: str, user_id: str
    ) -> bool:
        """Whether the user was in the group."""
        ...
