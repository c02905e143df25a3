"""Policies: inline and managed ones, attachments and boundaries, and of resources.

A policy's owner is a user, a role or a group, given by its unique id.
"""

from collections.abc import Collection, Mapping
from operator import attrgetter
from typing import Any

from sqlalchemy import Subquery, func, literal, or_, select, union, union_all

from broker.model.account import AccountId
from broker.model.arn import iam_arn
from broker.model.entities import (
    Group,
    InlinePolicy,
    ManagedPolicy,
    PolicyVersion,
    Role,
    User,
)
from broker.model.page import Page, PageRequest
from broker.stores.directory.kinds import GROUP, MANAGED_POLICY, ROLE, USER, count_uses
from broker.stores.directory.port import DirectoryChange, DirectoryReader
from broker.stores.directory.statements import (
    arn_key,
    batches,
    grouped,
    list_entities_of,
    under_path,
)
from broker.stores.directory.stored import EntityTable, Kind, name_key
from broker.stores.errors import AlreadyExistsError
from broker.stores.schema import (
    ACCOUNTS,
    ATTACHMENTS,
    GROUP_MEMBERS,
    INLINE_POLICIES,
    MANAGED_POLICIES,
    POLICY_VERSIONS,
    RESOURCE_POLICIES,
    ROLES,
    USERS,
)
from broker.stores.times import from_micros, to_micros

INLINE_POLICY_TABLE = EntityTable(INLINE_POLICIES, InlinePolicy)
GRANTING = frozenset(
    table.name
    for table in (
        *(ACCOUNTS, USERS, ROLES, GROUP_MEMBERS),
        *(INLINE_POLICIES, ATTACHMENTS, MANAGED_POLICIES, RESOURCE_POLICIES),
    )
)
"""The tables that say who may do what."""

_OWNERS = ((USERS, USERS.c.user_id, "user"), (ROLES, ROLES.c.role_id, "role"))


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


async def list_attached_policies(
    directory: DirectoryReader, account: AccountId, path_prefix: str, page: PageRequest
) -> Page[ManagedPolicy]:
    """Only those that are attached or used as a boundary."""
    statement = MANAGED_POLICY.stored.listed.where(
        MANAGED_POLICIES.c.account == account,
        under_path(MANAGED_POLICIES.c.path, path_prefix),
        or_(
            count_uses(ATTACHMENTS, "policy_arn") > 0,
            *(count_uses(table, "boundary_arn") > 0 for table, _, _ in _OWNERS),
        ),
    )
    return await directory.page(
        statement, page, MANAGED_POLICY.page_order, MANAGED_POLICY.stored.read_listed
    )


async def list_policy_versions(
    directory: DirectoryReader, account: AccountId, policy_id: str
) -> tuple[PolicyVersion, ...]:
    """All versions, newest first."""
    rows = await directory.rows(
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
    directory: DirectoryReader, account: AccountId, owner_id: str
) -> tuple[str, ...]:
    """ARNs of the managed policies attached to a user or role, by name."""
    attachments_of = await list_attachments_of(directory, account, (owner_id,))
    return attachments_of.get(owner_id, ())


async def list_attached_owners(
    directory: DirectoryReader, account: AccountId, policy_arn: str
) -> tuple[str, ...]:
    """Unique ids of the users and roles that a managed policy is attached to."""
    rows = await directory.rows(
        select(ATTACHMENTS.c.owner_id)
        .where(ATTACHMENTS.c.account == account, ATTACHMENTS.c.policy_arn == policy_arn)
        .order_by(ATTACHMENTS.c.owner_id)
    )
    return tuple(row.owner_id for row in rows)


async def count_attached_owners(
    directory: DirectoryReader, account: AccountId, policy_arns: Collection[str]
) -> Mapping[str, int]:
    """How many users, groups and roles each is attached to; absent for none."""
    rows = await directory.rows(
        select(ATTACHMENTS.c.policy_arn, func.count().label("owners"))
        .where(
            ATTACHMENTS.c.account == account, ATTACHMENTS.c.policy_arn.in_(policy_arns)
        )
        .group_by(ATTACHMENTS.c.policy_arn)
    )
    return {row.policy_arn: row.owners for row in rows}


async def list_bounded_owners(
    directory: DirectoryReader, account: AccountId, policy_arn: str
) -> tuple[str, ...]:
    """Unique ids of the users and roles whose permissions boundary it is."""
    rows = await directory.rows(
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
    directory: DirectoryReader, account: AccountId, policy_arns: Collection[str]
) -> Mapping[str, int]:
    """How many users and roles have each as their boundary; absent for none."""
    bounds = union_all(
        *(
            select(table.c.boundary_arn).where(
                table.c.account == account, table.c.boundary_arn.in_(policy_arns)
            )
            for table, _, _ in _OWNERS
        )
    ).subquery()
    rows = await directory.rows(
        select(bounds.c.boundary_arn, func.count().label("owners")).group_by(
            bounds.c.boundary_arn
        )
    )
    return {row.boundary_arn: row.owners for row in rows}


