"""Groups, who is in them, and login profiles."""

from collections import defaultdict
from collections.abc import Collection, Mapping

from sqlalchemy import delete, select

from broker.model.account import AccountId
from broker.model.entities import Group, LoginProfile, User
from broker.model.page import Page, PageRequest
from broker.stores.directory.statements import (
    AnyRow,
    Reads,
    Writes,
    name_key,
    under_path,
)
from broker.stores.directory.users import read_user
from broker.stores.schema import GROUP_MEMBERS, GROUPS, LOGIN_PROFILES, USERS
from broker.stores.times import from_micros, to_micros

_IDS_A_QUERY = 500


class GroupReads(Reads):
    """See ``DirectoryReader``."""

    async def find_group(self, account: AccountId, name: str) -> Group | None:
        row = await self.find_by(GROUPS, account=account, name_key=name_key(name))
        return None if row is None else read_group(row)

    async def list_groups(
        self, account: AccountId, path_prefix: str, page: PageRequest
    ) -> Page[Group]:
        statement = select(GROUPS).where(
            GROUPS.c.account == account, under_path(GROUPS.c.path, path_prefix)
        )
        return await self.page(statement, page, GROUPS.c.name_key, read_group)

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
        return await self.page(statement, page, USERS.c.name_key, read_user)

    async def list_user_groups(
        self, account: AccountId, user_id: str
    ) -> tuple[Group, ...]:
        return (await self.list_memberships(account, (user_id,))).get(user_id, ())

    async def list_memberships(
        self, account: AccountId, user_ids: Collection[str]
    ) -> Mapping[str, tuple[Group, ...]]:
        found: dict[str, list[Group]] = defaultdict(list)
        wanted = list(user_ids)
        for start in range(0, len(wanted), _IDS_A_QUERY):
            rows = await self.rows(
                select(GROUPS, GROUP_MEMBERS.c.user_id)
                .join(GROUP_MEMBERS, GROUP_MEMBERS.c.group_id == GROUPS.c.group_id)
                .where(
                    GROUP_MEMBERS.c.account == account,
                    GROUP_MEMBERS.c.user_id.in_(wanted[start : start + _IDS_A_QUERY]),
                )
                .order_by(GROUPS.c.name_key)
            )
            for row in rows:
                found[row.user_id].append(read_group(row))
        return {user_id: tuple(groups) for user_id, groups in found.items()}

    async def find_login_profile(
        self, account: AccountId, user_id: str
    ) -> LoginProfile | None:
        row = await self.find_by(LOGIN_PROFILES, account=account, user_id=user_id)
        return None if row is None else read_profile(row)


class GroupWrites(GroupReads, Writes):
    """See ``DirectoryChange``."""

    async def insert_group(self, group: Group) -> None:
        await self.insert_new(GROUPS, _group_values(group), "group")

    async def update_group(self, group: Group) -> None:
        await self.update_named(
            GROUPS, _group_values(group), "group", group_id=group.group_id
        )

    async def delete_group(self, group: Group) -> None:
        await self.run(delete(GROUPS).where(GROUPS.c.group_id == group.group_id))

    async def add_member(self, account: AccountId, group_id: str, user_id: str) -> bool:
        values = {"group_id": group_id, "user_id": user_id, "account": account}
        return await self.insert_if_free(GROUP_MEMBERS, values)

    async def remove_member(
        self, account: AccountId, group_id: str, user_id: str
    ) -> bool:
        removed = await self.run(
            delete(GROUP_MEMBERS).where(
                GROUP_MEMBERS.c.account == account,
                GROUP_MEMBERS.c.group_id == group_id,
                GROUP_MEMBERS.c.user_id == user_id,
            )
        )
        return removed > 0

    async def insert_login_profile(self, profile: LoginProfile) -> None:
        await self.insert_new(LOGIN_PROFILES, _profile_values(profile), "login profile")

    async def update_login_profile(self, profile: LoginProfile) -> None:
        await self.update_by(
            LOGIN_PROFILES, _profile_values(profile), user_id=profile.user_id
        )

    async def delete_login_profile(self, profile: LoginProfile) -> None:
        await self.run(
            delete(LOGIN_PROFILES).where(LOGIN_PROFILES.c.user_id == profile.user_id)
        )


def read_group(row: AnyRow) -> Group:
    """A row of the table."""
    return Group(
        account=row.account,
        group_id=row.group_id,
        name=row.name,
        path=row.path,
        created_at=from_micros(row.created_at),
    )


def _group_values(group: Group) -> dict[str, object]:
    return {
        "group_id": group.group_id,
        "account": group.account,
        "name": group.name,
        "name_key": name_key(group.name),
        "path": group.path,
        "created_at": to_micros(group.created_at),
    }


def read_profile(row: AnyRow) -> LoginProfile:
    """A row of the table."""
    return LoginProfile(
        account=row.account,
        user_id=row.user_id,
        sealed=row.sealed,
        created_at=from_micros(row.created_at),
        changed_at=from_micros(row.changed_at),
        reset_required=bool(row.reset_required),
    )


def _profile_values(profile: LoginProfile) -> dict[str, object]:
    return {
        "user_id": profile.user_id,
        "account": profile.account,
        "sealed": profile.sealed,
        "created_at": to_micros(profile.created_at),
        "changed_at": to_micros(profile.changed_at),
        "reset_required": int(profile.reset_required),
    }
