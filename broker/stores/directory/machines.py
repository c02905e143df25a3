"""Instance profiles, and the deletion tasks of service-linked roles."""

from collections import defaultdict
from collections.abc import Collection, Mapping

from sqlalchemy import delete, select

from broker.model.account import AccountId
from broker.model.machines import DeletionTask, InstanceProfile
from broker.model.page import Page, PageRequest
from broker.stores.directory.statements import (
    AnyRow,
    Reads,
    Writes,
    dump_mapping,
    load_mapping,
    name_key,
    under_path,
)
from broker.stores.schema import DELETION_TASKS, INSTANCE_PROFILES
from broker.stores.times import from_micros, to_micros

_IDS_A_QUERY = 500


class MachineReads(Reads):
    """See ``CredentialReader``."""

    async def find_instance_profile(
        self, account: AccountId, name: str
    ) -> InstanceProfile | None:
        row = await self.find_by(
            INSTANCE_PROFILES, account=account, name_key=name_key(name)
        )
        return None if row is None else _read_profile(row)

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
            statement, page, INSTANCE_PROFILES.c.name_key, _read_profile
        )

    async def list_profiles_of_roles(
        self, account: AccountId, role_ids: Collection[str]
    ) -> Mapping[str, tuple[InstanceProfile, ...]]:
        found: dict[str, list[InstanceProfile]] = defaultdict(list)
        wanted = list(role_ids)
        for start in range(0, len(wanted), _IDS_A_QUERY):
            rows = await self.rows(
                select(INSTANCE_PROFILES)
                .where(
                    INSTANCE_PROFILES.c.account == account,
                    INSTANCE_PROFILES.c.role_id.in_(
                        wanted[start : start + _IDS_A_QUERY]
                    ),
                )
                .order_by(INSTANCE_PROFILES.c.name_key)
            )
            for row in rows:
                found[row.role_id].append(_read_profile(row))
        return {role_id: tuple(profiles) for role_id, profiles in found.items()}

    async def find_deletion_task(
        self, account: AccountId, task_id: str
    ) -> DeletionTask | None:
        row = await self.find_by(DELETION_TASKS, account=account, task_id=task_id)
        if row is None:
            return None
        return DeletionTask(
            account=row.account,
            task_id=row.task_id,
            status=row.status,
            made_at=from_micros(row.made_at),
            reason=row.reason,
        )


class MachineWrites(MachineReads, Writes):
    """See ``CredentialChange``."""

    async def insert_instance_profile(self, profile: InstanceProfile) -> None:
        values = _profile_values(profile)
        await self.insert_new(INSTANCE_PROFILES, values, "instance profile")

    async def update_instance_profile(self, profile: InstanceProfile) -> None:
        await self.update_by(
            INSTANCE_PROFILES, _profile_values(profile), profile_id=profile.profile_id
        )

    async def delete_instance_profile(self, profile: InstanceProfile) -> None:
        await self.run(
            delete(INSTANCE_PROFILES).where(
                INSTANCE_PROFILES.c.profile_id == profile.profile_id
            )
        )

    async def insert_deletion_task(self, task: DeletionTask) -> None:
        values = {
            "account": task.account,
            "task_id": task.task_id,
            "status": task.status,
            "made_at": to_micros(task.made_at),
            "reason": task.reason,
        }
        await self.insert_new(DELETION_TASKS, values, "deletion task")


def _read_profile(row: AnyRow) -> InstanceProfile:
    return InstanceProfile(
        account=row.account,
        profile_id=row.profile_id,
        name=row.name,
        path=row.path,
        created_at=from_micros(row.created_at),
        role_id=row.role_id,
        tags=load_mapping(row.tags),
    )


def _profile_values(profile: InstanceProfile) -> dict[str, object]:
    return {
        "profile_id": profile.profile_id,
        "account": profile.account,
        "name": profile.name,
        "name_key": name_key(profile.name),
        "path": profile.path,
        "created_at": to_micros(profile.created_at),
        "role_id": profile.role_id,
        "tags": dump_mapping(profile.tags),
    }
