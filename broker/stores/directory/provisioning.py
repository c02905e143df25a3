"""People and groups that directories provision by SCIM, and their tokens."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import Table, Text, delete, func, literal, select, update
from sqlalchemy.sql import ColumnElement

from broker.model.account import AccountId
from broker.model.provisioned import (
    Membership,
    ProvisionedGroup,
    ProvisionedUser,
    ProvisioningCounts,
)
from broker.stores.directory.kinds import PROVISIONED_GROUP, PROVISIONED_USER
from broker.stores.directory.port import DirectoryChange, DirectoryReader
from broker.stores.directory.statements import batches
from broker.stores.directory.stored import EntityTable, name_key
from broker.stores.errors import AlreadyExistsError
from broker.stores.schema import (
    PROVISIONED_GROUPS,
    PROVISIONED_MEMBERS,
    PROVISIONED_USERS,
)
from broker.stores.times import to_micros

_PEOPLE_MAX = 5
"""Of one attribute's value; more than one is ambiguous already."""

_FORGOTTEN_MAX = 100
"""Rows removed at once."""


_USERS, _GROUPS, _MEMBERS = (
    PROVISIONED_USERS.c,
    PROVISIONED_GROUPS.c,
    PROVISIONED_MEMBERS.c,
)


class ProvisionedQuery(Struct, frozen=True, kw_only=True):
    """Which users or groups of a provider: all that have these values.

    ``name`` is a user's name or a group's, ``email`` the address that counts; both are
    compared without regard to case. ``member_id`` is a user whose groups are meant. An
    ``offset`` counts from 0.
    """

    account: AccountId
    provider_id: str
    entity_id: str | None = None
    name: str | None = None
    external_id: str | None = None
    email: str | None = None
    active: bool | None = None
    member_id: str | None = None
    offset: int = 0
    limit: int = 100


def _conditions(query: ProvisionedQuery, table: Table) -> list[ColumnElement[bool]]:
    where = [table.c.account == query.account, table.c.provider_id == query.provider_id]
    if query.name is not None:
        where.append(table.c.name_key == name_key(query.name))
    if query.external_id is not None:
        where.append(table.c.external_id == query.external_id)
    return where


async def find_provisioned_user(
    directory: DirectoryReader, account: AccountId, provider_id: str, user_id: str
) -> ProvisionedUser | None:
    """A user by id; None for one that was deleted."""
    user = await directory.find_entity(
        PROVISIONED_USER.stored,
        account=account,
        provider_id=provider_id,
        user_id=user_id,
    )
    return None if user is None or user.departed_at else user


async def list_provisioned_users(
    directory: DirectoryReader, query: ProvisionedQuery
) -> tuple[Sequence[ProvisionedUser], int]:
    """Some users, oldest first, and how many there are; not the deleted ones."""
    where = [*_conditions(query, PROVISIONED_USERS), _USERS.departed_at.is_(None)]
    if query.entity_id is not None:
        where.append(_USERS.user_id == query.entity_id)
    if query.email is not None:
        where.append(_USERS.email == name_key(query.email))
    if query.active is not None:
        where.append(_USERS.active == int(query.active))
    return await _some(directory, PROVISIONED_USER.stored, where, query, _USERS.user_id)


async def provisioned_user_ids(
    directory: DirectoryReader,
    account: AccountId,
    provider_id: str,
    ids: Collection[str],
) -> frozenset[str]:
    """Those of the ids that users of the provider have."""
    results: set[str] = set()
    for some in batches(ids):
        rows = await directory.rows(
            select(_USERS.user_id).where(
                _USERS.account == account,
                _USERS.provider_id == provider_id,
                _USERS.departed_at.is_(None),
                _USERS.user_id.in_(some),
            )
        )
        results.update(row.user_id for row in rows)
    return frozenset(results)


async def list_provisioned_people(
    directory: DirectoryReader,
    account: AccountId,
    provider_id: str,
    attribute: str,
    value: str,
) -> Sequence[ProvisionedUser]:
    """Some of those whose attribute has the value, the deleted ones included.

    ``attribute`` is ``userName`` or ``emails``, compared without regard to case, or
    ``externalId``. Those that were not deleted come first.
    """
    is_it = {
        "userName": _USERS.name_key == name_key(value),
        "emails": _USERS.email == name_key(value),
        "externalId": _USERS.external_id == value,
    }[attribute]
    if not value:
        return ()
    return await directory.list_entities(
        PROVISIONED_USER.stored,
        select(PROVISIONED_USERS)
        .where(_USERS.account == account, _USERS.provider_id == provider_id, is_it)
        .order_by(_USERS.departed_at.is_not(None), _USERS.departed_at.desc())
        .limit(_PEOPLE_MAX),
    )