async def list_used_policy_arns(
    directory: DirectoryReader, account: AccountId, prefix: str
) -> tuple[str, ...]:
    """The ARNs with a prefix of what is attached here or a boundary, in order."""
    used = _used_policies(account)
    arns = used.c.policy_arn
    rows = await directory.rows(
        select(arns).where(func.substr(arns, 1, len(prefix)) == prefix).order_by(arns)
    )
    return tuple(row.policy_arn for row in rows)


async def count_used_policies(directory: DirectoryReader, account: AccountId) -> int:
    """How many policies, AWS's included, are attached or a boundary here."""
    used = _used_policies(account)
    return await directory.number(select(func.count()).select_from(used))


async def find_owner_arns(
    directory: DirectoryReader, unique_ids: Collection[str]
) -> Mapping[str, str]:
    """ARNs of the users and roles of any account that have these unique ids."""
    if not unique_ids:
        return {}
    rows = await directory.rows(
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


async def insert_policy_version(
    change: DirectoryChange, policy: ManagedPolicy, version: PolicyVersion
) -> None:
    """Write a new version; which one is in force says the policy."""
    values = {
        "policy_id": policy.policy_id,
        "version_id": version.version_id,
        "account": policy.account,
        "number": int(version.version_id.removeprefix("v")),
        "document": version.document,
        "created_at": to_micros(version.created_at),
    }
    if not await change.insert_if_free(POLICY_VERSIONS, values):
        raise AlreadyExistsError("policy version")


async def delete_policy_version(
    change: DirectoryChange, policy: ManagedPolicy, version_id: str
) -> None:
    """Remove a version."""
    await change.delete_by(
        POLICY_VERSIONS, policy_id=policy.policy_id, version_id=version_id
    )


async def attach_policy(
    change: DirectoryChange, account: AccountId, owner_id: str, policy_arn: str
) -> bool:
    """Whether it was not attached before."""
    values = {
        "owner_id": owner_id,
        "policy_arn": policy_arn,
        "account": account,
        "name_key": arn_key(policy_arn),
    }
    return await change.insert_if_free(ATTACHMENTS, values)


async def detach_policy(
    change: DirectoryChange, account: AccountId, owner_id: str, policy_arn: str
) -> bool:
    """Whether it was attached."""
    deleted = await change.delete_by(
        ATTACHMENTS, account=account, owner_id=owner_id, policy_arn=policy_arn
    )
    return deleted > 0


async def list_inline_policies_of(
    directory: DirectoryReader, account: AccountId, owner_ids: Collection[str]
) -> Mapping[str, tuple[InlinePolicy, ...]]:
    """Inline policies of several owners; those without any are left out."""
    columns = INLINE_POLICIES.c
    every = select(INLINE_POLICIES).where(columns.account == account)
    return await grouped(
        directory,
        every.order_by(columns.name),
        columns.owner_id,
        owner_ids,
        INLINE_POLICY_TABLE.read,
    )


async def list_attachments_of(
    directory: DirectoryReader, account: AccountId, owner_ids: Collection[str]
) -> Mapping[str, tuple[str, ...]]:
    """ARNs attached to several owners; those without any are left out."""
    columns = ATTACHMENTS.c
    every = select(columns.policy_arn).where(columns.account == account)
    return await grouped(
        directory,
        every.order_by(columns.name_key, columns.policy_arn),
        columns.owner_id,
        owner_ids,
        attrgetter("policy_arn"),
    )


async def find_owners(
    directory: DirectoryReader, account: AccountId, unique_ids: Collection[str]
) -> tuple[User | Role | Group, ...]:
    """The users, roles and groups with these unique ids, in no order."""
    results: list[User | Role | Group] = []
    kinds: tuple[Kind[Any], ...] = (USER, ROLE, GROUP)
    for kind in kinds:
        every = select(kind.table).where(kind.table.c.account == account)
        results += await list_entities_of(
            directory, kind.stored, every, kind.table.c[kind.key], unique_ids
        )
    return tuple(results)


async def list_inline_policies(
    directory: DirectoryReader, account: AccountId, owner_id: str
) -> tuple[InlinePolicy, ...]:
    """All inline policies of a user or role, by name."""
    policies = await directory.list_entities(
        INLINE_POLICY_TABLE,
        select(INLINE_POLICIES).where(
            INLINE_POLICIES.c.account == account, INLINE_POLICIES.c.owner_id == owner_id
        ),
    )
    return tuple(sorted(policies, key=lambda p: (name_key(p.name), p.name)))


async def put_inline_policy(change: DirectoryChange, policy: InlinePolicy) -> None:
    """Write an inline policy, replacing one of the same name."""
    await delete_inline_policy(change, policy.account, policy.owner_id, policy.name)
    values = INLINE_POLICY_TABLE.values(policy)
    await change.run(INLINE_POLICIES.insert().values(**values))


async def delete_inline_policy(
    change: DirectoryChange, account: AccountId, owner_id: str, name: str
) -> bool:
    """Whether there was one."""
    deleted = await change.delete_by(
        INLINE_POLICIES, account=account, owner_id=owner_id, name=name
    )
    return deleted > 0


async def resource_policy_arns(
    directory: DirectoryReader, account: AccountId
) -> frozenset[str]:
    """The ARNs of all resources of the account that have a policy."""
    rows = await directory.rows(
        select(RESOURCE_POLICIES.c.arn).where(RESOURCE_POLICIES.c.account == account)
    )
    return frozenset(row.arn for row in rows)


async def list_holders(
    directory: DirectoryReader,
    account: AccountId,
    owner_ids: Collection[str],
    policy_names: Collection[str],
) -> frozenset[str]:
    """The users and roles of an account that have something of what is named.

    Of the owners, the members of groups; of managed policies (by the name as it is
    compared), whom they are attached to, and whose boundary they are.
    """
    owners = set(owner_ids)
    attached = select(ATTACHMENTS.c.owner_id).where(ATTACHMENTS.c.account == account)
    for some in batches(policy_names):
        named = attached.where(ATTACHMENTS.c.name_key.in_(some))
        owners.update(row.owner_id for row in await directory.rows(named))
    results: set[str] = set()
    members = select(GROUP_MEMBERS.c.user_id).where(GROUP_MEMBERS.c.account == account)
    for some in batches(owners):
        grouped_ids = members.where(GROUP_MEMBERS.c.group_id.in_(some))
        results.update(row.user_id for row in await directory.rows(grouped_ids))
    for table, unique_id, _ in _OWNERS:
        if policy_names:
            bounded = select(unique_id.label("owner_id"), table.c.boundary_arn).where(
                table.c.account == account, table.c.boundary_arn.is_not(None)
            )
            results.update(
                row.owner_id
                for row in await directory.rows(bounded)
                if arn_key(row.boundary_arn) in policy_names
            )
    return frozenset(results | owners)


async def list_owner_ids(
    directory: DirectoryReader, account: AccountId, limit: int
) -> tuple[str, ...]:
    """The unique ids of an account's users and roles, in order."""
    every = union_all(
        *(
            select(unique_id.label("owner_id")).where(table.c.account == account)
            for table, unique_id, _ in _OWNERS
        )
    ).order_by("owner_id")
    return tuple(row.owner_id for row in await directory.rows(every.limit(limit)))


async def documents_in_force(
    directory: DirectoryReader, account: AccountId, names: Collection[str]
) -> Mapping[str, str]:
    """The texts in force of managed policies, by the name as it is compared."""
    results: dict[str, str] = {}
    of_account = MANAGED_POLICY.stored.selected.with_only_columns(
        MANAGED_POLICIES.c.name_key, POLICY_VERSIONS.c.document
    ).where(MANAGED_POLICIES.c.account == account)
    for some in batches(names):
        rows = await directory.rows(
            of_account.where(MANAGED_POLICIES.c.name_key.in_(some))
        )
        results.update((row.name_key, row.document) for row in rows)
    return results


async def list_resource_documents(
    directory: DirectoryReader, account: AccountId, limit: int
) -> tuple[tuple[str, str], ...]:
    """The ARNs of resources with a policy, and its text."""
    columns = RESOURCE_POLICIES.c
    every = select(columns.arn, columns.document).where(columns.account == account)
    rows = await directory.rows(every.order_by(columns.arn).limit(limit))
    return tuple((row.arn, row.document) for row in rows)


async def list_trust_documents(
    directory: DirectoryReader, account: AccountId, limit: int
) -> tuple[tuple[str, str], ...]:
    """The ARNs of an account's roles, and their trust policies."""
    columns = ROLES.c
    every = select(columns.path, columns.name, columns.trust_policy).where(
        columns.account == account
    )
    rows = await directory.rows(every.order_by(columns.role_id).limit(limit))
    return tuple(
        (iam_arn(account, f"role{row.path}{row.name}"), row.trust_policy)
        for row in rows
    )
