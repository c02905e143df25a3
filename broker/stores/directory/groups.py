"""Groups, who is in them, and login profiles."""

from collections import defaultdict
from collections.abc import Collection, Mapping

from sqlalchemy import select

from broker.model.account import AccountId
from broker.model.entities import Group, LoginProfile, User
from broker.model.page import Page, PageRequest
from broker.stores.directory.entity_tables import (
    name_key,
)
from broker.stores.directory.kinds import GROUP, LOGIN_PROFILE, USER
from broker.stores.directory.statements import Reads, Writes, batches, under_path
from broker.stores.schema import GROUP_MEMBERS, GROUPS, LOGIN_PROFILES, USERS


class GroupReads(Reads):
    """See ``DirectoryReader``."""

    async def find_group(self, account: AccountId, name: str) -> Group | None:
        return await self.find_entity(
            GROUP.stored, account=account, name_key=name_key(name)
        )

    async def list_groups(
        self, account: AccountId, path_prefix: str, page: PageRequest
    ) -> Page[Group]:
        statement = select(GROUPS).where(
            GROUPS.c.account == account, under_path(GROUPS.c.path, path_prefix)
        )
        return await self.page(statement, page, GROUPS.c.name_key, GROUP.stored.read)

    async def list_group_users(
        self, account: AccountId, group_id: str, page: PageRequest
    ) -> Page[User]:
        statement = (
            select(USERS)
            .join(GROUP_MEMBERS, GROUP_MEMBERS.c.user_id == USERS.c.user_id)
            .where(
                GROUP_MEMBERS.c.account == account,
                GROUP_MEMBERS.c.group_id == group_id,
            )
        )
        return await self.page(statement, page, USERS.c.name_key, USER.stored.read)

    async def list_user_groups(
        self, account: AccountId, user_id: str
    ) -> tuple[Group, ...]:
        return (await self.list_memberships(account, (user_id,))).get(user_id, ())

    async def list_memberships(
        self, account: AccountId, user_ids: Collection[str]
    ) -> Mapping[str, tuple[Group, ...]]:
        found: dict[str, list[Group]] = defaultdict(list)
        for some in batches(user_ids):
            rows = await self.rows(
                select(GROUPS, GROUP_MEMBERS.c.user_id)
                .join(GROUP_MEMBERS, GROUP_MEMBERS.c.group_id == GROUPS.c.group_id)
                .where(
                    GROUP_MEMBERS.c.account == account,
                    GROUP_MEMBERS.c.user_id.in_(some),
                )
                .order_by(GROUPS.c.name_key)
            )
            for row in rows:
                found[row.user_id].append(GROUP.stored.read(row))
        return {user_id: tuple(groups) for user_id, groups in found.items()}

    async def find_login_profile(
        self, account: AccountId, user_id: str
    ) -> LoginProfile | None:
        return await self.find_entity(
            LOGIN_PROFILE.stored, account=account, user_id=user_id
        )


class GroupWrites(GroupReads, Writes):
    """See ``DirectoryChange``."""

    async def insert_group(self, group: Group) -> None:
        await self.insert_entity(GROUP.stored, group, "group")

    async def update_group(self, group: Group) -> None:
        await self.update_named(GROUPS, GROUP.stored.values(group), "group", "group_id")

    async def delete_group(self, group: Group) -> None:
        await self.delete_by(GROUPS, group_id=group.group_id)

    async def add_member(self, account: AccountId, group_id: str, user_id: str) -> bool:
        values = {"group_id": group_id, "user_id": user_id, "account": account}
        return await self.insert_if_free(GROUP_MEMBERS, values)

    async def remove_member(
        self, account: AccountId, group_id: str, user_id: str
    ) -> bool:
        removed = await self.delete_by(
            GROUP_MEMBERS, account=account, group_id=group_id, user_id=user_id
        )
        return removed > 0

    async def insert_login_profile(self, profile: LoginProfile) -> None:
        await self.insert_entity(LOGIN_PROFILE.stored, profile, "login profile")

    async def update_login_profile(self, profile: LoginProfile) -> None:
        await self.update_entity(LOGIN_PROFILE.stored, profile, "user_id")

    async def delete_login_profile(self, profile: LoginProfile) -> None:
        await self.delete_by(LOGIN_PROFILES, user_id=profile.user_id)
