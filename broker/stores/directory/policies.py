"""Managed policies, their versions, and what they are attached to."""

from collections.abc import Collection, Mapping

from sqlalchemy import (
    Subquery,
    func,
    literal,
    or_,
    select,
    union,
    union_all,
)

from broker.model.account import AccountId
from broker.model.arn import iam_arn
from broker.model.entities import ManagedPolicy, PolicyVersion
from broker.model.page import Page, PageRequest
from broker.stores.directory.kinds import MANAGED_POLICY, count_uses
from broker.stores.directory.statements import (
    arn_key,
    under_path,
)
from broker.stores.directory.store import EntityReads, EntityWrites
from broker.stores.schema import (
    ATTACHMENTS,
    MANAGED_POLICIES,
    POLICY_VERSIONS,
    ROLES,
    USERS,
)
from broker.stores.times import from_micros, to_micros

_OWNERS = ((USERS, USERS.c.user_id, "user"), (ROLES, ROLES.c.role_id, "role"))


class PolicyReads(EntityReads):
    """See ``DirectoryReader``."""

    async def find_policy(self, account: AccountId, name: str) -> ManagedPolicy | None:
        return await self.named(MANAGED_POLICY, account, name)

    async def list_policies(
        self,
        account: AccountId,
        path_prefix: str,
        page: PageRequest,
        *,
        only_attached: bool = False,
    ) -> Page[ManagedPolicy]:
        statement = MANAGED_POLICY.stored.selected.where(
            MANAGED_POLICIES.c.account == account,
            under_path(MANAGED_POLICIES.c.path, path_prefix),
        )
        if only_attached:
            statement = statement.where(
                or_(
                    count_uses(ATTACHMENTS, "policy_arn") > 0,
                    *(count_uses(table, "boundary_arn") > 0 for table, _, _ in _OWNERS),
                )
            )
        return await self.page(
            statement, page, MANAGED_POLICIES.c.name_key, MANAGED_POLICY.stored.read
        )

    async def list_policy_versions(
        self, account: AccountId, policy_id: str
    ) -> tuple[PolicyVersion, ...]:
        rows = await self.rows(
            select(POLICY_VERSIONS)
            .where(
                POLICY_VERSIONS.c.account == account,
                POLICY_VERSIONS.c.policy_id == policy_id,
            )
            .order_by(POLICY_VERSIONS.c.number.desc())
        )
        return tuple(
            PolicyVersion(
                version_id=row.version_id,
                document=row.document,
                created_at=from_micros(row.created_at),
            )
            for row in rows
        )

    async def list_attachments(
        self, account: AccountId, owner_id: str
    ) -> tuple[str, ...]:
        rows = await self.rows(
            select(ATTACHMENTS.c.policy_arn)
            .where(ATTACHMENTS.c.account == account, ATTACHMENTS.c.owner_id == owner_id)
            .order_by(ATTACHMENTS.c.name_key, ATTACHMENTS.c.policy_arn)
        )
        return tuple(row.policy_arn for row in rows)

    async def list_attached_owners(
        self, account: AccountId, policy_arn: str
    ) -> tuple[str, ...]:
        rows = await self.rows(
            select(ATTACHMENTS.c.owner_id)
            .where(
                ATTACHMENTS.c.account == account,
                ATTACHMENTS.c.policy_arn == policy_arn,
            )
            .order_by(ATTACHMENTS.c.owner_id)
        )
        return tuple(row.owner_id for row in rows)

    async def count_attached_owners(
        self, account: AccountId, policy_arns: Collection[str]
    ) -> Mapping[str, int]:
        rows = await self.rows(
            select(ATTACHMENTS.c.policy_arn, func.count().label("owners"))
            .where(
                ATTACHMENTS.c.account == account,
                ATTACHMENTS.c.policy_arn.in_(policy_arns),
            )
            .group_by(ATTACHMENTS.c.policy_arn)
        )
        return {row.policy_arn: row.owners for row in rows}

    async def list_bounded_owners(
        self, account: AccountId, policy_arn: str
    ) -> tuple[str, ...]:
        rows = await self.rows(
            union_all(
                *(
                    select(unique_id.label("owner_id")).where(
                        table.c.account == account, table.c.boundary_arn == policy_arn
                    )
                    for table, unique_id, _ in _OWNERS
                )
            ).order_by("owner_id")
        )
        return tuple(row.owner_id for row in rows)

    async def count_bounded_owners(
        self, account: AccountId, policy_arns: Collection[str]
    ) -> Mapping[str, int]:
        bounds = union_all(
            *(
                select(table.c.boundary_arn).where(
                    table.c.account == account, table.c.boundary_arn.in_(policy_arns)
                )
                for table, _, _ in _OWNERS
            )
        ).subquery()
        rows = await self.rows(
            select(bounds.c.boundary_arn, func.count().label("owners")).group_by(
                bounds.c.boundary_arn
            )
        )
        return {row.boundary_arn: row.owners for row in rows}

    async def list_used_policy_arns(
        self, account: AccountId, prefix: str
    ) -> tuple[str, ...]:
        used = _used_policies(account)
        arns = used.c.policy_arn
        rows = await self.rows(
            select(arns)
            .where(func.substr(arns, 1, len(prefix)) == prefix)
            .order_by(arns)
        )
        return tuple(row.policy_arn for row in rows)

    async def count_used_policies(self, account: AccountId) -> int:
        used = _used_policies(account)
        row = await self.find_row(
            select(func.count().label("number")).select_from(used)
        )
        return 0 if row is None else int(row.number)

    async def find_owner_arns(self, unique_ids: Collection[str]) -> Mapping[str, str]:
        if not unique_ids:
            return {}
        rows = await self.rows(
            union_all(
                *(
                    select(
                        column.label("owner_id"),
                        literal(kind).label("kind"),
                        table.c.account,
                        table.c.path,
                        table.c.name,
                    ).where(column.in_(unique_ids))
                    for table, column, kind in _OWNERS
                )
            )
        )
        return {
            row.owner_id: iam_arn(row.account, f"{row.kind}{row.path}{row.name}")
            for row in rows
        }


