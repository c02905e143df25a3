"""Instance profiles, machines, and the deletion tasks of service-linked roles."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import delete, select

from broker.model.account import AccountId
from broker.model.machines import Instance, InstanceProfile, JoinToken
from broker.stores.directory.kinds import (
    INSTANCE,
    INSTANCE_PROFILE,
    JOIN_TOKEN,
)
from broker.stores.directory.port import DirectoryChange, DirectoryReader
from broker.stores.directory.statements import batches
from broker.stores.schema import (
    INSTANCE_PROFILES,
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


async def find_instance_by_key(
    directory: DirectoryReader, account: AccountId, public_key: bytes
) -> Instance | None:
    """A machine by its public key."""
    return await directory.find_entity(
        INSTANCE.stored, account=account, public_key=public_key
    )


async def find_join_token(
    directory: DirectoryReader, account: AccountId, digest: bytes
) -> JoinToken | None:
    """A join token by its digest."""
    return await directory.find_entity(
        JOIN_TOKEN.stored, account=account, digest=digest
    )


async def delete_join_tokens_before(
    change: DirectoryChange, account: AccountId, expired_at: datetime
) -> None:
    """Those that expired before that time."""
    await change.run(
        delete(JOIN_TOKENS).where(
            JOIN_TOKENS.c.account == account,
            JOIN_TOKENS.c.expires_at < to_micros(expired_at),
        )
    )
