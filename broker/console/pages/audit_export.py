"""*Audit log* as a file: CSV for spreadsheets, JSON for programs."""

import csv
import io
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from starlette.responses import Response, StreamingResponse

from broker.actions.signin.lookup_events import RESULTS_MAX
from broker.console.pages.audit_filters import AuditFilters
from broker.console.visit import Visit
from broker.errors import ValidationError
from broker.model.audit import AuditRecord

RECORDS_MAX = 10_000
"""Of one file; narrow the time for the others."""

_CSV, _JSON = "csv", "json"
_TYPES = {_CSV: "text/csv; charset=utf-8", _JSON: "application/json"}
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001  # spreadsheets read these, too
_COLUMNS = (
    *("time", "outcome", "kind", "action", "caller", "resources", "error", "why"),
    *("provider", "access_key", "issued_key", "source_ip", "region", "program"),
    *("came_by", "account", "event"),
)


async def export(visit: Visit) -> Response:
    """``GET /console/audit/export``: what the list shows, as a file."""
    form = visit.text("format")
    if form not in _TYPES:
        raise ValidationError("The format is csv or json.")
    filters = AuditFilters.read(visit.form)
    now = visit.deps.clock.now()
    given = {
        **filters.request(visit.who.session.account, now),
        "MaxResults": RESULTS_MAX,
    }
    # The first page is read here, so that a refusal is a page and no broken file.
    first = await visit.perform("cloudtrail", "LookupEvents", **given)
    write = _write_csv if form == _CSV else _write_json
    name = f"audit-{visit.who.session.account}-{now:%Y%m%dT%H%M%SZ}.{form}"
    return StreamingResponse(
        write(_pages(visit, given, first)),
        media_type=_TYPES[form],
        headers={
            "cache-control": "no-store",
            "content-disposition": f'attachment; filename="{name}"',
            "content-security-policy": "default-src 'none'; sandbox",
            "referrer-policy": "no-referrer",
            "x-content-type-options": "nosniff",
        },
    )


async def _pages(
    visit: Visit, given: Mapping[str, Any], first: Mapping[str, Any]
) -> AsyncIterator[Sequence[AuditRecord]]:
    result, written = first, 0
    while True:
        records = result["Events"][: RECORDS_MAX - written]
        yield records
        written += len(records)
        if result["NextToken"] is None or written >= RECORDS_MAX:
            return
        result = await visit.perform(
            "cloudtrail",
            "LookupEvents",
            **{**given, "NextToken": result["NextToken"]},
        )


async def _write_csv(
    pages: AsyncIterator[Sequence[AuditRecord]],
) -> AsyncIterator[bytes]:
    # The mark makes spreadsheets read it as UTF-8.
    yield "\ufeff".encode() + _lines([_COLUMNS])
    async for records in pages:
        yield _lines([csv_row(record) for record in records])


def _lines(rows: Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode("utf-8", "replace")


def csv_row(record: AuditRecord) -> list[str]:
    """The cells of a record, none of which a spreadsheet takes for a formula.

    Callers choose some of these texts: session names, user agents, tags. Source:
    OWASP, CSV injection.
    """
    session = record.session or {}
    cells = (
        record.at.isoformat(),
        record.outcome,
        record.kind,
        record.action,
        record.caller_arn,
        " ".join(record.resources),
        record.error_code,
        record.detail or record.reason,
        str(session.get("provider_arn") or ""),
        record.access_key_id,
        str(session.get("access_key_id") or ""),
        record.source_ip,
        record.region,
        record.user_agent,
        record.door,
        record.account or "",
        record.event_id,
    )
    return [f"'{cell}" if cell.startswith(_FORMULA) else cell for cell in cells]


async def _write_json(
    pages: AsyncIterator[Sequence[AuditRecord]],
) -> AsyncIterator[bytes]:
    """One object with ``Records``, as CloudTrail's log files have it."""
    yield b'{"Records": ['
    separator = ""
    async for records in pages:
        texts = []
        for record in records:
            texts.append(f"{separator}\n{json_record(record)}")
            separator = ","
        yield "".join(texts).encode("utf-8", "replace")
    yield b"\n]}\n"


def json_record(record: AuditRecord) -> str:
    """A record as one line of JSON, as ``broker audit --json`` prints it."""
    members = {
        **asdict(record),
        "at": record.at,
        "decision": record.outcome,
        "kind": record.kind,
    }
    return json.dumps(members, default=_plain, ensure_ascii=True)


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
