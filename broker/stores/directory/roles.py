"""Roles, and the inline policies of roles and users."""

from sqlalchemy import or_, select

from broker.model.account import AccountId
from broker.model.entities import InlinePolicy, Role
from broker.model.page import Page, PageRequest
from broker.stores.directory.entity_tables import (
    EntityTable,
    name_key,
)
from broker.stores.directory.kinds import ROLE
from broker.stores.directory.statements import Reads, Writes, under_path
from broker.stores.schema import INLINE_POLICIES, ROLES

INLINE_POLICY_TABLE = EntityTable(INLINE_POLICIES, InlinePolicy)


class RoleReads(Reads):
    """See ``DirectoryReader``."""

    async def find_role(self, account: AccountId, name: str) -> Role | None:
        return await self.find_entity(
            ROLE.stored, account=account, name_key=name_key(name)
        )

    async def find_role_by_id(self, account: AccountId, role_id: str) -> Role | None:
        return await self.find_entity(ROLE.stored, account=account, role_id=role_id)

    async def list_roles(
        self, account: AccountId, path_prefix: str, page: PageRequest
    ) -> Page[Role]:
        statement = select(ROLES).where(
            ROLES.c.account == account, under_path(ROLES.c.path, path_prefix)
        )
        return await self.page(statement, page, ROLES.c.name_key, ROLE.stored.read)

    async def list_roles_with(
        self, account: AccountId, part: str, page: PageRequest
    ) -> Page[Role]:
        statement = select(ROLES).where(
            ROLES.c.account == account,
            or_(
                ROLES.c.name_key.contains(name_key(part), autoescape=True),
                ROLES.c.description.icontains(part, autoescape=True),
            ),
        )
        return await self.page(statement, page, ROLES.c.name_key, ROLE.stored.read)

    async def list_roles_naming(
        self, account: AccountId, text: str, limit: int
    ) -> tuple[Role, ...]:
        return await self.list_entities(
            ROLE.stored,
            select(ROLES)
            .where(
                ROLES.c.account == account,
                ROLES.c.trust_policy.contains(text, autoescape=True),
            )
            .order_by(ROLES.c.name_key)
            .limit(limit),
        )

    async def list_inline_policies(
        self, account: AccountId, owner_id: str
    ) -> tuple[InlinePolicy, ...]:
        policies = await self.list_entities(
            INLINE_POLICY_TABLE,
            select(INLINE_POLICIES).where(
                INLINE_POLICIES.c.account == account,
                INLINE_POLICIES.c.owner_id == owner_id,
            ),
        )
        return tuple(sorted(policies, key=lambda p: (name_key(p.name), p.name)))


class RoleWrites(RoleReads, Writes):
    """See ``DirectoryChange``."""

    async def insert_role(self, role: Role) -> None:
        await self.insert_entity(ROLE.stored, role, "role")

    async def update_role(self, role: Role) -> None:
        await self.update_named(ROLES, ROLE.stored.values(role), "role", "role_id")

    async def delete_role(self, role: Role) -> None:
        await self.delete_by(ROLES, role_id=role.role_id)

    async def put_inline_policy(self, policy: InlinePolicy) -> None:
        await self.delete_inline_policy(policy.account, policy.owner_id, policy.name)
        values = INLINE_POLICY_TABLE.values(policy)
        await self.run(INLINE_POLICIES.insert().values(**values))

    async def delete_inline_policy(
        self, account: AccountId, owner_id: str, name: str
    ) -> bool:
        deleted = await self.delete_by(
            INLINE_POLICIES, account=account, owner_id=owner_id, name=name
        )
        return deleted > 0
