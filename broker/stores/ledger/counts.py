"""Hourly counts of what the audit log holds, kept beside it.

A portion of records is read, in the order of their sequence numbers, and added to the
counts together with the number it ended at; a process that adds a portion which
another has added changes nothing. Both SQL dialects share the statements.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from broker.model.audit import (
    COUNT_DECISIONS,
    DECISION_MEASURES,
    ActivityCounts,
    AuditRecord,
    HourlyCount,
    Outcome,
    RecordKind,
)
from broker.stores.audit_rows import decode_audit
from broker.stores.ledger.port import NameOf
from broker.stores.times import from_micros

PORTION_ROWS = 1000
HOUR = 3_600_000_000
"""In microseconds."""

NAME_CHARACTERS = 512
_PLACE = "account = '' AND hour = 0 AND measure = 'counted'"
_CONFLICT = "ON CONFLICT (account, hour, measure, name) DO UPDATE SET count ="

PLACE = f"SELECT name, count FROM audit_counts WHERE {_PLACE}"  # noqa: S608  # constants
"""The sequence number (``seq``) and the newest time (``at``) that are counted."""

NEWEST = "SELECT coalesce(max(seq), 0) FROM audit"
PURGE = "DELETE FROM audit_counts WHERE account <> '' AND hour < {0}"
BEGIN = (
    "INSERT INTO audit_counts (account, hour, measure, name, count)"
    " VALUES ('', 0, 'counted', 'seq', 0) ON CONFLICT DO NOTHING"
)
ADVANCE = (
    f"UPDATE audit_counts SET count = {{0}} WHERE {_PLACE}"  # noqa: S608  # constants
    " AND name = 'seq' AND count = {1}"
)
REACHED = (
    "INSERT INTO audit_counts (account, hour, measure, name, count)"  # noqa: S608  # constants
    f" VALUES ('', 0, 'counted', 'at', {{0}}) {_CONFLICT} excluded.count"
)
PORTION = (
    "SELECT coalesce(max(seq), {0}), coalesce(max(at), 0) FROM"
    " (SELECT seq, at FROM audit WHERE seq > {0} AND seq <= {1}"
    " ORDER BY seq LIMIT {2}) AS portion"
)
# Tests that no planner takes another index for: a portion is a range of the table.
SIGN_INS = (
    f"SELECT account, at / {HOUR}, provider_arn, count(*) FROM audit"  # noqa: S608  # constants
    " WHERE seq > {0} AND seq <= {1} AND account || '' <> ''"
    f" AND kind || '' = '{RecordKind.SIGN_IN}' AND decision || '' = '{Outcome.ALLOWED}'"
    " GROUP BY 1, 2, 3"
)
FAILURES = (
    "SELECT event_id, at, account, body FROM audit"  # noqa: S608  # constants
    " WHERE seq > {0} AND seq <= {1} AND account || '' <> ''"
    f" AND (decision || '' <> '{Outcome.ALLOWED}'"
    f" OR action || '' = '{COUNT_DECISIONS}')"
)
"""And the records that have the numbers of decisions."""
ADD = (
    "INSERT INTO audit_counts (account, hour, measure, name, count)"  # noqa: S608  # constants
    f" VALUES ({{0}}, {{1}}, {{2}}, {{3}}, {{4}}) {_CONFLICT}"
    " audit_counts.count + excluded.count"
)
READ = (
    "SELECT hour - hour % {0}, measure, name, sum(count) FROM audit_counts"  # constants
    " WHERE account = {1} AND hour >= {2} GROUP BY 1, 2, 3"
)

CountRow = tuple[str, int, str, str, int]


def in_sqlite(statement: str) -> str:
    """A statement of this module with SQLite's placeholders."""
    return statement.format(*(f"?{n}" for n in range(1, 6)))


def in_postgresql(statement: str) -> str:
    """A statement of this module with PostgreSQL's placeholders."""
    return statement.format(*(f"${n}" for n in range(1, 6)))


class Portion(Struct, frozen=True):
    """Records after one sequence number up to another, counted."""

    after: int
    end: int
    newest_at: int
    rows: tuple[CountRow, ...]

    @property
    def is_empty(self) -> bool:
        """Whether there was nothing to count."""
        return self.end == self.after


def count_portion(
    place: tuple[int, int, int],
    sign_ins: Iterable[tuple[str, int, str, int]],
    failures: Sequence[tuple[str, int, str, str]],
    name_of: NameOf,
) -> Portion:
    """The counts of a portion; ``place`` is where it begins, ends and its last time."""
    counted: Counter[tuple[str, int, str, str]] = Counter()
    for account, hour, provider, number in sign_ins:
        counted[account, hour, RecordKind.SIGN_IN, provider[:NAME_CHARACTERS]] += number
    for event_id, at, account, body in failures:
        record = decode_audit(event_id, at, account, body)
        if record.action == COUNT_DECISIONS:
            for measure, arn, number in _decisions(record):
                counted[account, at // HOUR, measure, arn] += number
            continue
        name = name_of(record)[:NAME_CHARACTERS]
        counted[account, at // HOUR, record.outcome, name] += record.weight
    after, end, newest_at = place
    rows = tuple((*key, number) for key, number in sorted(counted.items()))
    return Portion(after, end, newest_at, rows)


def _decisions(record: AuditRecord) -> Iterator[tuple[str, str, int]]:
    """Measure, service and number of what such a record counts."""
    for outcome, measure in DECISION_MEASURES.items():
        number = record.parameters.get(outcome.capitalize())
        if isinstance(number, int) and record.resources:
            yield measure, record.resources[0][:NAME_CHARACTERS], number


def read_counts(
    place: Iterable[tuple[str, int]], rows: Iterable[tuple[int, str, str, int]]
) -> ActivityCounts:
    """The counts of ``READ``'s rows, and up to when there are any."""
    reached = dict(place).get("at")
    return ActivityCounts(
        counted_until=from_micros(reached) if reached else None,
        counts=tuple(
            HourlyCount(
                hour=from_micros(hour * HOUR),
                measure=measure,
                name=name,
                count=int(number),
            )
            for hour, measure, name, number in rows
        ),
    )
