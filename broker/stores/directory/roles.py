"""Roles, and the inline policies of roles and users."""

from sqlalchemy import delete, or_, select

from broker.model.account import AccountId
from broker.model.entities import InlinePolicy, Role
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
from broker.stores.schema import INLINE_POLICIES, ROLES
from broker.stores.times import from_micros, to_micros


class RoleReads(Reads):
    """See ``DirectoryReader``."""

    async def find_role(self, account: AccountId, name: str) -> Role | None:
        return await self._find_role(account=account, name_key=name_key(name))

    async def find_role_by_id(self, account: AccountId, role_id: str) -> Role | None:
        return await self._find_role(account=account, role_id=role_id)

    async def list_roles(
        self, account: AccountId, path_prefix: str, page: PageRequest
    ) -> Page[Role]:
        statement = select(ROLES).where(
            ROLES.c.account == account, under_path(ROLES.c.path, path_prefix)
        )
        return await self.page(statement, page, ROLES.c.name_key, read_role)

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
        return await self.page(statement, page, ROLES.c.name_key, read_role)

    async def list_roles_naming(
        self, account: AccountId, text: str, limit: int
    ) -> tuple[Role, ...]:
        rows = await self.rows(
            select(ROLES)
            .where(
                ROLES.c.account == account,
                ROLES.c.trust_policy.contains(text, autoescape=True),
            )
            .order_by(ROLES.c.name_key)
            .limit(limit)
        )
        return tuple(map(read_role, rows))

    async def list_inline_policies(
        self, account: AccountId, owner_id: str
    ) -> tuple[InlinePolicy, ...]:
        rows = await self.rows(
            select(INLINE_POLICIES).where(
                INLINE_POLICIES.c.account == account,
                INLINE_POLICIES.c.owner_id == owner_id,
            )
        )
        policies = [
            InlinePolicy(
                account=row.account,
                owner_id=row.owner_id,
                name=row.name,
                document=row.document,
            )
            for row in rows
        ]
        return tuple(sorted(policies, key=lambda p: (name_key(p.name), p.name)))

    async def _find_role(self, **values: object) -> Role | None:
        row = await self.find_by(ROLES, **values)
        return None if row is None else read_role(row)


class RoleWrites(RoleReads, Writes):
    """See ``DirectoryChange``."""

    async def insert_role(self, role: Role) -> None:
        await self.insert_new(ROLES, _role_values(role), "role")

    async def update_role(self, role: Role) -> None:
        await self.update_named(ROLES, _role_values(role), "role", role_id=role.role_id)

    async def delete_role(self, role: Role) -> None:
        await self.run(delete(ROLES).where(ROLES.c.role_id == role.role_id))

    async def put_inline_policy(self, policy: InlinePolicy) -> None:
        await self.delete_inline_policy(policy.account, policy.owner_id, policy.name)
        await self.run(
            INLINE_POLICIES.insert().values(
                owner_id=policy.owner_id,
                name=policy.name,
                account=policy.account,
                document=policy.document,
            )
        )

    async def delete_inline_policy(
        self, account: AccountId, owner_id: str, name: str
    ) -> bool:
        deleted = await self.run(
            delete(INLINE_POLICIES).where(
                INLINE_POLICIES.c.account == account,
                INLINE_POLICIES.c.owner_id == owner_id,
                INLINE_POLICIES.c.name == name,
            )
        )
        return deleted > 0


def read_role(row: AnyRow) -> Role:
    """A row of the table."""
    return Role(
        account=row.account,
        role_id=row.role_id,
        name=row.name,
        path=row.path,
        trust_policy=row.trust_policy,
        created_at=from_micros(row.created_at),
        description=row.description,
        max_session_duration_seconds=row.max_session_duration_seconds,
        tags=load_mapping(row.tags),
        boundary_arn=row.boundary_arn,
    )


def _role_values(role: Role) -> dict[str, object]:
    return {
        "role_id": role.role_id,
        "account": role.account,
        "name": role.name,
        "name_key": name_key(role.name),
        "path": role.path,
        "trust_policy": role.trust_policy,
        "created_at": to_micros(role.created_at),
        "description": role.description,
        "max_session_duration_seconds": role.max_session_duration_seconds,
        "tags": dump_mapping(role.tags),
        "boundary_arn": role.boundary_arn,
    }
