"""Failures that were only counted: their records, and how to find a request in them."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from msgspec import Struct

from broker.audit.entry import AuditEntry
from broker.audit.flood import Burst
from broker.model.account import AccountId
from broker.model.audit import COUNT_FAILURES, AuditFilter, AuditRecord
from broker.model.page import PageRequest
from broker.runtime.entropy import new_request_id
from broker.stores.ledger.port import Ledger

_REASON = "failures of callers who proved nothing, not recorded singly"
_EARLIER = timedelta(seconds=2)
_LATER = timedelta(seconds=10)
"""How long after a request its count is written; a spool may take longer."""

_LOOKED_AT_MAX = 200
_UUID_WITH_TIME = 7
_MILLISECONDS_MAX = 1 << 46
"""Some two thousand years: nearer to the end of time, sums of times would overflow."""


class CountedFailure(Struct, frozen=True):
    """The count that a request without a record of its own is in.

    ``is_certain`` if the count names the request; else only its time fits.
    """

    record: AuditRecord
    is_certain: bool

    @property
    def sentence(self) -> str:
        """What to tell of it."""
        return (
            f"This request {'was' if self.is_certain else 'may have been'} one of"
            f" {self.record.weight} failures in a burst from"
            f" {self.record.source_ip or 'one address'} that were only counted:"
            " callers who prove nothing leave a few full records a second."
        )


def describe_burst(burst: Burst, now: datetime) -> AuditEntry:
    """The record of failures that were counted."""
    failure = burst.failure
    return AuditEntry(
        event_id=new_request_id(),
        at=now,
        door="",
        action=COUNT_FAILURES,
        source_ip=failure.source,
        user_agent="",
        account=failure.account,
        parameters={
            "Failures": burst.count,
            "From": burst.first.isoformat(),
            "Until": burst.last.isoformat(),
            "RequestIds": tuple(burst.request_ids),
        },
        decision=failure.outcome,
        reason=_REASON,
    )


async def find_counted(
    ledger: Ledger, event_id: str, account: AccountId | None = None
) -> CountedFailure | None:
    """The count that a request is in, by its id, which begins with the time.

    With ``account``, only among that account's records.
    """
    at = _request_time(event_id)
    if at is None:
        return None
    filters = AuditFilter(
        account=account, action=COUNT_FAILURES, since=at - _EARLIER, until=at + _LATER
    )
    page = await ledger.search(filters, PageRequest(limit=_LOOKED_AT_MAX))
    possible: AuditRecord | None = None
    for record in page.items:
        named = record.parameters.get("RequestIds")
        if isinstance(named, list) and event_id in named:
            return CountedFailure(record, is_certain=True)
        is_whole = isinstance(named, list) and len(named) >= record.weight
        if not is_whole and _was_counted(record, at):
            possible = record
    return None if possible is None else CountedFailure(possible, is_certain=False)


def _was_counted(record: AuditRecord, at: datetime) -> bool:
    """Whether the time is within the count's, to the millisecond of the id."""
    times = (record.parameters.get("From"), record.parameters.get("Until"))
    try:
        first, last = (datetime.fromisoformat(str(time)) for time in times)
    except ValueError:
        return False
    margin = timedelta(seconds=1)
    return first - margin <= at <= last + margin


def _request_time(event_id: str) -> datetime | None:
    """The time in a request id (RFC 9562, 5.7); None if it is none of ours."""
    try:
        number = UUID(event_id)
    except ValueError:
        return None
    milliseconds = number.int >> 80
    if number.version != _UUID_WITH_TIME or milliseconds > _MILLISECONDS_MAX:
        return None
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
