"""Instance profiles, machines that have one, and what admits machines."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Protocol

from broker.model.account import AccountId
from broker.model.machines import Instance, InstanceProfile, JoinToken
from broker.model.page import Page, PageRequest
from broker.stores.directory.port.accounts import EntityCounter


class InstanceProfileReader(Protocol):
    """Instance profiles and the roles in them."""

    async def find_instance_profile(
        self, account: AccountId, name: str
    ) -> InstanceProfile | None: ...

    async def find_instance_profile_by_id(
        self, account: AccountId, profile_id: str
    ) -> InstanceProfile | None: ...

    async def list_instance_profiles(
        self,
        account: AccountId,
        path_prefix: str,
        page: PageRequest,
        *,
        role_id: str | None = None,
    ) -> Page[InstanceProfile]:
        """Those below a path, or only those that hold a role."""
        ...

    async def list_profiles_of_roles(
        self, account: AccountId, role_ids: Collection[str]
    ) -> Mapping[str, tuple[InstanceProfile, ...]]:
        """The instance profiles that hold these roles; roles without are left out."""
        ...


class InstanceProfileChange(InstanceProfileReader, EntityCounter, Protocol):
    """Writes to instance profiles."""

    async def insert_instance_profile(self, profile: InstanceProfile) -> None: ...

    async def update_instance_profile(self, profile: InstanceProfile) -> None: ...

    async def delete_instance_profile(self, profile: InstanceProfile) -> None: ...


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


class InstanceChange(InstanceProfileReader, InstanceReader, EntityCounter, Protocol):
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
