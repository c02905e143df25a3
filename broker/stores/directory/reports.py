"""Reads for reports: policies and keys of many entities, last uses, stored reports."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from datetime import timedelta

from sqlalchemy import LargeBinary, delete, func, select

from broker.model.account import AccountId
from broker.model.entities import (
    AccessKey,
    Group,
    InlinePolicy,
    LoginProfile,
    Role,
    User,
)
from broker.model.uses import Report, Use
from broker.stores.directory.entity_tables import TIME, EntityTable
from broker.stores.directory.kinds import (
    ACCESS_KEY,
    GROUP,
    LOGIN_PROFILE,
    REPORT,
    ROLE,
    USER,
)
from broker.stores.directory.roles import INLINE_POLICY_TABLE
from broker.stores.directory.statements import Reads, Writes, batches
from broker.stores.schema import (
    ACCESS_KEYS,
    ATTACHMENTS,
    GROUPS,
    INLINE_POLICIES,
    LOGIN_PROFILES,
    MFA_DEVICES,
    REPORTS,
    ROLES,
    SERVER_CERTIFICATES,
    UPSTREAMS,
    USER_CREDENTIALS,
    USERS,
    USES,
)
from broker.stores.times import to_micros

SEALED = (
    ACCESS_KEYS.c.sealed_secret,
    LOGIN_PROFILES.c.sealed,
    MFA_DEVICES.c.sealed_seed,
    USER_CREDENTIALS.c.sealed,
    SERVER_CERTIFICATES.c.sealed_key,
    UPSTREAMS.c.sealed_secret,
)
_REPORTS_KEPT = timedelta(days=1)

_USE_TABLE = EntityTable(USES, Use, at=TIME)


class ReportReads(Reads):
    """See ``DirectoryReader``."""

    async def list_inline_policies_of(
        self, account: AccountId, owner_ids: Collection[str]
    ) -> Mapping[str, tuple[InlinePolicy, ...]]:
        found: dict[str, list[InlinePolicy]] = defaultdict(list)
        for some in batches(owner_ids):
            rows = await self.rows(
                select(INLINE_POLICIES)
                .where(
                    INLINE_POLICIES.c.account == account,
                    INLINE_POLICIES.c.owner_id.in_(some),
                )
                .order_by(INLINE_POLICIES.c.name)
            )
            for row in rows:
                found[row.owner_id].append(INLINE_POLICY_TABLE.read(row))
        return {owner_id: tuple(policies) for owner_id, policies in found.items()}

    async def list_attachments_of(
        self, account: AccountId, owner_ids: Collection[str]
    ) -> Mapping[str, tuple[str, ...]]:
        found: dict[str, list[str]] = defaultdict(list)
        for some in batches(owner_ids):
            rows = await self.rows(
                select(ATTACHMENTS)
                .where(
                    ATTACHMENTS.c.account == account, ATTACHMENTS.c.owner_id.in_(some)
                )
                .order_by(ATTACHMENTS.c.name_key, ATTACHMENTS.c.policy_arn)
            )
            for row in rows:
                found[row.owner_id].append(row.policy_arn)
        return {owner_id: tuple(arns) for owner_id, arns in found.items()}

    async def find_owners(
        self, account: AccountId, unique_ids: Collection[str]
    ) -> tuple[User | Role | Group, ...]:
        found: list[User | Role | Group] = []
        for some in batches(unique_ids):
            users = select(USERS).where(
                USERS.c.account == account, USERS.c.user_id.in_(some)
            )
            roles = select(ROLES).where(
                ROLES.c.account == account, ROLES.c.role_id.in_(some)
            )
            groups = select(GROUPS).where(
                GROUPS.c.account == account, GROUPS.c.group_id.in_(some)
            )
            found += map(USER.stored.read, await self.rows(users))
            found += map(ROLE.stored.read, await self.rows(roles))
            found += map(GROUP.stored.read, await self.rows(groups))
        return tuple(found)

    async def list_account_keys(self, account: AccountId) -> tuple[AccessKey, ...]:
        return await self.list_entities(
            ACCESS_KEY.stored,
            select(ACCESS_KEYS)
            .where(ACCESS_KEYS.c.account == account)
            .order_by(ACCESS_KEYS.c.created_at, ACCESS_KEYS.c.access_key_id),
        )

    async def list_login_profiles(
        self, account: AccountId, user_ids: Collection[str] | None = None
    ) -> tuple[LoginProfile, ...]:
        stored, columns = LOGIN_PROFILE.stored, LOGIN_PROFILES.c
        every = select(LOGIN_PROFILES)
        if user_ids is None:
            every = every.where(columns.account == account)
            return await self.list_entities(stored, every)
        # In a form in which SQLite does not go through the whole account for them.
        every = every.where(columns.account.concat("") == account)
        return await self.list_entities_of(stored, every, columns.user_id, user_ids)

    async def list_uses(
        self, account: AccountId, subjects: Collection[str] | None = None
    ) -> tuple[Use, ...]:
        statement = (
            select(USES)
            .where(USES.c.account == account)
            .order_by(USES.c.at.desc(), USES.c.action)
        )
        if subjects is None:
            return await self.list_entities(_USE_TABLE, statement)
        found = await self.list_entities_of(
            _USE_TABLE, statement, USES.c.subject, subjects
        )
        return tuple(sorted(found, key=lambda use: use.at, reverse=True))

    async def count_sealed(self, head_bytes: int) -> Mapping[bytes, int]:
        found: Counter[bytes] = Counter()
        for column in SEALED:
            head = func.substr(column, 1, head_bytes, type_=LargeBinary)
            counted = select(head.label("head"), func.count().label("number"))
            shared = counted.where(column.is_not(None)).group_by(head)
            for row in await self.rows(shared):
                found[bytes(row.head)] += row.number
        return found

    async def find_report(self, account: AccountId, report_id: str) -> Report | None:
        return await self.find_entity(
            REPORT.stored, account=account, report_id=report_id
        )


class ReportWrites(ReportReads, Writes):
    """See ``DirectoryChange``."""

    async def put_report(self, report: Report) -> None:
        too_old = to_micros(report.made_at - _REPORTS_KEPT)
        await self.run(
            delete(REPORTS).where(
                REPORTS.c.account == report.account,
                (REPORTS.c.report_id == report.report_id)
                | (REPORTS.c.made_at < too_old),
            )
        )
        values = REPORT.stored.values(report)
        await self.run(REPORTS.insert().values(**values))
