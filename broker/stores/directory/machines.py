"""Instance profiles, machines, and the deletion tasks of service-linked roles."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import delete, select

from broker.model.account import AccountId
from broker.model.machines import DeletionTask, Instance, InstanceProfile, JoinToken
from broker.model.page import Page, PageRequest
from broker.stores.directory.kinds import (
    DELETION_TASK,
    INSTANCE,
    INSTANCE_PROFILE,
    JOIN_TOKEN,
)
from broker.stores.directory.port import DirectoryReader
from broker.stores.directory.statements import Reads, Writes, batches
from broker.stores.schema import (
    INSTANCE_PROFILES,
    INSTANCES,
    JOIN_TOKENS,
)
from broker.stores.times import to_micros


async def list_profiles_of_roles(
    directory: DirectoryReader, account: AccountId, role_ids: Collection[str]
) -> Mapping[str, tuple[InstanceProfile, ...]]:
    """The instance profiles that hold these roles; roles without are left out."""
    found: dict[str, list[InstanceProfile]] = defaultdict(list)
    for some in batches(role_ids):
        rows = await directory.rows(
            select(INSTANCE_PROFILES)
            .where(
                INSTANCE_PROFILES.c.account == account,
                INSTANCE_PROFILES.c.role_id.in_(some),
            )
            .order_by(INSTANCE_PROFILES.c.name_key)
        )
        for row in rows:
            found[row.role_id].append(INSTANCE_PROFILE.stored.read(row))
    return {role_id: tuple(profiles) for role_id, profiles in found.items()}


class MachineReads(Reads):
    """See ``CredentialReader``."""

    async def find_instance(
        self, account: AccountId, instance_id: str
    ) -> Instance | None:
        return await self.find_entity(
            INSTANCE.stored, account=account, instance_id=instance_id
        )

    async def find_instance_by_key(
        self, account: AccountId, public_key: bytes
    ) -> Instance | None:
        return await self.find_entity(
            INSTANCE.stored, account=account, public_key=public_key
        )

    async def list_instances(
        self, account: AccountId, page: PageRequest, *, profile_id: str | None = None
    ) -> Page[Instance]:
        statement = select(INSTANCES).where(INSTANCES.c.account == account)
        if profile_id is not None:
            statement = statement.where(INSTANCES.c.profile_id == profile_id)
        return await self.page(
            statement, page, INSTANCES.c.instance_id, INSTANCE.stored.read
        )

    async def find_join_token(
        self, account: AccountId, digest: bytes
    ) -> JoinToken | None:
        return await self.find_entity(JOIN_TOKEN.stored, account=account, digest=digest)

    async def list_join_tokens(
        self, account: AccountId, page: PageRequest
    ) -> Page[JoinToken]:
        statement = select(JOIN_TOKENS).where(JOIN_TOKENS.c.account == account)
        return await self.page(
            statement, page, JOIN_TOKENS.c.token_id, JOIN_TOKEN.stored.read
        )

    async def find_deletion_task(
        self, account: AccountId, task_id: str
    ) -> DeletionTask | None:
        return await self.find_entity(
            DELETION_TASK.stored, account=account, task_id=task_id
        )


class MachineWrites(MachineReads, Writes):
    """See ``CredentialChange``."""

    async def insert_deletion_task(self, task: DeletionTask) -> None:
        await self.insert_entity(DELETION_TASK.stored, task, "deletion task")

    async def insert_instance(self, instance: Instance) -> None:
        await self.insert_entity(INSTANCE.stored, instance, "instance")

    async def update_instance(self, instance: Instance) -> None:
        await self.update_by(
            INSTANCES,
            INSTANCE.stored.values(instance),
            account=instance.account,
            instance_id=instance.instance_id,
        )

    async def delete_instance(self, instance: Instance) -> None:
        await self.delete_by(
            INSTANCES, account=instance.account, instance_id=instance.instance_id
        )

    async def insert_join_token(self, token: JoinToken) -> None:
        await self.insert_entity(JOIN_TOKEN.stored, token, "join token")

    async def update_join_token(self, token: JoinToken) -> None:
        await self.update_by(
            JOIN_TOKENS,
            JOIN_TOKEN.stored.values(token),
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
