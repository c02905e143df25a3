"""Overviews of the directory, and what is old, unused or about to end in an account."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from operator import attrgetter

from sqlalchemy import and_, func, literal, not_, select, text, union_all

from broker.model.account import AccountId
from broker.model.entities import KeyStatus, User
from broker.model.overview import (
    EndingCredential,
    KeyOverview,
    OldKey,
    UnusedRole,
    UserOverview,
)
from broker.model.page import Page, PageRequest
from broker.stores.directory.kinds import ROLE, USER
from broker.stores.directory.port import DirectoryReader
from broker.stores.directory.statements import grouped, under_path
from broker.stores.directory.stored import name_key
from broker.stores.schema import (
    ACCESS_KEYS,
    GROUP_MEMBERS,
    GROUPS,
    LOGIN_PROFILES,
    MFA_DEVICES,
    PASSKEYS,
    ROLES,
    SERVER_CERTIFICATES,
    USER_CREDENTIALS,
    USERS,
    USES,
)
from broker.stores.times import from_micros, to_micros

_SERVICE_ROLES = "/aws-service-role/%"
_ROOT = "root"


async def list_user_overviews(
    directory: DirectoryReader,
    account: AccountId,
    path_prefix: str,
    name_part: str,
    page: PageRequest,
) -> Page[UserOverview]:
    """Users whose name has a part (without regard to case) with what is theirs."""
    statement = select(USERS).where(
        USERS.c.account == account, under_path(USERS.c.path, path_prefix)
    )
    if name_part:
        statement = statement.where(
            USERS.c.name_key.contains(name_key(name_part), autoescape=True)
        )
    users = await directory.page(statement, page, USERS.c.name_key, USER.stored.read)
    return Page(await _overviews(directory, account, users.items), users.marker)


async def _overviews(
    directory: DirectoryReader, account: AccountId, users: Sequence[User]
) -> tuple[UserOverview, ...]:
    ids = [user.user_id for user in users]
    if not ids:
        return ()
    groups = await _group_names(directory, account, ids)
    keys = await _keys(directory, account, ids)
    changed = await _password_changes(directory, account, ids)
    with_mfa = await _with_mfa(directory, account, ids)
    owners = {value: value for value in ids}
    for owner, own in keys.items():
        owners |= dict.fromkeys((key.access_key_id for key in own), owner)
    active = await _last_active(directory, account, owners)
    return tuple(
        UserOverview(
            user=user,
            groups=groups.get(user.user_id, ()),
            keys=keys.get(user.user_id, ()),
            password_changed_at=changed.get(user.user_id),
            has_mfa=user.user_id in with_mfa,
            last_active_at=active.get(user.user_id),
        )
        for user in users
    )


async def _group_names(
    directory: DirectoryReader, account: AccountId, ids: Sequence[str]
) -> Mapping[str, tuple[str, ...]]:
    columns = GROUP_MEMBERS.c
    return await grouped(
        directory,
        select(GROUPS.c.name)
        .join(GROUP_MEMBERS, GROUPS.c.group_id == columns.group_id)
        .where(columns.account == account)
        .order_by(GROUPS.c.name_key),
        columns.user_id,
        ids,
        attrgetter("name"),
    )


async def _keys(
    directory: DirectoryReader, account: AccountId, ids: Sequence[str]
) -> Mapping[str, tuple[KeyOverview, ...]]:
    columns = ACCESS_KEYS.c
    return await grouped(
        directory,
        select(columns.access_key_id, columns.status, columns.created_at)
        .where(columns.account == account)
        .order_by(columns.created_at, columns.access_key_id),
        columns.user_id,
        ids,
        lambda row: KeyOverview(
            row.access_key_id, KeyStatus(row.status), from_micros(row.created_at)
        ),
    )


async def _password_changes(
    directory: DirectoryReader, account: AccountId, ids: Sequence[str]
) -> dict[str, datetime]:
    columns = LOGIN_PROFILES.c
    rows = await directory.rows(
        select(columns.user_id, columns.changed_at).where(
            columns.account == account, columns.user_id.in_(ids)
        )
    )
    return {row.user_id: from_micros(row.changed_at) for row in rows}


async def _with_mfa(
    directory: DirectoryReader, account: AccountId, ids: Sequence[str]
) -> set[str]:
    rows = await directory.rows(
        union_all(
            *(
                select(table.c.user_id).where(
                    table.c.account == account, table.c.user_id.in_(ids)
                )
                for table in (MFA_DEVICES, PASSKEYS)
            )
        )
    )
    return {row.user_id for row in rows}


async def _last_active(
    directory: DirectoryReader, account: AccountId, owners: Mapping[str, str]
) -> dict[str, datetime]:
    """By owner; ``owners`` are the users of ids and keys that uses are of."""
    results: dict[str, datetime] = {}
    for row in await directory.rows(
        select(USES.c.subject, func.max(USES.c.at).label("latest"))
        .where(USES.c.account == account, USES.c.subject.in_(list(owners)))
        .group_by(USES.c.subject)
    ):
        at, owner = from_micros(row.latest), owners[row.subject]
        results[owner] = max(at, results.get(owner, at))
    return results


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
    subquery = union_all(of_users, of_servers).subquery()
    rows = await directory.rows(
        select(subquery).order_by(subquery.c.expires_at).limit(limit)
    )
    return tuple(
        EndingCredential(row.kind, row.id, row.name, from_micros(row.expires_at))
        for row in rows
    )
