"""An audit record for programs and spreadsheets, in the one form that all exports have."""

import csv
import io
from collections.abc import Iterable, Sequence

from msgspec.structs import asdict

from broker.model.audit import AuditRecord

COLUMNS = (
    *("time", "outcome", "kind", "action", "caller", "resources", "error", "why"),
    *("provider", "access_key", "issued_key", "source_ip", "region", "program"),
    *("came_by", "account", "event"),
)
"""Of `csv_row`."""

# The last ones are full-width: some spreadsheets read them as the others.
_FORMULA = (*"=+-@\t\r\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def record_members(record: AuditRecord) -> dict[str, object]:
    """A record's members for JSON: times in ISO 8601, outcome and kind as words."""
    return {
        **asdict(record),
        "at": record.at.isoformat(),
        "decision": record.outcome,
        "kind": record.kind,
    }


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


def csv_lines(rows: Iterable[Sequence[str]]) -> str:
    """Rows as lines of CSV (RFC 4180)."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue()
