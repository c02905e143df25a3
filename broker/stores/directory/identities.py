"""Groups and their users, access keys, second factors, searches for roles, machines."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import delete, or_, select, update
from sqlalchemy.sql import Update

from broker.model.account import AccountId, find_account_of_key_id
from broker.model.credentials import (
    CredentialKind,
    MfaDevice,
    MfaState,
    Passkey,
    UserCredential,
)
from broker.model.entities import AccessKey, Group, Role, User
from broker.model.machines import Instance, InstanceProfile
from broker.model.page import Page, PageRequest
from broker.model.registered import JoinToken
from broker.stores.directory.kinds import (
    ACCESS_KEY,
    GROUP,
    INSTANCE,
    INSTANCE_PROFILE,
    JOIN_TOKEN,
    MFA_DEVICE,
    ROLE,
    USER,
    USER_CREDENTIAL,
    mfa_state_values,
)
from broker.stores.directory.port import DirectoryChange, DirectoryReader, Finder
from broker.stores.directory.statements import grouped, list_entities_of
from broker.stores.directory.stored import Kind, name_key
from broker.stores.errors import AlreadyExistsError
from broker.stores.schema import (
    GROUP_MEMBERS,
    GROUPS,
    INSTANCE_PROFILES,
    MFA_DEVICES,
    PASSKEYS,
    ROLES,
    USED_ACCESS_KEY_IDS,
    USER_CREDENTIALS,
    USERS,
)
from broker.stores.times import to_micros


async def list_group_users(
    directory: DirectoryReader, account: AccountId, group_id: str, page: PageRequest
) -> Page[User]:
    """The users in a group, by name."""
    statement = (
        select(USERS)
        .join(GROUP_MEMBERS, GROUP_MEMBERS.c.user_id == USERS.c.user_id)
        .where(GROUP_MEMBERS.c.account == account, GROUP_MEMBERS.c.group_id == group_id)
    )
    return await directory.page(statement, page, USERS.c.name_key, USER.stored.read)


async def list_user_groups(
    directory: DirectoryReader, account: AccountId, user_id: str
) -> tuple[Group, ...]:
    """All groups that a user is in, by name."""
    return (await list_memberships(directory, account, (user_id,))).get(user_id, ())


async def list_memberships(
    directory: DirectoryReader, account: AccountId, user_ids: Collection[str]
) -> Mapping[str, tuple[Group, ...]]:
    """The groups of several users, by name; users without any are left out."""
    columns = GROUP_MEMBERS.c
    return await grouped(
        directory,
        select(GROUPS)
        .join(GROUP_MEMBERS, columns.group_id == GROUPS.c.group_id)
        .where(columns.account == account)
        .order_by(GROUPS.c.name_key),
        columns.user_id,
        user_ids,
        GROUP.stored.read,
    )


async def add_member(
    change: DirectoryChange, account: AccountId, group_id: str, user_id: str
) -> bool:
    """Whether the user was not in the group before."""
    values = {"group_id": group_id, "user_id": user_id, "account": account}
    return await change.insert_if_free(GROUP_MEMBERS, values)


async def remove_member(
    change: DirectoryChange, account: AccountId, group_id: str, user_id: str
) -> bool:
    """Whether the user was in the group."""
    removed = await change.delete_by(
        GROUP_MEMBERS, account=account, group_id=group_id, user_id=user_id
    )
    return removed > 0


async def find_access_key(directory: Finder, access_key_id: str) -> AccessKey | None:
    """A long-term key; None for ids that carry no account."""
    account = find_account_of_key_id(access_key_id)
    if account is None:
        return None
    return await directory.find(ACCESS_KEY, account, access_key_id)


async def insert_access_key(change: DirectoryChange, key: AccessKey) -> None:
    """The id is never used again, not even after the key's deletion."""
    used = {"access_key_id": key.access_key_id}
    if not await change.insert_if_free(USED_ACCESS_KEY_IDS, used):
        raise AlreadyExistsError(ACCESS_KEY.label)
    await change.insert(ACCESS_KEY, key)