async def find_provisioned_group(
    directory: DirectoryReader, account: AccountId, provider_id: str, group_id: str
) -> ProvisionedGroup | None:
    """A group by id."""
    return await directory.find_entity(
        PROVISIONED_GROUP.stored,
        account=account,
        provider_id=provider_id,
        group_id=group_id,
    )


async def list_provisioned_groups(
    directory: DirectoryReader, query: ProvisionedQuery
) -> tuple[Sequence[ProvisionedGroup], int]:
    """Some groups, oldest first, and how many there are."""
    where = _conditions(query, PROVISIONED_GROUPS)
    if query.entity_id is not None:
        where.append(_GROUPS.group_id == query.entity_id)
    if query.member_id is not None:
        of_member = select(_MEMBERS.group_id).where(_MEMBERS.user_id == query.member_id)
        where.append(_GROUPS.group_id.in_(of_member))
    return await _some(
        directory, PROVISIONED_GROUP.stored, where, query, _GROUPS.group_id
    )


async def _some(
    directory: DirectoryReader,
    stored: EntityTable[Any],
    where: Sequence[ColumnElement[bool]],
    query: ProvisionedQuery,
    unique: ColumnElement[str],
) -> tuple[Sequence[Any], int]:
    counted = select(func.count()).select_from(stored.table).where(*where)
    total = await directory.number(counted)
    if not query.limit or query.offset >= total:
        return (), total
    entities = await directory.list_entities(
        stored,
        select(stored.table)
        .where(*where)
        .order_by(stored.table.c.created_at, unique)
        .offset(query.offset)
        .limit(query.limit),
    )
    return entities, total


async def list_provisioned_memberships(
    directory: DirectoryReader,
    account: AccountId,
    *,
    group_ids: Collection[str] = (),
    user_ids: Collection[str] = (),
    limit: int,
) -> Sequence[Membership]:
    """The memberships of these groups, or of these users.

    With both, those of these users in these few groups.
    """
    column = _MEMBERS.user_id if user_ids else _MEMBERS.group_id
    within = [_MEMBERS.account == account]
    if user_ids and group_ids:
        within.append(_MEMBERS.group_id.in_(list(group_ids)))
    memberships: list[Membership] = []
    for some in batches(user_ids or group_ids):
        rows = await directory.rows(
            select(
                _MEMBERS.group_id, _MEMBERS.user_id, _GROUPS.name, _GROUPS.external_id
            )
            .join(PROVISIONED_GROUPS, _GROUPS.group_id == _MEMBERS.group_id)
            .where(*within, column.in_(some))
            .order_by(_MEMBERS.group_id, _MEMBERS.user_id)
            .limit(max(0, limit - len(memberships)))
        )
        memberships += (
            Membership(
                group_id=row.group_id,
                group_name=row.name,
                group_external_id=row.external_id,
                user_id=row.user_id,
            )
            for row in rows
        )
    return memberships


async def count_provisioned_members(
    directory: DirectoryReader, account: AccountId, group_id: str
) -> int:
    """How many are in a group."""
    of_group = (_MEMBERS.account == account, _MEMBERS.group_id == group_id)
    return await directory.number(select(func.count()).where(*of_group))


async def provisioning_counts(
    directory: DirectoryReader, account: AccountId, provider_id: str
) -> ProvisioningCounts:
    """How many there are of each kind."""
    people = await directory.rows(
        select(_USERS.active, func.count().label("number"))
        .where(
            _USERS.account == account,
            _USERS.provider_id == provider_id,
            _USERS.departed_at.is_(None),
        )
        .group_by(_USERS.active)
    )
    of_provider = (_GROUPS.account == account, _GROUPS.provider_id == provider_id)
    groups = await directory.number(select(func.count()).where(*of_provider))
    by_state = {bool(row.active): int(row.number) for row in people}
    return ProvisioningCounts(
        users=sum(by_state.values()), inactive=by_state.get(False, 0), groups=groups
    )


