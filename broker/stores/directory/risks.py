"""What is old, unused or about to end in an account: the newest of each, bounded."""

from collections.abc import AsyncIterator
from datetime import datetime

from sqlalchemy import and_, func, literal, not_, select, text, union_all

from broker.model.account import AccountId
from broker.model.overview import EndingCredential, OldKey, PolicyText, UnusedRole
from broker.stores.directory.kinds import ROLE
from broker.stores.directory.port import DirectoryReader
from broker.stores.schema import (
    ACCESS_KEYS,
    GROUPS,
    INLINE_POLICIES,
    MANAGED_POLICIES,
    POLICY_VERSIONS,
    ROLES,
    SERVER_CERTIFICATES,
    USER_CREDENTIALS,
    USERS,
    USES,
)
from broker.stores.times import from_micros, to_micros

_SERVICE_ROLES = "/aws-service-role/%"
_ROOT = "root"


def _time(micros: int | None) -> datetime | None:
    return None if micros is None else from_micros(micros)


async def list_unused_roles(
    directory: DirectoryReader, account: AccountId, since: datetime, limit: int
) -> tuple[UnusedRole, ...]:
    """Roles that were there before and were not used since, by name.

    Service-linked roles are left out.
    """
    of_role = and_(USES.c.account == ROLES.c.account, USES.c.subject == ROLES.c.role_id)
    latest = select(func.max(USES.c.at)).where(of_role).scalar_subquery()
    used = select(literal(1)).where(of_role, USES.c.at >= to_micros(since)).exists()
    rows = await directory.rows(
        select(ROLES, latest.label("latest"))
        .where(
            ROLES.c.account == account,
            ROLES.c.created_at < to_micros(since),
            not_(ROLES.c.path.like(_SERVICE_ROLES)),
            not_(used),
        )
        .order_by(ROLES.c.name_key)
        .limit(limit)
    )
    return tuple(UnusedRole(ROLE.stored.read(row), _time(row.latest)) for row in rows)


async def list_old_keys(
    directory: DirectoryReader, account: AccountId, before: datetime, limit: int
) -> tuple[OldKey, ...]:
    """Active access keys that were made before, the oldest first."""
    columns = ACCESS_KEYS.c
    rows = await directory.rows(
        select(columns.access_key_id, columns.created_at, USERS.c.name)
        .join_from(ACCESS_KEYS, USERS, USERS.c.user_id == columns.user_id, isouter=True)
        # As the index has it.
        .where(
            columns.account == account,
            columns.created_at < to_micros(before),
            text("access_keys.status = 'Active'"),
        )
        .order_by(columns.created_at)
        .limit(limit)
    )
    return tuple(
        OldKey(row.access_key_id, row.name or _ROOT, from_micros(row.created_at))
        for row in rows
    )


async def list_ending_credentials(
    directory: DirectoryReader, account: AccountId, before: datetime, limit: int
) -> tuple[EndingCredential, ...]:
    """Server certificates and users' credentials that end before, the first first.

    Those that have ended are among them.
    """
    end = to_micros(before)
    own, certificates = USER_CREDENTIALS.c, SERVER_CERTIFICATES.c
    of_users = (
        select(own.kind, own.credential_id.label("id"), USERS.c.name, own.expires_at)
        .join_from(USER_CREDENTIALS, USERS, USERS.c.user_id == own.user_id)
        .where(own.account == account, own.expires_at < end)
    )
    of_servers = select(
        literal("server-certificate"),
        certificates.certificate_id,
        certificates.name,
        certificates.expires_at,
    ).where(certificates.account == account, certificates.expires_at < end)
    found = union_all(of_users, of_servers).subquery()
    rows = await directory.rows(select(found).order_by(found.c.expires_at).limit(limit))
    return tuple(
        EndingCredential(row.kind, row.id, row.name, from_micros(row.expires_at))
        for row in rows
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
    found = [
        PolicyText("policy", f"{row.path}{row.name}"[1:], "", row.document)
        for row in rows
    ]
    if len(found) < limit:
        found += [one async for one in _inline(directory, account, limit - len(found))]
    return tuple(found)


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
