"""Instance profiles."""

from collections.abc import Collection, Mapping
from typing import Protocol

from broker.model.account import AccountId
from broker.model.machines import InstanceProfile
from broker.model.page import Page, PageRequest
from broker.stores.directory.port.accounts import EntityCounter


class InstanceProfileReader(Protocol):
    """Instance profiles and the roles in them."""

    async def find_instance_profile(
        self, account: AccountId, name: str
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
