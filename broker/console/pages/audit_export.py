"""*Audit log* as a file: CSV for spreadsheets, JSON for programs."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from starlette.responses import Response, StreamingResponse

from broker.actions.signin.lookup_events import RESULTS_MAX
from broker.audit.export import COLUMNS, csv_lines, csv_row, record_members
from broker.console.pages.audit_filters import AuditFilters
from broker.console.visit import Visit
from broker.errors import ValidationError
from broker.model.audit import AuditRecord

RECORDS_MAX = 10_000
"""Of one file; narrow the time for the others."""

_CSV, _JSON = "csv", "json"
_TYPES = {_CSV: "text/csv; charset=utf-8", _JSON: "application/json"}


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
            "cloudtrail", "LookupEvents", **{**given, "NextToken": result["NextToken"]}
        )


async def _write_csv(
    pages: AsyncIterator[Sequence[AuditRecord]],
) -> AsyncIterator[bytes]:
    # The mark makes spreadsheets read it as UTF-8.
    yield _encode("\ufeff" + csv_lines([COLUMNS]))
    async for records in pages:
        yield _encode(csv_lines(map(csv_row, records)))


async def _write_json(
    pages: AsyncIterator[Sequence[AuditRecord]],
) -> AsyncIterator[bytes]:
    """One object with ``Records``, as CloudTrail's log files have it."""
    yield b'{"Records": ['
    separator = ""
    async for records in pages:
        texts = []
        for record in records:
            line = json.dumps(record_members(record), default=str)
            texts.append(f"{separator}\n{line}")
            separator = ","
        yield _encode("".join(texts))
    yield b"\n]}\n"


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "replace")