class PolicyWrites(PolicyReads, EntityWrites):
    """See ``DirectoryChange``."""

    async def insert_policy(self, policy: ManagedPolicy) -> None:
        await self.insert_new(
            MANAGED_POLICIES, MANAGED_POLICY.stored.values(policy), "policy"
        )
        await self.insert_policy_version(policy, policy.default_version)

    async def update_policy(self, policy: ManagedPolicy) -> None:
        await self.update_named(
            MANAGED_POLICIES,
            MANAGED_POLICY.stored.values(policy),
            "policy",
            "policy_id",
        )

    async def delete_policy(self, policy: ManagedPolicy) -> None:
        for table in (POLICY_VERSIONS, MANAGED_POLICIES):
            await self.delete_by(table, policy_id=policy.policy_id)

    async def insert_policy_version(
        self, policy: ManagedPolicy, version: PolicyVersion
    ) -> None:
        values = {
            "policy_id": policy.policy_id,
            "version_id": version.version_id,
            "account": policy.account,
            "number": int(version.version_id.removeprefix("v")),
            "document": version.document,
            "created_at": to_micros(version.created_at),
        }
        await self.insert_new(POLICY_VERSIONS, values, "policy version")

    async def delete_policy_version(
        self, policy: ManagedPolicy, version_id: str
    ) -> None:
        await self.delete_by(
            POLICY_VERSIONS, policy_id=policy.policy_id, version_id=version_id
        )

    async def attach_policy(
        self, account: AccountId, owner_id: str, policy_arn: str
    ) -> bool:
        values = {
            "owner_id": owner_id,
            "policy_arn": policy_arn,
            "account": account,
            "name_key": arn_key(policy_arn),
        }
        return await self.insert_if_free(ATTACHMENTS, values)

    async def detach_policy(
        self, account: AccountId, owner_id: str, policy_arn: str
    ) -> bool:
        deleted = await self.delete_by(
            ATTACHMENTS, account=account, owner_id=owner_id, policy_arn=policy_arn
        )
        return deleted > 0


def _used_policies(account: AccountId) -> Subquery:
    """The ARN of every policy that is attached in an account, or a boundary, once."""
    return union(
        select(ATTACHMENTS.c.policy_arn).where(ATTACHMENTS.c.account == account),
        *(
            select(table.c.boundary_arn).where(
                table.c.account == account, table.c.boundary_arn.is_not(None)
            )
            for table, _, _ in _OWNERS
        ),
    ).subquery()
