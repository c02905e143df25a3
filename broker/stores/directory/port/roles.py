"""Roles, and the deletion of service-linked ones."""

from typing import Protocol

from broker.model.account import AccountId
from broker.model.entities import Role
from broker.model.machines import DeletionTask
from broker.model.page import Page, PageRequest
from broker.stores.directory.port.entities import EntityReader


class RoleReader(Protocol):
    """Roles by name, by unique id and by text."""

    async def find_role(self, account: AccountId, name: str) -> Role | None: ...

    async def find_role_by_id(
        self, account: AccountId, role_id: str
    ) -> Role | None: ...

    async def list_roles(
        self, account: AccountId, path_prefix: str, page: PageRequest
    ) -> Page[Role]: ...

    async def list_roles_with(
        self, account: AccountId, part: str, page: PageRequest
    ) -> Page[Role]:
        """Roles with a text in their name or description.

        Without regard to case, but for letters beyond ASCII in descriptions.
        """
        ...

    async def list_roles_naming(
        self, account: AccountId, text: str, limit: int
    ) -> tuple[Role, ...]:
        """The first roles, by name, whose trust policy holds this text."""
        ...

    async def find_deletion_task(
        self, account: AccountId, task_id: str
    ) -> DeletionTask | None: ...


class RoleChange(RoleReader, EntityReader, Protocol):
    """Writes to roles."""

    async def insert_role(self, role: Role) -> None: ...

    async def update_role(self, role: Role) -> None: ...

    async def delete_role(self, role: Role) -> None: ...

    async def insert_deletion_task(self, task: DeletionTask) -> None: ...
