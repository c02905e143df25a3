"""People and groups that directories provision by SCIM, and their tokens."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Table, Text, delete, func, literal, select, update
from sqlalchemy.sql import ColumnElement

from broker.model.account import AccountId
from broker.model.provisioned import (
    Membership,
    ProvisionedGroup,
    ProvisionedUser,
    ProvisioningCounts,
    ScimToken,
)
from broker.stores.directory.entity_tables import (
    EntityTable,
    name_key,
)
from broker.stores.directory.kinds import (
    PROVISIONED_GROUP,
    PROVISIONED_USER,
    SCIM_TOKEN,
)
from broker.stores.directory.port.provisioning import ProvisionedQuery
from broker.stores.directory.statements import Reads, Writes, batches
from broker.stores.errors import AlreadyExistsError
from broker.stores.schema import (
    PROVISIONED_GROUPS,
    PROVISIONED_MEMBERS,
    PROVISIONED_USERS,
    SCIM_TOKENS,
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


class ProvisioningReads(Reads):
    """See ``DirectoryReader``."""

    async def find_provisioned_user(
        self, account: AccountId, provider_id: str, user_id: str
    ) -> ProvisionedUser | None:
        user = await self.find_entity(
            PROVISIONED_USER.stored,
            account=account,
            provider_id=provider_id,
            user_id=user_id,
        )
        return None if user is None or user.departed_at else user

    async def list_provisioned_users(
        self, query: ProvisionedQuery
    ) -> tuple[Sequence[ProvisionedUser], int]:
        where = [*_conditions(query, PROVISIONED_USERS), _USERS.departed_at.is_(None)]
        if query.entity_id is not None:
            where.append(_USERS.user_id == query.entity_id)
        if query.email is not None:
            where.append(_USERS.email == name_key(query.email))
        if query.active is not None:
            where.append(_USERS.active == int(query.active))
        return await self._some(PROVISIONED_USER.stored, where, query, _USERS.user_id)

    async def provisioned_user_ids(
        self, account: AccountId, provider_id: str, ids: Collection[str]
    ) -> frozenset[str]:
        found: set[str] = set()
        for some in batches(ids):
            rows = await self.rows(
                select(_USERS.user_id).where(
                    _USERS.account == account,
                    _USERS.provider_id == provider_id,
                    _USERS.departed_at.is_(None),
                    _USERS.user_id.in_(some),
                )
            )
            found.update(row.user_id for row in rows)
        return frozenset(found)

    async def list_provisioned_people(
        self, account: AccountId, provider_id: str, attribute: str, value: str
    ) -> Sequence[ProvisionedUser]:
        is_it = {
            "userName": _USERS.name_key == name_key(value),
            "emails": _USERS.email == name_key(value),
            "externalId": _USERS.external_id == value,
        }[attribute]
        if not value:
            return ()
        return await self.list_entities(
            PROVISIONED_USER.stored,
            select(PROVISIONED_USERS)
            .where(_USERS.account == account, _USERS.provider_id == provider_id, is_it)
            .order_by(_USERS.departed_at.is_not(None), _USERS.departed_at.desc())
            .limit(_PEOPLE_MAX),
        )

    async def find_provisioned_group(
        self, account: AccountId, provider_id: str, group_id: str
    ) -> ProvisionedGroup | None:
        return await self.find_entity(
            PROVISIONED_GROUP.stored,
            account=account,
            provider_id=provider_id,
            group_id=group_id,
        )

    async def list_provisioned_groups(
        self, query: ProvisionedQuery
    ) -> tuple[Sequence[ProvisionedGroup], int]:
        where = _conditions(query, PROVISIONED_GROUPS)
        if query.entity_id is not None:
            where.append(_GROUPS.group_id == query.entity_id)
        if query.member_id is not None:
            of_member = select(_MEMBERS.group_id).where(
                _MEMBERS.user_id == query.member_id
            )
            where.append(_GROUPS.group_id.in_(of_member))
        return await self._some(
            PROVISIONED_GROUP.stored, where, query, _GROUPS.group_id
        )

    async def _some(
        self,
        stored: EntityTable[Any],
        where: Sequence[ColumnElement[bool]],
        query: ProvisionedQuery,
        unique: ColumnElement[str],
    ) -> tuple[Sequence[Any], int]:
        counted = await self.find_row(
            select(func.count().label("number")).select_from(stored.table).where(*where)
        )
        total = 0 if counted is None else int(counted.number)
        if not query.limit or query.offset >= total:
            return (), total
        found = await self.list_entities(
            stored,
            select(stored.table)
            .where(*where)
            .order_by(stored.table.c.created_at, unique)
            .offset(query.offset)
            .limit(query.limit),
        )
        return found, total

    async def list_provisioned_memberships(
        self,
        account: AccountId,
        *,
        group_ids: Collection[str] = (),
        user_ids: Collection[str] = (),
        limit: int,
    ) -> Sequence[Membership]:
        column = _MEMBERS.user_id if user_ids else _MEMBERS.group_id
        within = [_MEMBERS.account == account]
        if user_ids and group_ids:
            within.append(_MEMBERS.group_id.in_(list(group_ids)))
        found: list[Membership] = []
        for some in batches(user_ids or group_ids):
            rows = await self.rows(
                select(
                    _MEMBERS.group_id,
                    _MEMBERS.user_id,
                    _GROUPS.name,
                    _GROUPS.external_id,
                )
                .join(PROVISIONED_GROUPS, _GROUPS.group_id == _MEMBERS.group_id)
                .where(*within, column.in_(some))
                .order_by(_MEMBERS.group_id, _MEMBERS.user_id)
                .limit(max(0, limit - len(found)))
            )
            found += (
                Membership(
                    group_id=row.group_id,
                    group_name=row.name,
                    group_external_id=row.external_id,
                    user_id=row.user_id,
                )
                for row in rows
            )
        return found

    async def count_provisioned_members(self, account: AccountId, group_id: str) -> int:
        row = await self.find_row(
            select(func.count().label("number")).where(
                _MEMBERS.account == account, _MEMBERS.group_id == group_id
            )
        )
        return 0 if row is None else int(row.number)

    async def provisioning_counts(
        self, account: AccountId, provider_id: str
    ) -> ProvisioningCounts:
        people = await self.rows(
            select(_USERS.active, func.count().label("number"))
            .where(
                _USERS.account == account,
                _USERS.provider_id == provider_id,
                _USERS.departed_at.is_(None),
            )
            .group_by(_USERS.active)
        )
        groups = await self.find_row(
            select(func.count().label("number")).where(
                _GROUPS.account == account, _GROUPS.provider_id == provider_id
            )
        )
        by_state = {bool(row.active): int(row.number) for row in people}
        return ProvisioningCounts(
            users=sum(by_state.values()),
            inactive=by_state.get(False, 0),
            groups=0 if groups is None else int(groups.number),
        )

    async def list_scim_tokens(self, account: AccountId) -> Sequence[ScimToken]:
        return await self.list_entities(
            SCIM_TOKEN.stored,
            select(SCIM_TOKENS)
            .where(SCIM_TOKENS.c.account == account)
            .order_by(SCIM_TOKENS.c.created_at, SCIM_TOKENS.c.token_id),
        )

    async def has_scim_tokens(self) -> bool:
        return await self.find_row(select(SCIM_TOKENS.c.token_id).limit(1)) is not None


class ProvisioningWrites(ProvisioningReads, Writes):
    """See ``DirectoryChange``."""

    async def insert_provisioned_user(self, user: ProvisionedUser) -> None:
        await self.insert_entity(PROVISIONED_USER.stored, user, "user")

    async def update_provisioned_user(self, user: ProvisionedUser) -> None:
        if user.departed_at is None:
            known = await self.find_row(
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
        await self.update_entity(PROVISIONED_USER.stored, user, "user_id")

    async def delay_provisioned_users(
        self, account: AccountId, user_ids: Collection[str], until: datetime
    ) -> None:
        for some in batches(user_ids):
            await self.run(
                update(PROVISIONED_USERS)
                .where(_USERS.account == account, _USERS.user_id.in_(some))
                .values(not_before=to_micros(until))
            )

    async def forget_departed_users(
        self, account: AccountId, provider_id: str, *, keep: int
    ) -> None:
        rows = await self.rows(
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
            await self.run(
                delete(PROVISIONED_USERS).where(
                    _USERS.account == account, _USERS.user_id.in_(some)
                )
            )

    async def insert_provisioned_group(self, group: ProvisionedGroup) -> None:
        await self.insert_entity(PROVISIONED_GROUP.stored, group, "group")

    async def update_provisioned_group(self, group: ProvisionedGroup) -> None:
        known = await self.find_row(
            select(_GROUPS.group_id).where(
                _GROUPS.account == group.account,
                _GROUPS.provider_id == group.provider_id,
                _GROUPS.name_key == name_key(group.name),
                _GROUPS.group_id != group.group_id,
            )
        )
        if known is not None:
            raise AlreadyExistsError("group")
        former = await self.find_provisioned_group(
            group.account, group.provider_id, group.group_id
        )
        await self.update_entity(PROVISIONED_GROUP.stored, group, "group_id")
        if former is None or (former.name, former.external_id) != (
            group.name,
            group.external_id,
        ):
            # Memberships are read with what their group is called.
            await self.touch(PROVISIONED_MEMBERS, _MEMBERS.group_id == group.group_id)

    async def delete_provisioned_group(self, group: ProvisionedGroup) -> None:
        for table in (PROVISIONED_MEMBERS, PROVISIONED_GROUPS):
            await self.delete_by(table, account=group.account, group_id=group.group_id)

    async def add_provisioned_members(
        self, group: ProvisionedGroup, user_ids: Collection[str]
    ) -> None:
        there = select(_MEMBERS.user_id).where(
            _MEMBERS.group_id == group.group_id, _MEMBERS.user_id == _USERS.user_id
        )
        for some in batches(user_ids):
            new = select(
                literal(group.account, Text),
                literal(group.group_id, Text),
                _USERS.user_id,
            ).where(
                _USERS.account == group.account,
                _USERS.provider_id == group.provider_id,
                _USERS.departed_at.is_(None),
                _USERS.user_id.in_(some),
                ~there.exists(),
            )
            await self.run(
                PROVISIONED_MEMBERS.insert().from_select(
                    ["account", "group_id", "user_id"], new
                )
            )

    async def remove_provisioned_members(
        self, group: ProvisionedGroup, user_ids: Collection[str]
    ) -> None:
        for some in batches(user_ids):
            await self.run(
                delete(PROVISIONED_MEMBERS).where(
                    _MEMBERS.account == group.account,
                    _MEMBERS.group_id == group.group_id,
                    _MEMBERS.user_id.in_(some),
                )
            )

    async def remove_from_provisioned_groups(self, user: ProvisionedUser) -> None:
        await self.delete_by(
            PROVISIONED_MEMBERS, account=user.account, user_id=user.user_id
        )

    async def insert_scim_token(self, token: ScimToken) -> None:
        await self.insert_entity(SCIM_TOKEN.stored, token, "SCIM token")

    async def delete_scim_token(self, token: ScimToken) -> None:
        await self.delete_by(
            SCIM_TOKENS, account=token.account, token_id=token.token_id
        )

    async def end_provisioning(self, account: AccountId, provider_id: str) -> None:
        """Remove all that a deleted provider's directory provisioned."""
        groups = select(_GROUPS.group_id).where(
            _GROUPS.account == account, _GROUPS.provider_id == provider_id
        )
        await self.run(
            delete(PROVISIONED_MEMBERS).where(
                _MEMBERS.account == account, _MEMBERS.group_id.in_(groups)
            )
        )
        for table in (PROVISIONED_GROUPS, PROVISIONED_USERS, SCIM_TOKENS):
            await self.delete_by(table, account=account, provider_id=provider_id)


def _conditions(query: ProvisionedQuery, table: Table) -> list[ColumnElement[bool]]:
    where = [
        table.c.account == query.account,
        table.c.provider_id == query.provider_id,
    ]
    if query.name is not None:
        where.append(table.c.name_key == name_key(query.name))
    if query.external_id is not None:
        where.append(table.c.external_id == query.external_id)
    return where
