"""Users and long-term access keys."""

from sqlalchemy import delete, select

from broker.model.account import AccountId
from broker.model.entities import AccessKey, KeyStatus, User
from broker.model.page import Page, PageRequest
from broker.stores.directory.statements import (
    AnyRow,
    Reads,
    Writes,
    dump_mapping,
    load_mapping,
    name_key,
    under_path,
)
from broker.stores.schema import ACCESS_KEYS, USED_ACCESS_KEY_IDS, USERS
from broker.stores.times import from_micros, to_micros


class UserReads(Reads):
    """See ``DirectoryReader``."""

    async def find_user(self, account: AccountId, name: str) -> User | None:
        return await self._find_user(account=account, name_key=name_key(name))

    async def find_user_by_id(self, account: AccountId, user_id: str) -> User | None:
        return await self._find_user(account=account, user_id=user_id)

    async def list_users(
        self, account: AccountId, path_prefix: str, page: PageRequest
    ) -> Page[User]:
        statement = select(USERS).where(
            USERS.c.account == account, under_path(USERS.c.path, path_prefix)
        )
        return await self.page(statement, page, USERS.c.name_key, read_user)

    async def find_access_key(self, access_key_id: str) -> AccessKey | None:
        row = await self.find_by(ACCESS_KEYS, access_key_id=access_key_id)
        return None if row is None else read_key(row)

    async def list_access_keys(
        self, account: AccountId, user_id: str | None
    ) -> tuple[AccessKey, ...]:
        rows = await self.rows(
            select(ACCESS_KEYS)
            .where(
                ACCESS_KEYS.c.account == account,
                ACCESS_KEYS.c.user_id.is_not_distinct_from(user_id),
            )
            .order_by(ACCESS_KEYS.c.created_at, ACCESS_KEYS.c.access_key_id)
        )
        return tuple(read_key(row) for row in rows)

    async def _find_user(self, **values: object) -> User | None:
        row = await self.find_by(USERS, **values)
        return None if row is None else read_user(row)


class UserWrites(UserReads, Writes):
    """See ``DirectoryChange``."""

    async def insert_user(self, user: User) -> None:
        await self.insert_new(USERS, _user_values(user), "user")

    async def update_user(self, user: User) -> None:
        await self.update_named(USERS, _user_values(user), "user", user_id=user.user_id)

    async def delete_user(self, user: User) -> None:
        await self.run(delete(USERS).where(USERS.c.user_id == user.user_id))

    async def insert_access_key(self, key: AccessKey) -> None:
        used = {"access_key_id": key.access_key_id}
        await self.insert_new(USED_ACCESS_KEY_IDS, used, "access key")
        await self.insert_new(ACCESS_KEYS, _key_values(key), "access key")

    async def update_access_key(self, key: AccessKey) -> None:
        await self.update_by(
            ACCESS_KEYS, _key_values(key), access_key_id=key.access_key_id
        )

    async def delete_access_key(self, key: AccessKey) -> None:
        await self.run(
            delete(ACCESS_KEYS).where(ACCESS_KEYS.c.access_key_id == key.access_key_id)
        )


def read_user(row: AnyRow) -> User:
    """A row of the users' table."""
    return User(
        account=row.account,
        user_id=row.user_id,
        name=row.name,
        path=row.path,
        created_at=from_micros(row.created_at),
        tags=load_mapping(row.tags),
        boundary_arn=row.boundary_arn,
    )


def _user_values(user: User) -> dict[str, object]:
    return {
        "user_id": user.user_id,
        "account": user.account,
        "name": user.name,
        "name_key": name_key(user.name),
        "path": user.path,
        "created_at": to_micros(user.created_at),
        "tags": dump_mapping(user.tags),
        "boundary_arn": user.boundary_arn,
    }


def read_key(row: AnyRow) -> AccessKey:
    """A row of the table."""
    return AccessKey(
        account=row.account,
        access_key_id=row.access_key_id,
        user_id=row.user_id,
        status=KeyStatus(row.status),
        sealed_secret=row.sealed_secret,
        created_at=from_micros(row.created_at),
    )


def _key_values(key: AccessKey) -> dict[str, object]:
    return {
        "access_key_id": key.access_key_id,
        "account": key.account,
        "user_id": key.user_id,
        "status": key.status.value,
        "sealed_secret": key.sealed_secret,
        "created_at": to_micros(key.created_at),
    }
