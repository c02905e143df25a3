"""Reads for reports: policies and keys of many entities, last uses, stored reports."""

from collections import Counter
from collections.abc import Collection, Mapping
from datetime import timedelta

from sqlalchemy import LargeBinary, delete, func, select

from broker.model.account import AccountId
from broker.model.entities import LoginProfile
from broker.model.uses import Report, Use
from broker.stores import schema
from broker.stores.directory.kinds import LOGIN_PROFILE, REPORT
from broker.stores.directory.port import DirectoryChange, DirectoryReader
from broker.stores.directory.statements import list_entities_of
from broker.stores.directory.stored import EntityTable
from broker.stores.times import to_micros

SEALED = (
    schema.ACCESS_KEYS.c.sealed_secret,
    schema.LOGIN_PROFILES.c.sealed,
    schema.MFA_DEVICES.c.sealed_seed,
    schema.USER_CREDENTIALS.c.sealed,
    schema.SERVER_CERTIFICATES.c.sealed_key,
    schema.UPSTREAMS.c.sealed_secret,
    schema.OIDC_SIGN_INS.c.sealed,
)
_REPORTS_KEPT = timedelta(days=1)

_USE_TABLE = EntityTable(schema.USES, Use)


async def list_login_profiles(
    directory: DirectoryReader, account: AccountId, user_ids: Collection[str]
) -> tuple[LoginProfile, ...]:
    """Those of these users."""
    columns = schema.LOGIN_PROFILES.c
    # In a form in which SQLite does not go through the whole account for them.
    every = select(schema.LOGIN_PROFILES).where(columns.account.concat("") == account)
    return await list_entities_of(
        directory, LOGIN_PROFILE.stored, every, columns.user_id, user_ids
    )


async def list_uses(
    directory: DirectoryReader,
    account: AccountId,
    subjects: Collection[str] | None = None,
) -> tuple[Use, ...]:
    """Last uses of these subjects (of all for None), the latest first."""
    statement = (
        select(schema.USES)
        .where(schema.USES.c.account == account)
        .order_by(schema.USES.c.at.desc(), schema.USES.c.action)
    )
    if subjects is None:
        return await directory.list_entities(_USE_TABLE, statement)
    uses = await list_entities_of(
        directory, _USE_TABLE, statement, schema.USES.c.subject, subjects
    )
    return tuple(sorted(uses, key=lambda use: use.at, reverse=True))


async def put_report(change: DirectoryChange, report: Report) -> None:
    """Store a report, replacing one of the same id; old reports are deleted."""
    too_old = to_micros(report.made_at - _REPORTS_KEPT)
    await change.run(
        delete(schema.REPORTS).where(
            schema.REPORTS.c.account == report.account,
            (schema.REPORTS.c.report_id == report.report_id)
            | (schema.REPORTS.c.made_at < too_old),
        )
    )
    values = REPORT.stored.values(report)
    await change.run(schema.REPORTS.insert().values(**values))


async def count_sealed(
    directory: DirectoryReader, head_bytes: int
) -> Mapping[bytes, int]:
    """How many secrets in columns of their own begin with the same bytes.

    Of all accounts.
    """
    counter: Counter[bytes] = Counter()
    for column in SEALED:
        head = func.substr(column, 1, head_bytes, type_=LargeBinary)
        counted = select(head.label("head"), func.count().label("number"))
        # A sign-in without a refresh token has nothing sealed.
        shared = counted.where(column.is_not(None), column != b"").group_by(head)
        for row in await directory.rows(shared):
            counter[bytes(row.head)] += row.number
    return counter
