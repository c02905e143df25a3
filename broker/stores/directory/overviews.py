"""Pages of users with their credentials and groups, one query per table."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from operator import attrgetter

from sqlalchemy import func, select, union_all

from broker.model.account import AccountId
from broker.model.entities import KeyStatus, User
from broker.model.overview import KeyOverview, UserOverview
from broker.model.page import Page, PageRequest
from broker.stores.directory.entity_tables import name_key
from broker.stores.directory.kinds import USER
from broker.stores.directory.port import DirectoryReader
from broker.stores.directory.statements import under_path
from broker.stores.schema import (
    ACCESS_KEYS,
    GROUP_MEMBERS,
    GROUPS,
    LOGIN_PROFILES,
    MFA_DEVICES,
    PASSKEYS,
    USERS,
    USES,
)
from broker.stores.times import from_micros


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
    owners = {one: one for one in ids}
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
    return await directory.grouped(
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
    return await directory.grouped(
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
    found: dict[str, datetime] = {}
    for row in await directory.rows(
        select(USES.c.subject, func.max(USES.c.at).label("latest"))
        .where(USES.c.account == account, USES.c.subject.in_(list(owners)))
        .group_by(USES.c.subject)
    ):
        at, owner = from_micros(row.latest), owners[row.subject]
        found[owner] = max(at, found.get(owner, at))
    return found
