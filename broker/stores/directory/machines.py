"""Instance profiles, and the deletion tasks of service-linked roles."""

from collections import defaultdict
from collections.abc import Collection, Mapping

from sqlalchemy import select

from broker.model.account import AccountId
from broker.model.machines import DeletionTask, InstanceProfile
from broker.model.page import Page, PageRequest
from broker.stores.directory.entity_tables import (
    MAPPING,
    TIME,
    EntityTable,
    key_of_name,
    name_key,
)
from broker.stores.directory.statements import Reads, Writes, batches, under_path
from broker.stores.schema import DELETION_TASKS, INSTANCE_PROFILES

_PROFILE_TABLE = EntityTable(
    INSTANCE_PROFILES,
    InstanceProfile,
    derived={"name_key": key_of_name},
    created_at=TIME,
    tags=MAPPING,
)
_TASK_TABLE = EntityTable(DELETION_TASKS, DeletionTask, made_at=TIME)


class MachineReads(Reads):
    """See ``CredentialReader``."""

    async def find_instance_profile(
        self, account: AccountId, name: str
    ) -> InstanceProfile | None:
        return await self.find_entity(
            _PROFILE_TABLE, account=account, name_key=name_key(name)
        )

    async def list_instance_profiles(
        self,
        account: AccountId,
        path_prefix: str,
        page: PageRequest,
        *,
        role_id: str | None = None,
    ) -> Page[InstanceProfile]:
        statement = select(INSTANCE_PROFILES).where(
            INSTANCE_PROFILES.c.account == account,
            under_path(INSTANCE_PROFILES.c.path, path_prefix),
        )
        if role_id is not None:
            statement = statement.where(INSTANCE_PROFILES.c.role_id == role_id)
        return await self.page(
            statement, page, INSTANCE_PROFILES.c.name_key, _PROFILE_TABLE.read
        )

    async def list_profiles_of_roles(
        self, account: AccountId, role_ids: Collection[str]
    ) -> Mapping[str, tuple[InstanceProfile, ...]]:
        found: dict[str, list[InstanceProfile]] = defaultdict(list)
        for some in batches(role_ids):
            rows = await self.rows(
                select(INSTANCE_PROFILES)
                .where(
                    INSTANCE_PROFILES.c.account == account,
                    INSTANCE_PROFILES.c.role_id.in_(some),
                )
                .order_by(INSTANCE_PROFILES.c.name_key)
            )
            for row in rows:
                found[row.role_id].append(_PROFILE_TABLE.read(row))
        return {role_id: tuple(profiles) for role_id, profiles in found.items()}

    async def find_deletion_task(
        self, account: AccountId, task_id: str
    ) -> DeletionTask | None:
        return await self.find_entity(_TASK_TABLE, account=account, task_id=task_id)


class MachineWrites(MachineReads, Writes):
    """See ``CredentialChange``."""

    async def insert_instance_profile(self, profile: InstanceProfile) -> None:
        await self.insert_entity(_PROFILE_TABLE, profile, "instance profile")

    async def update_instance_profile(self, profile: InstanceProfile) -> None:
        await self.update_entity(_PROFILE_TABLE, profile, "profile_id")

    async def delete_instance_profile(self, profile: InstanceProfile) -> None:
        await self.delete_by(INSTANCE_PROFILES, profile_id=profile.profile_id)

    async def insert_deletion_task(self, task: DeletionTask) -> None:
        await self.insert_entity(_TASK_TABLE, task, "deletion task")
