"""*Credential report*: every user's credentials, with their ages and warnings."""

import csv
import io
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from operator import attrgetter

from msgspec import Struct
from msgspec.structs import replace
from starlette.responses import Response

from broker.administration.listing import Found, ListPage, Query
from broker.administration.reading import OLD_DAYS, days_since
from broker.console.visit import BOTH, PageRoute, Visit, go
from broker.errors import ReportExpired, ReportNotPresent
from broker.kinds.credential_report import ROOT, VALID_FOR

REPORT = "/console/credential-report"
DOWNLOAD = "/console/credential-report/download"
SECTION = "credential-report"
_UNUSED = timedelta(days=OLD_DAYS)
_ABSENT = frozenset({"N/A", "no_information", "not_supported", ""})


class CredentialReportKey(Struct, frozen=True):
    """One of a user's two access keys."""

    active: bool
    days: int
    last_used: datetime | None


class CredentialReportRow(Struct, frozen=True):
    """A parsed line of the report; ``warnings`` are ours."""

    user: str
    is_root: bool
    created_at: datetime | None
    password: bool
    password_used: datetime | None
    password_days: int | None
    mfa: bool
    keys: tuple[CredentialReportKey, ...]
    warnings: tuple[str, ...]


async def _page(visit: Visit) -> Response:
    if visit.posted:
        with visit.attempt():
            await visit.iam("GenerateCredentialReport")
            return go(REPORT)
    return await _LIST.answer(visit, hours=int(VALID_FOR / timedelta(hours=1)))


async def _read(visit: Visit, query: Query) -> Found:
    try:
        report = await visit.iam("GetCredentialReport")
    except (ReportNotPresent, ReportExpired) as error:
        expired = isinstance(error, ReportExpired)
        return Found((), more={"made_at": None, "expired": expired})
    rows = read_report(report["Content"].decode(), visit.now)
    return Found(
        [row for row in rows if row.warnings or not query.filters["only"]],
        more={
            "made_at": report["GeneratedTime"],
            "with_warnings": sum(bool(row.warnings) for row in rows),
        },
    )


_LIST = ListPage(
    path=REPORT,
    here=SECTION,
    template="admin/credential_report.html",
    read=_read,
    searched=attrgetter("user"),
    by={
        # As AWS's report has it: the root user first.
        "user": lambda row: (not row.is_root, row.user.lower()),
        "mfa": attrgetter("mfa"),
        "password": attrgetter("password_days"),
        "keys": lambda row: max((key.days for key in row.keys), default=None),
        "created": attrgetter("created_at"),
    },
    order="user",
    filters=("only",),
)


async def _download(visit: Visit) -> Response:
    report = await visit.iam("GetCredentialReport")
    day = report["GeneratedTime"].strftime("%Y-%m-%d")
    name = f"credential-report-{visit.who.session.account}-{day}.csv"
    return Response(
        report["Content"],
        media_type="text/csv; charset=utf-8",
        headers={
            "cache-control": "no-store",
            "content-disposition": f'attachment; filename="{name}"',
        },
    )


def read_report(text: str, now: datetime) -> list[CredentialReportRow]:
    """Parse a report into rows with warnings; the root user's is first."""
    return [_row(line, now) for line in csv.DictReader(io.StringIO(text))]


def _row(line: Mapping[str, str], now: datetime) -> CredentialReportRow:
    is_root = line["user"] == ROOT
    changed = _read_time(line["password_last_changed"])
    row = CredentialReportRow(
        user=line["user"],
        is_root=is_root,
        created_at=_read_time(line["user_creation_time"]),
        password=_flag(line["password_enabled"]),
        password_used=_read_time(line["password_last_used"]),
        password_days=None if changed is None else days_since(changed, now),
        mfa=_flag(line["mfa_active"]),
        keys=tuple(_keys(line, now)),
        warnings=(),
    )
    return replace(row, warnings=tuple(_warnings(row, changed, now)))


def _keys(line: Mapping[str, str], now: datetime) -> Iterable[CredentialReportKey]:
    for number in (1, 2):
        made = _read_time(line[f"access_key_{number}_last_rotated"])
        if made is not None:
            yield CredentialReportKey(
                _flag(line[f"access_key_{number}_active"]),
                days_since(made, now),
                _read_time(line[f"access_key_{number}_last_used_date"]),
            )


def _warnings(
    row: CredentialReportRow, changed: datetime | None, now: datetime
) -> Iterable[str]:
    active = [key for key in row.keys if key.active]
    if row.is_root and active:
        yield "The root user has an access key"
    if row.password and not row.mfa:
        yield "Password without MFA"
    if row.password:
        last = row.password_used or changed
        if last is not None and now - last >= _UNUSED:
            yield f"Password not used for {days_since(last, now)} days"
    for key in active:
        if key.days >= OLD_DAYS:
            yield f"Key is {key.days} days old"
        if key.last_used is None and key.days >= OLD_DAYS:
            yield "Key was never used"
        elif key.last_used is not None and now - key.last_used >= _UNUSED:
            yield f"Key not used for {days_since(key.last_used, now)} days"


def _flag(cell: str) -> bool:
    return cell == "true"


def _read_time(cell: str) -> datetime | None:
    return None if cell in _ABSENT else datetime.fromisoformat(cell)


PAGES = (
    PageRoute(REPORT, SECTION, _page, BOTH),
    PageRoute(DOWNLOAD, SECTION, _download),
)
