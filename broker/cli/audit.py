"""``broker audit``: search the audit records."""

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec.structs import replace

from broker.audit.export import COLUMNS, csv_lines, csv_row, record_members
from broker.cli.operator import AccountOption, with_installation
from broker.cli.terminal import (
    format_time,
    parse_time,
    say,
    say_json,
    say_lines,
    say_table,
)
from broker.model.audit import (
    ISSUING_KINDS,
    ActivityCounts,
    AuditFilter,
    AuditRecord,
    Outcome,
    RecordKind,
)
from broker.model.page import PageRequest
from broker.runtime.clock import SystemClock
from broker.stores.ledger.port import Ledger

if TYPE_CHECKING:
    from broker.compose.installation import Installation

_PAGE = 500
_FOLLOW_SECONDS = 2.0
_LATE = timedelta(seconds=10)
_FOLLOWED_MAX = 5000
"""Records that are looked at in one turn; of more, the oldest are not shown."""

_SEEN_MAX = 3 * _FOLLOWED_MAX
_SUMMARY = timedelta(days=7)
_COLOURS = {Outcome.DENIED: "yellow", Outcome.REFUSED: "red", Outcome.ERROR: "red"}
_HEADINGS = (
    "When",
    "Account",
    "Action",
    "Resource",
    "Principal",
    "From",
    "Outcome",
    "Request ID",
)
_ISSUE_HEADINGS = (
    "When",
    "Session",
    "Source identity",
    "From",
    "By",
    "Until",
    "Access key",
    "Request ID",
)

Show = Callable[[list[AuditRecord]], None]