def replace_state(device: MfaDevice, state: MfaState) -> Update:
    """The compare-and-set of a device's state."""
    known = [
        MFA_DEVICES.c[name] == value
        for name, value in mfa_state_values(device.state).items()
    ]
    return (
        update(MFA_DEVICES)
        .where(
            MFA_DEVICES.c.account == device.account,
            MFA_DEVICES.c.serial_key == name_key(device.serial),
            MFA_DEVICES.c.user_id.is_not_distinct_from(device.user_id),
            *known,
        )
        .values(**mfa_state_values(state))
    )


async def list_credentials_of(
    directory: DirectoryReader, account: AccountId, user_ids: Collection[str]
) -> tuple[UserCredential, ...]:
    """These users' credentials of all kinds."""
    column = USER_CREDENTIALS.c.user_id
    of_account = select(USER_CREDENTIALS).where(
        USER_CREDENTIALS.c.account == account,
        USER_CREDENTIALS.c.kind.in_(tuple(CredentialKind)),  # for the index
    )
    return await list_entities_of(
        directory, USER_CREDENTIAL.stored, of_account, column, user_ids
    )


async def list_virtual_mfa_devices(
    directory: DirectoryReader,
    account: AccountId,
    page: PageRequest,
    *,
    assigned: bool | None = None,
) -> Page[MfaDevice]:
    """Virtual devices; only assigned or only unassigned ones, if asked for."""
    statement = select(MFA_DEVICES).where(
        MFA_DEVICES.c.account == account, MFA_DEVICES.c.is_virtual == 1
    )
    if assigned is not None:
        user = MFA_DEVICES.c.user_id
        statement = statement.where(user.is_not(None) if assigned else user.is_(None))
    return await directory.page(
        statement, page, MFA_DEVICES.c.serial_key, MFA_DEVICE.stored.read
    )


def replace_use(passkey: Passkey, used: Passkey) -> Update:
    """The compare-and-set of a passkey's count and last use."""
    return (
        update(PASSKEYS)
        .where(
            PASSKEYS.c.account == passkey.account,
            PASSKEYS.c.serial_key == name_key(passkey.serial),
            PASSKEYS.c.user_id == passkey.user_id,
            PASSKEYS.c.credential_id == passkey.credential_id,
            PASSKEYS.c.sign_count == passkey.sign_count,
        )
        .values(sign_count=used.sign_count, last_used_at=_micros(used))
    )


def _micros(passkey: Passkey) -> int | None:
    used = passkey.last_used_at
    return None if used is None else to_micros(used)


async def list_roles_with(
    directory: DirectoryReader, account: AccountId, part: str, page: PageRequest
) -> Page[Role]:
    """Roles with a text in their name or description.

    Without regard to case, but for letters beyond ASCII in descriptions.
    """
    statement = select(ROLES).where(
        ROLES.c.account == account,
        or_(
            ROLES.c.name_key.contains(name_key(part), autoescape=True),
            ROLES.c.description.icontains(part, autoescape=True),
        ),
    )
    return await directory.page(statement, page, ROLES.c.name_key, ROLE.stored.read)


async def list_roles_naming(
    directory: DirectoryReader, account: AccountId, text: str, limit: int
) -> tuple[Role, ...]:
    """The first roles, by name, whose trust policy holds this text."""
    return await directory.list_entities(
        ROLE.stored,
        select(ROLES)
        .where(
            ROLES.c.account == account,
            ROLES.c.trust_policy.contains(text, autoescape=True),
        )
        .order_by(ROLES.c.name_key)
        .limit(limit),
    )


async def list_profiles_of_roles(
    directory: DirectoryReader, account: AccountId, role_ids: Collection[str]
) -> Mapping[str, tuple[InstanceProfile, ...]]:
    """The instance profiles that hold these roles; roles without are left out."""
    columns = INSTANCE_PROFILES.c
    every = select(INSTANCE_PROFILES).where(columns.account == account)
    return await grouped(
        directory,
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
