"""Users and their console passwords."""

from collections.abc import Collection
from typing import Protocol

from broker.model.account import AccountId
from broker.model.entities import LoginProfile, User
from broker.model.overview import UserOverview
from broker.model.page import Page, PageRequest
from broker.stores.directory.port.entities import EntityReader


class UserReader(Protocol):
    """Users by name and by unique id."""

    async def find_user(self, account: AccountId, name: str) -> User | None: ...

    async def find_user_by_id(
        self, account: AccountId, user_id: str
    ) -> User | None: ...

    async def list_users(
        self, account: AccountId, path_prefix: str, page: PageRequest
    ) -> Page[User]: ...

    async def list_user_overviews(
        self, account: AccountId, path_prefix: str, name_part: str, page: PageRequest
    ) -> Page[UserOverview]:
        """Users whose name has a part (without regard to case) with what is theirs."""
        ...


class LoginProfileReader(Protocol):
    """Console passwords, of users and of the root (by account number)."""

    async def find_login_profile(
        self, account: AccountId, user_id: str
    ) -> LoginProfile | None: ...

    async def list_login_profiles(
        self, account: AccountId, user_ids: Collection[str] | None = None
    ) -> tuple[LoginProfile, ...]:
        """Those of these users; of all for None."""
        ...


class UserChange(UserReader, EntityReader, Protocol):
    """Writes to users."""

    async def insert_user(self, user: User) -> None: ...

    async def update_user(self, user: User) -> None: ...

    async def delete_user(self, user: User) -> None: ...


class LoginProfileChange(UserReader, LoginProfileReader, EntityReader, Protocol):
    """Writes to console passwords."""

    async def insert_login_profile(self, profile: LoginProfile) -> None: ...

    async def update_login_profile(self, profile: LoginProfile) -> None: ...

    async def delete_login_profile(self, profile: LoginProfile) -> None: ...