async def update_provisioned_user(
    change: DirectoryChange, user: ProvisionedUser
) -> None:
    """Write a user.

    Raises:
        AlreadyExistsError: another user of the provider has the name.
    """
    if user.departed_at is None:
        known = await change.find_row(
            select(_USERS.user_id).where(
                _USERS.account == user.account,
                _USERS.provider_id == user.provider_id,
                _USERS.name_key == name_key(user.user_name),
                _USERS.departed_at.is_(None),
                _USERS.user_id != user.user_id,
            )
        )
        if known is not None:
            raise AlreadyExistsError("user")
    await change.update(PROVISIONED_USER, user)


async def delay_provisioned_users(
    change: DirectoryChange,
    account: AccountId,
    user_ids: Collection[str],
    until: datetime,
) -> None:
    """Admit these people only after that time: their sessions have been ended."""
    for some in batches(user_ids):
        await change.run(
            update(PROVISIONED_USERS)
            .where(_USERS.account == account, _USERS.user_id.in_(some))
            .values(not_before=to_micros(until))
        )


async def forget_departed_users(
    change: DirectoryChange, account: AccountId, provider_id: str, *, keep: int
) -> None:
    """Permanently remove the rows of deleted users, except the last ones."""
    rows = await change.rows(
        select(_USERS.user_id)
        .where(
            _USERS.account == account,
            _USERS.provider_id == provider_id,
            _USERS.departed_at.is_not(None),
        )
        .order_by(_USERS.departed_at.desc())
        .offset(keep)
        .limit(_FORGOTTEN_MAX)
    )
    for some in batches([row.user_id for row in rows]):
        await change.run(
            delete(PROVISIONED_USERS).where(
                _USERS.account == account, _USERS.user_id.in_(some)
            )
        )


async def update_provisioned_group(
    change: DirectoryChange, group: ProvisionedGroup
) -> None:
    """Write a group.

    Raises:
        AlreadyExistsError: another group of the provider has the name.
    """
    known = await change.find_row(
        select(_GROUPS.group_id).where(
            _GROUPS.account == group.account,
            _GROUPS.provider_id == group.provider_id,
            _GROUPS.name_key == name_key(group.name),
            _GROUPS.group_id != group.group_id,
        )
    )
    if known is not None:
        raise AlreadyExistsError("group")
    former = await find_provisioned_group(
        change, group.account, group.provider_id, group.group_id
    )
    await change.update(PROVISIONED_GROUP, group)
    if former is None or (former.name, former.external_id) != (
        group.name,
        group.external_id,
    ):
        # Memberships are read with what their group is called.
        await change.touch(PROVISIONED_MEMBERS, _MEMBERS.group_id == group.group_id)


async def add_provisioned_members(
    change: DirectoryChange, group: ProvisionedGroup, user_ids: Collection[str]
) -> None:
    """Those that are in it already, or that are not users of its provider, stay."""
    there = select(_MEMBERS.user_id).where(
        _MEMBERS.group_id == group.group_id, _MEMBERS.user_id == _USERS.user_id
    )
    for some in batches(user_ids):
        new = select(
            literal(group.account, Text), literal(group.group_id, Text), _USERS.user_id
        ).where(
            _USERS.account == group.account,
            _USERS.provider_id == group.provider_id,
            _USERS.departed_at.is_(None),
            _USERS.user_id.in_(some),
            ~there.exists(),
        )
        await change.run(
            PROVISIONED_MEMBERS.insert().from_select(
                ["account", "group_id", "user_id"], new
            )
        )


async def remove_provisioned_members(
    change: DirectoryChange, group: ProvisionedGroup, user_ids: Collection[str]
) -> None:
    """Take users out of a group."""
    for some in batches(user_ids):
        await change.run(
            delete(PROVISIONED_MEMBERS).where(
                _MEMBERS.account == group.account,
                _MEMBERS.group_id == group.group_id,
                _MEMBERS.user_id.in_(some),
            )
        )


async def remove_from_provisioned_groups(
    change: DirectoryChange, user: ProvisionedUser
) -> None:
    """Take a user out of all groups."""
    await change.delete_by(
        PROVISIONED_MEMBERS, account=user.account, user_id=user.user_id
    )
