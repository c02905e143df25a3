"""The texts of all policies of an account."""

from collections.abc import AsyncIterator

from sqlalchemy import and_, select

from broker.model.account import AccountId
from broker.model.overview import (
    PolicyText,
)
from broker.stores.directory.port import DirectoryReader
from broker.stores.schema import (
    GROUPS,
    INLINE_POLICIES,
    MANAGED_POLICIES,
    POLICY_VERSIONS,
    ROLES,
    USERS,
)


async def list_policy_texts(
    directory: DirectoryReader, account: AccountId, limit: int
) -> tuple[PolicyText, ...]:
    """Managed policies by name (in their default version), then inline ones."""
    managed, versions = MANAGED_POLICIES.c, POLICY_VERSIONS.c
    rows = await directory.rows(
        select(managed.path, managed.name, versions.document)
        .join_from(
            MANAGED_POLICIES,
            POLICY_VERSIONS,
            and_(
                versions.policy_id == managed.policy_id,
                versions.version_id == managed.default_version_id,
            ),
        )
        .where(managed.account == account)
        .order_by(managed.name_key)
        .limit(limit)
    )
    texts = [
        PolicyText("policy", f"{row.path}{row.name}"[1:], "", row.document)
        for row in rows
    ]
    if len(texts) < limit:
        texts += [
            policy_text
            async for policy_text in _inline(directory, account, limit - len(texts))
        ]
    return tuple(texts)


async def _inline(
    directory: DirectoryReader, account: AccountId, limit: int
) -> AsyncIterator[PolicyText]:
    inline = INLINE_POLICIES.c
    owners = (
        ("role", ROLES, ROLES.c.role_id),
        ("group", GROUPS, GROUPS.c.group_id),
        ("user", USERS, USERS.c.user_id),
    )
    for kind, table, owner_id in owners:
        rows = await directory.rows(
            select(table.c.name.label("owner"), inline.name, inline.document)
            .join_from(INLINE_POLICIES, table, owner_id == inline.owner_id)
            .where(inline.account == account)
            .limit(limit)
        )
        for row in rows:
            yield PolicyText(kind, row.name, row.owner, row.document)
        limit -= len(rows)
