"""Users and long-term access keys."""

from sqlalchemy import select

from broker.model.account import AccountId
from broker.model.entities import AccessKey, User
from broker.model.page import Page, PageRequest
from broker.stores.directory.entity_tables import (
    name_key,
)
from broker.stores.directory.kinds import ACCESS_KEY, USER
from broker.stores.directory.statements import Reads, Writes, under_path
from broker.stores.schema import ACCESS_KEYS, USED_ACCESS_KEY_IDS, USERS


class UserReads(Reads):
    """See ``DirectoryReader``."""

    async def find_user(self, account: AccountId, name: str) -> User | None:
        return await self.find_entity(
            USER.stored, account=account, name_key=name_key(name)
        )

    async def find_user_by_id(self, account: AccountId, user_id: str) -> User | None:
        return await self.find_entity(USER.stored, account=account, user_id=user_id)

    async def list_users(
        self, account: AccountId, path_prefix: str, page: PageRequest
    ) -> Page[User]:
        statement = select(USERS).where(
            USERS.c.account == account, under_path(USERS.c.path, path_prefix)
        )
        return await self.page(statement, page, USERS.c.name_key, USER.stored.read)

    async def find_access_key(self, access_key_id: str) -> AccessKey | None:
        return await self.find_entity(ACCESS_KEY.stored, access_key_id=access_key_id)

    async def list_access_keys(
        self, account: AccountId, user_id: str | None
    ) -> tuple[AccessKey, ...]:
        return await self.list_entities(
            ACCESS_KEY.stored,
            select(ACCESS_KEYS)
            .where(
                ACCESS_KEYS.c.account == account,
                ACCESS_KEYS.c.user_id.is_not_distinct_from(user_id),
            )
            .order_by(ACCESS_KEYS.c.created_at, ACCESS_KEYS.c.access_key_id),
        )


class UserWrites(UserReads, Writes):
    """See ``DirectoryChange``."""

    async def insert_user(self, user: User) -> None:
        await self.insert_entity(USER.stored, user, "user")

    async def update_user(self, user: User) -> None:
        await self.update_named(USERS, USER.stored.values(user), "user", "user_id")

    async def delete_user(self, user: User) -> None:
        await self.delete_by(USERS, user_id=user.user_id)

    async def insert_access_key(self, key: AccessKey) -> None:
        used = {"access_key_id": key.access_key_id}
        await self.insert_new(USED_ACCESS_KEY_IDS, used, "access key")
        await self.insert_entity(ACCESS_KEY.stored, key, "access key")

    async def update_access_key(self, key: AccessKey) -> None:
        await self.update_entity(ACCESS_KEY.stored, key, "access_key_id")

    async def delete_access_key(self, key: AccessKey) -> None:
        await self.delete_by(ACCESS_KEYS, access_key_id=key.access_key_id)