def audit(
    *,
    request_id: Annotated[
        str, typer.Option(metavar="ID", help="A call's request ID.")
    ] = "",
    account: AccountOption = None,
    principal: Annotated[
        str, typer.Option(metavar="ARN", help="Who called, by the ARN.")
    ] = "",
    key: Annotated[
        str,
        typer.Option(metavar="KEY", help="An access key ID that signed or was issued."),
    ] = "",
    action: Annotated[
        str,
        typer.Option(
            metavar="ACTION",
            help="For example sts:AssumeRoleWithSAML, AssumeRole of any service, or"
            " orders:* for a service.",
        ),
    ] = "",
    outcome: Annotated[
        list[Outcome] | None,
        typer.Option(
            help="denied: by policies. refused: the proof. error: any other failure."
            " Repeat it for several."
        ),
    ] = None,
    kind: Annotated[
        list[RecordKind] | None,
        typer.Option(
            help="credentials: issued to someone already signed in."
            " Repeat it for several."
        ),
    ] = None,
    provider: Annotated[
        str, typer.Option(metavar="ARN", help="An identity provider's ARN.")
    ] = "",
    source_identity: Annotated[
        str,
        typer.Option(
            metavar="TEXT", help="The source identity of the caller or issued session."
        ),
    ] = "",
    session_name: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="The name of the caller's or issued session, or a user.",
        ),
    ] = "",
    role: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Who had this role: each issue of its credentials, by any entry point,"
            " from any account. --account is the role's.",
        ),
    ] = "",
    since: Annotated[
        str,
        typer.Option(
            metavar="TIME", help="From this time: ISO 8601, or 2h for 2 hours ago."
        ),
    ] = "",
    until: Annotated[str, typer.Option(metavar="TIME", help="Before this time.")] = "",
    limit: Annotated[
        int, typer.Option(metavar="N", min=1, help="The most records to show.")
    ] = 50,
    as_json: Annotated[
        bool, typer.Option("--json", help="Full records, one JSON object per line.")
    ] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="For spreadsheets.")] = False,
    follow: Annotated[
        bool, typer.Option(help="Then show new records as they come, until Ctrl-C.")
    ] = False,
    summary: Annotated[
        bool,
        typer.Option(
            help="Instead, count an account's sign-ins by provider and its failures by"
            " reason, by default of the last 7 days."
        ),
    ] = False,
) -> None:
    """Show the audit records that match all filters, newest first."""
    now = SystemClock().now()
    try:
        filters = AuditFilter(
            event_id=request_id,
            # Who comes from another account is on record there.
            account=None if role else account,
            caller_arn=principal,
            access_key_id=key,
            action=action,
            decisions=tuple(outcome or ()),
            kinds=tuple(kind or (ISSUING_KINDS if role else ())),
            provider_arn=provider,
            source_identity=source_identity,
            session_name=session_name,
            role_name=role.rpartition("/")[2],
            role_account=account if role else None,
            since=parse_time(since, now) if since else None,
            until=parse_time(until, now) if until else None,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error

    if summary:
        _summarize(filters, now, as_json=as_json)
        return
    table = _print_issues if role else _print_table
    show = _show_json if as_json else _show_csv if as_csv else table
    with_installation(
        lambda installation: _show(installation, filters, limit, show, follow=follow)
    )


async def _show(
    installation: "Installation",
    filters: AuditFilter,
    limit: int,
    show: Show,
    *,
    follow: bool,
) -> None:
    ledger = installation.stores.ledger
    if show is _show_csv:
        say_lines(csv_lines([COLUMNS]))
    records = await newest_records(ledger, filters, limit)
    if records:
        show(records)
    elif not follow:
        say("No matching records.", err=True)
    seen = deque((_identity(record) for record in records), maxlen=_SEEN_MAX)
    since = records[0].at if records else installation.clock.now()
    if follow and len(records) >= limit:
        # Older ones that were left out are not new.
        earlier = replace(filters, since=since - _LATE, until=records[-1].at)
        left_out = await newest_records(ledger, earlier, _FOLLOWED_MAX)
        seen.extendleft(map(_identity, left_out))
    while follow:
        await asyncio.sleep(_FOLLOW_SECONDS)
        # Records of the last second, or of an outage, come later than they are dated.
        new = replace(filters, since=since - _LATE)
        audit_records = [
            record
            for record in reversed(await newest_records(ledger, new, _FOLLOWED_MAX))
            if _identity(record) not in seen
        ]
        if audit_records:
            show(audit_records)
            seen.extend(map(_identity, audit_records))
            since = max(since, audit_records[-1].at)


def _identity(record: AuditRecord) -> tuple[str, str, datetime]:
    return record.event_id, record.action, record.at


def _summarize(filters: AuditFilter, now: datetime, *, as_json: bool) -> None:
    account = filters.account
    if account is None:
        raise typer.BadParameter("--summary needs --account")
    since = filters.since or now - _SUMMARY
    # Imported here: it brings all that verifies proofs, which a search needs not.
    from broker.proofs.refusals import name_reason  # noqa: PLC0415

    async def work(installation: "Installation") -> ActivityCounts:
        ledger = installation.stores.ledger
        while await ledger.count(name_reason):
            pass
        return await ledger.counts(account, since, bucket_hours=1)

    counts = with_installation(work)
    counted: Counter[tuple[str, str]] = Counter()
    for hourly_count in counts.counts:
        counted[hourly_count.measure, hourly_count.name] += hourly_count.count
    rows = sorted(counted.items(), key=lambda row: (row[0][0], -row[1], row[0][1]))
    if as_json:
        for (measure, name), count in rows:
            say_json({"measure": measure, "name": name, "count": count})
    else:
        say_table(
            ("Count", "What", "Provider or reason"),
            ((str(count), measure, name) for (measure, name), count in rows),
        )
    if counts.counted_until is not None:
        say(f"Counted until {format_time(counts.counted_until)}.", err=True)


def _show_json(records: list[AuditRecord]) -> None:
    for record in records:
        say_json(record_members(record))


def _show_csv(records: list[AuditRecord]) -> None:
    say_lines(csv_lines(map(csv_row, records)))


async def newest_records(
    ledger: Ledger, filters: AuditFilter, limit: int
) -> list[AuditRecord]:
    """Read the newest matching records, at most ``limit``."""
    records: list[AuditRecord] = []
    marker: str | None = None
    while True:
        page = await ledger.search(
            filters, PageRequest(marker, min(_PAGE, limit - len(records)))
        )
        records += page.items
        marker = page.marker
        if marker is None or len(records) >= limit:
            return records


def _shown_outcome(record: AuditRecord) -> str:
    if not record.error_code:
        return record.outcome.words
    return f"{record.outcome.words}: {record.error_code}"


def _shown_resources(record: AuditRecord) -> str:
    first, *more = record.resources or ("",)
    return f"{first} and {len(more)} more" if more else first


def _print_table(records: list[AuditRecord]) -> None:
    say_table(
        _HEADINGS,
        (
            (
                format_time(record.at),
                record.account or "",
                record.action,
                _shown_resources(record),
                record.caller_arn,
                record.source_ip or record.door,
                _shown_outcome(record),
                record.event_id,
            )
            for record in records
        ),
        (_COLOURS.get(record.outcome, "") for record in records),
    )


def _print_issues(records: list[AuditRecord]) -> None:
    """Who had a role: the session's name, and the provider or caller it came from."""
    rows = []
    for record in records:
        session = record.session or {}
        expires_at = session.get("expires_at")
        rows.append(
            (
                format_time(record.at),
                str(session.get("principal_arn") or "").rpartition("/")[2],
                str(session.get("source_identity") or ""),
                str(session.get("provider_arn") or "") or record.caller_arn,
                f"{record.action} ({record.door})",
                format_time(datetime.fromtimestamp(expires_at, UTC))
                if isinstance(expires_at, int)
                else "",
                str(session.get("access_key_id") or ""),
                record.event_id,
            )
        )
    say_table(_ISSUE_HEADINGS, rows)
