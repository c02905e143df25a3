"""Reads for reports: policies and keys of many entities, last uses, stored reports."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import timedelta

from sqlalchemy import delete, select

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
from broker.stores.directory.groups import read_group, read_profile
from broker.stores.directory.roles import read_role
from broker.stores.directory.statements import AnyRow, Reads, Writes
from broker.stores.directory.users import read_key, read_user
from broker.stores.schema import (
    ACCESS_KEYS,
    ATTACHMENTS,
    GROUPS,
    INLINE_POLICIES,
    LOGIN_PROFILES,
    REPORTS,
    ROLES,
    USERS,
    USES,
)
from broker.stores.times import from_micros, to_micros

_IDS_A_QUERY = 500
_REPORTS_KEPT = timedelta(days=1)


class ReportReads(Reads):
    """See ``DirectoryReader``."""

    async def list_inline_policies_of(
        self, account: AccountId, owner_ids: Collection[str]
    ) -> Mapping[str, tuple[InlinePolicy, ...]]:
        found: dict[str, list[InlinePolicy]] = defaultdict(list)
        for some in _batches(owner_ids):
            rows = await self.rows(
                select(INLINE_POLICIES)
                .where(
                    INLINE_POLICIES.c.account == account,
                    INLINE_POLICIES.c.owner_id.in_(some),
                )
                .order_by(INLINE_POLICIES.c.name)
            )
            for row in rows:
                found[row.owner_id].append(
                    InlinePolicy(
                        account=row.account,
                        owner_id=row.owner_id,
                        name=row.name,
                        document=row.document,
                    )
                )
        return {owner_id: tuple(policies) for owner_id, policies in found.items()}

    async def list_attachments_of(
        self, account: AccountId, owner_ids: Collection[str]
    ) -> Mapping[str, tuple[str, ...]]:
        found: dict[str, list[str]] = defaultdict(list)
        for some in _batches(owner_ids):
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
        for some in _batches(unique_ids):
            users = select(USERS).where(
                USERS.c.account == account, USERS.c.user_id.in_(some)
            )
            roles = select(ROLES).where(
                ROLES.c.account == account, ROLES.c.role_id.in_(some)
            )
            groups = select(GROUPS).where(
                GROUPS.c.account == account, GROUPS.c.group_id.in_(some)
            )
            found += map(read_user, await self.rows(users))
            found += map(read_role, await self.rows(roles))
            found += map(read_group, await self.rows(groups))
        return tuple(found)

    async def list_account_keys(self, account: AccountId) -> tuple[AccessKey, ...]:
        rows = await self.rows(
            select(ACCESS_KEYS)
            .where(ACCESS_KEYS.c.account == account)
            .order_by(ACCESS_KEYS.c.created_at, ACCESS_KEYS.c.access_key_id)
        )
        return tuple(read_key(row) for row in rows)

    async def list_login_profiles(self, account: AccountId) -> tuple[LoginProfile, ...]:
        rows = await self.rows(
            select(LOGIN_PROFILES).where(LOGIN_PROFILES.c.account == account)
        )
        return tuple(read_profile(row) for row in rows)

    async def list_uses(
        self, account: AccountId, subjects: Collection[str] | None = None
    ) -> tuple[Use, ...]:
        statement = (
            select(USES)
            .where(USES.c.account == account)
            .order_by(USES.c.at.desc(), USES.c.action)
        )
        if subjects is None:
            return tuple(map(_read_use, await self.rows(statement)))
        found: list[Use] = []
        for some in _batches(subjects):
            rows = await self.rows(statement.where(USES.c.subject.in_(some)))
            found += map(_read_use, rows)
        return tuple(sorted(found, key=lambda use: use.at, reverse=True))

    async def find_report(self, account: AccountId, report_id: str) -> Report | None:
        row = await self.find_by(REPORTS, account=account, report_id=report_id)
        if row is None:
            return None
        return Report(
            account=row.account,
            report_id=row.report_id,
            made_at=from_micros(row.made_at),
            body=row.body,
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
        await self.run(
            REPORTS.insert().values(
                account=report.account,
                report_id=report.report_id,
                made_at=to_micros(report.made_at),
                body=report.body,
            )
        )


def _batches(ids: Collection[str]) -> list[list[str]]:
    wanted = list(ids)
    return [
        wanted[start : start + _IDS_A_QUERY]
        for start in range(0, len(wanted), _IDS_A_QUERY)
    ]


def _read_use(row: AnyRow) -> Use:
    return Use(
        account=row.account,
        subject=row.subject,
        service=row.service,
        action=row.action,
        at=from_micros(row.at),
        region=row.region,
    )
