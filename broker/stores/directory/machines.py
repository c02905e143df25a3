"""Instance profiles, machines, and the deletion tasks of service-linked roles."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import delete, select

from broker.model.account import AccountId
from broker.model.machines import DeletionTask, Instance, InstanceProfile, JoinToken
from broker.model.page import Page, PageRequest
from broker.stores.directory.entity_tables import (
    MAPPING,
    ROW,
    TEXTS,
    TIME,
    EntityTable,
    key_of_name,
    name_key,
)
from broker.stores.directory.statements import Reads, Writes, batches, under_path
from broker.stores.schema import (
    DELETION_TASKS,
    INSTANCE_PROFILES,
    INSTANCES,
    JOIN_TOKENS,
)
from broker.stores.times import to_micros

_PROFILE_TABLE = EntityTable(
    INSTANCE_PROFILES,
    InstanceProfile,
    derived={"name_key": key_of_name},
    created_at=TIME,
    tags=MAPPING,
)
_INSTANCE_TABLE = EntityTable(INSTANCES, Instance, registered_at=TIME)
_JOIN_TABLE = EntityTable(
    JOIN_TOKENS,
    JoinToken,
    created_at=TIME,
    expires_at=TIME,
    addresses=TEXTS,
    lineage=ROW,
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

    async def find_instance_profile_by_id(
        self, account: AccountId, profile_id: str
    ) -> InstanceProfile | None:
        return await self.find_entity(
            _PROFILE_TABLE, account=account, profile_id=profile_id
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

    async def find_instance(
        self, account: AccountId, instance_id: str
    ) -> Instance | None:
        return await self.find_entity(
            _INSTANCE_TABLE, account=account, instance_id=instance_id
        )

    async def find_instance_by_key(
        self, account: AccountId, public_key: bytes
    ) -> Instance | None:
        return await self.find_entity(
            _INSTANCE_TABLE, account=account, public_key=public_key
        )

    async def list_instances(
        self, account: AccountId, page: PageRequest, *, profile_id: str | None = None
    ) -> Page[Instance]:
        statement = select(INSTANCES).where(INSTANCES.c.account == account)
        if profile_id is not None:
            statement = statement.where(INSTANCES.c.profile_id == profile_id)
        return await self.page(
            statement, page, INSTANCES.c.instance_id, _INSTANCE_TABLE.read
        )

    async def find_join_token(
        self, account: AccountId, digest: bytes
    ) -> JoinToken | None:
        return await self.find_entity(_JOIN_TABLE, account=account, digest=digest)

    async def list_join_tokens(
        self, account: AccountId, page: PageRequest
    ) -> Page[JoinToken]:
        statement = select(JOIN_TOKENS).where(JOIN_TOKENS.c.account == account)
        return await self.page(
            statement, page, JOIN_TOKENS.c.token_id, _JOIN_TABLE.read
        )

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

    async def insert_instance(self, instance: Instance) -> None:
        await self.insert_entity(_INSTANCE_TABLE, instance, "instance")

    async def update_instance(self, instance: Instance) -> None:
        await self.update_by(
            INSTANCES,
            _INSTANCE_TABLE.values(instance),
            account=instance.account,
            instance_id=instance.instance_id,
        )

    async def delete_instance(self, instance: Instance) -> None:
        await self.delete_by(
            INSTANCES, account=instance.account, instance_id=instance.instance_id
        )

    async def insert_join_token(self, token: JoinToken) -> None:
        await self.insert_entity(_JOIN_TABLE, token, "join token")

    async def update_join_token(self, token: JoinToken) -> None:
        await self.update_by(
            JOIN_TOKENS,
            _JOIN_TABLE.values(token),
            account=token.account,
            token_id=token.token_id,
        )

    async def delete_join_token(self, account: AccountId, token_id: str) -> bool:
        gone = await self.delete_by(JOIN_TOKENS, account=account, token_id=token_id)
        return gone > 0

    async def delete_join_tokens_before(
        self, account: AccountId, expired_at: datetime
    ) -> None:
        await self.run(
            delete(JOIN_TOKENS).where(
                JOIN_TOKENS.c.account == account,
                JOIN_TOKENS.c.expires_at < to_micros(expired_at),
            )
        )
