"""Instance profiles, machines, and the deletion tasks of service-linked roles."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select

from broker.model.account import AccountId
from broker.model.machines import Instance, InstanceProfile
from broker.model.tokens import JoinToken
from broker.stores.directory.kind import Kind
from broker.stores.directory.kinds import INSTANCE, INSTANCE_PROFILE, JOIN_TOKEN
from broker.stores.directory.port import DirectoryChange, DirectoryReader
from broker.stores.schema import INSTANCE_PROFILES
from broker.stores.times import to_micros


async def list_profiles_of_roles(
    directory: DirectoryReader, account: AccountId, role_ids: Collection[str]
) -> Mapping[str, tuple[InstanceProfile, ...]]:
    """The instance profiles that hold these roles; roles without are left out."""
    columns = INSTANCE_PROFILES.c
    every = select(INSTANCE_PROFILES).where(columns.account == account)
    return await directory.grouped(
        every.order_by(columns.name_key),
        columns.role_id,
        role_ids,
        INSTANCE_PROFILE.stored.read,
    )


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


async def delete_expired_tokens(
    change: DirectoryChange,
    kind: Kind[Any],
    account: AccountId,
    now: datetime,
    **alike: str,
) -> None:
    """Those of a kind whose columns have these values and that have expired."""
    columns = kind.table.c
    await change.run(
        delete(kind.table).where(
            columns.account == account,
            columns.expires_at <= to_micros(now),
            *(columns[name] == value for name, value in alike.items()),
        )
    )
