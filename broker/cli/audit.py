"""``broker audit``: search the audit records."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from broker.cli.operator import with_installation
from broker.cli.terminal import say, say_json, say_table
from broker.cli.times import format_time, parse_time
from broker.clock import SystemClock
from broker.model.account import parse_account_id
from broker.model.audit import AuditFilter, AuditRecord, Kind, Outcome
from broker.model.page import PageRequest
from broker.stores.ledger.port import Ledger

if TYPE_CHECKING:
    from broker.installation import Installation

_PAGE = 500
_COLOURS = {Outcome.DENIED: "yellow", Outcome.REFUSED: "red", Outcome.ERROR: "red"}
_HEADINGS = ("When", "Account", "Action", "Caller", "From", "Outcome", "Event")


def audit(
    *,
    event: Annotated[str, typer.Option(help="A call's request ID.")] = "",
    account: Annotated[str, typer.Option(help="The account of the call.")] = "",
    caller: Annotated[str, typer.Option(help="The caller's ARN.")] = "",
    key: Annotated[
        str, typer.Option(help="An access key ID that signed or was issued.")
    ] = "",
    action: Annotated[
        str,
        typer.Option(
            help="For example sts:AssumeRoleWithSAML or broker:CreateAccount."
        ),
    ] = "",
    decision: Annotated[
        list[Outcome] | None,
        typer.Option(
            help="denied: by policies. refused: the proof. error: any other failure."
            " Repeat it for several."
        ),
    ] = None,
    kind: Annotated[
        list[Kind] | None,
        typer.Option(
            help="credentials: issued to someone already signed in."
            " Repeat it for several."
        ),
    ] = None,
    provider: Annotated[str, typer.Option(help="An identity provider's ARN.")] = "",
    since: Annotated[
        str, typer.Option(help="From this time: ISO 8601, or 2h for 2 hours ago.")
    ] = "",
    until: Annotated[str, typer.Option(help="Before this time.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="The most records to show.")] = 50,
    as_json: Annotated[
        bool, typer.Option("--json", help="Full records, one JSON object per line.")
    ] = False,
) -> None:
    """Show the audit records that match all filters, newest first."""
    now = SystemClock().now()
    try:
        filters = AuditFilter(
            event_id=event,
            account=parse_account_id(account) if account else None,
            caller_arn=caller,
            access_key_id=key,
            action=action,
            decisions=tuple(decision or ()),
            kinds=tuple(kind or ()),
            provider_arn=provider,
            since=parse_time(since, now) if since else None,
            until=parse_time(until, now) if until else None,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error

    async def work(installation: "Installation") -> list[AuditRecord]:
        return await newest_records(installation.stores.ledger, filters, limit)

    records = with_installation(work)
    if as_json:
        for record in records:
            say_json(shown_record(record))
    elif records:
        _print_table(records)
    else:
        say("No matching records.", err=True)


async def newest_records(
    ledger: Ledger, filters: AuditFilter, limit: int
) -> list[AuditRecord]:
    """Read the newest matching records, at most ``limit``."""
    found: list[AuditRecord] = []
    marker: str | None = None
    while True:
        page = await ledger.search(
            filters, PageRequest(marker, min(_PAGE, limit - len(found)))
        )
        found += page.items
        marker = page.marker
        if marker is None or len(found) >= limit:
            return found


def shown_record(record: AuditRecord) -> dict[str, object]:
    """A record for JSON, with ``at`` in ISO 8601."""
    return {
        **asdict(record),
        "at": record.at.isoformat(),
        "decision": record.outcome,
        "kind": record.kind,
    }


def _shown_outcome(record: AuditRecord) -> str:
    if not record.error_code:
        return record.outcome.words
    return f"{record.outcome.words}: {record.error_code}"


def _print_table(records: list[AuditRecord]) -> None:
    say_table(
        _HEADINGS,
        (
            (
                format_time(record.at),
                record.account or "",
                record.action,
                record.caller_arn,
                record.source_ip or record.door,
                _shown_outcome(record),
                record.event_id,
            )
            for record in records
        ),
        (_COLOURS.get(record.outcome, "") for record in records),
    )
