"""Machines, and what admits them."""

from datetime import datetime
from typing import Protocol

from broker.model.account import AccountId
from broker.model.machines import Instance, JoinToken
from broker.model.page import Page, PageRequest
from broker.stores.directory.port.entities import EntityReader


class InstanceReader(Protocol):
    """Registered machines, and the join tokens that admit them."""

    async def find_instance(
        self, account: AccountId, instance_id: str
    ) -> Instance | None: ...

    async def find_instance_by_key(
        self, account: AccountId, public_key: bytes
    ) -> Instance | None: ...

    async def list_instances(
        self, account: AccountId, page: PageRequest, *, profile_id: str | None = None
    ) -> Page[Instance]:
        """By id; all, or those of one instance profile."""
        ...

    async def find_join_token(
        self, account: AccountId, digest: bytes
    ) -> JoinToken | None: ...

    async def list_join_tokens(
        self, account: AccountId, page: PageRequest
    ) -> Page[JoinToken]:
        """By id, expired and used ones included."""
        ...


class InstanceChange(InstanceReader, EntityReader, Protocol):
    """Writes to machines and join tokens.

    A not-before mark (``revoke``) of a provider or a subject also deletes the machines
    that it admitted before that time.
    """

    async def insert_instance(self, instance: Instance) -> None: ...

    async def update_instance(self, instance: Instance) -> None: ...

    async def delete_instance(self, instance: Instance) -> None: ...

    async def insert_join_token(self, token: JoinToken) -> None: ...

    async def update_join_token(self, token: JoinToken) -> None: ...

    async def delete_join_token(self, account: AccountId, token_id: str) -> bool:
        """Whether there was one."""
        ...

    async def delete_join_tokens_before(
        self, account: AccountId, expired_at: datetime
    ) -> None:
        """Those that expired before that time."""
        ...
