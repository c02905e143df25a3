"""``LookupEvents`` and ``GetActivity``: the audit records, newest first, and their counts.

The permission is ``cloudtrail:LookupEvents``, as for AWS's own log of calls.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NotRequired, TypedDict

from broker.actions.action import Action, Call, console_action, needing
from broker.audit.bursts import find_counted
from broker.errors import ValidationError
from broker.model.audit import AuditFilter, AuditRecord, Outcome, RecordKind
from broker.model.page import PageRequest
from broker.stores.errors import InvalidMarkerError
from broker.stores.ledger.port import Ledger

_MAY_READ = needing(("cloudtrail:LookupEvents", ""))
_PAGE = 40
RESULTS_MAX = 500
_LOOKS_MAX = 5
"""The number of search windows in the ledger that one call reads, to find rare records.
"""


class LookupEventsRequest(TypedDict):
    """What to look for; what is left out or empty matches everything.

    Times are half-open, as `AuditFilter` has them; ``Decisions`` are values of
    `Outcome` and ``Kinds`` of `RecordKind`.
    """

    EventCategory: NotRequired[str]
    EventId: NotRequired[str]
    CallerArn: NotRequired[str]
    AccessKeyId: NotRequired[str]
    Action: NotRequired[str]
    Decisions: NotRequired[Sequence[str]]
    Kinds: NotRequired[Sequence[str]]
    ProviderArn: NotRequired[str]
    SourceIdentity: NotRequired[str]
    SessionName: NotRequired[str]
    RoleName: NotRequired[str]
    StartTime: NotRequired[datetime | None]
    EndTime: NotRequired[datetime | None]
    NextToken: NotRequired[str]
    MaxResults: NotRequired[int]


def lookup_events(ledger: Ledger) -> Action:
    """The action, given what it works with."""

    async def handle(params: LookupEventsRequest, call: Call) -> Mapping[str, Any]:
        """``Events`` may be few while there is a ``NextToken``.

        ``Counted`` is the count that an event without a record is in, if any.
        """
        if params.get("EventCategory"):  # Insights events: the log has none
            return {"Events": (), "NextToken": None, "Counted": None}
        filters = _read_filter(params, call)
        limit = min(params.get("MaxResults") or _PAGE, RESULTS_MAX)
        marker = params.get("NextToken") or None
        records: list[AuditRecord] = []
        try:
            for _ in range(_LOOKS_MAX):
                page = await ledger.search(
                    filters, PageRequest(marker, limit - len(records))
                )
                records += page.items
                marker = page.marker
                if marker is None or len(records) == limit:
                    break
        except InvalidMarkerError as error:
            raise ValidationError("There is no such place in this list.") from error
        counted = None
        if filters.event_id and not records:
            counted = await find_counted(ledger, filters.event_id, call.account)
        return {"Events": tuple(records), "NextToken": marker, "Counted": counted}

    return Action(
        service="cloudtrail",
        name="LookupEvents",
        needs=_MAY_READ,
        handle=handle,
        audited=tuple(
            name for name in LookupEventsRequest.__annotations__ if name != "NextToken"
        ),
    )


def _read_filter(params: LookupEventsRequest, call: Call) -> AuditFilter:
    try:
        decisions = tuple(Outcome(decision) for decision in params.get("Decisions", ()))
        kinds = tuple(RecordKind(kind) for kind in params.get("Kinds", ()))
    except ValueError as error:
        raise ValidationError(
            f"Outcomes are {', '.join(Outcome)}; kinds are {', '.join(RecordKind)}."
        ) from error
    return AuditFilter(
        account=call.account,
        event_id=params.get("EventId", ""),
        caller_arn=params.get("CallerArn", ""),
        access_key_id=params.get("AccessKeyId", ""),
        action=params.get("Action", ""),
        decisions=decisions,
        kinds=kinds,
        provider_arn=params.get("ProviderArn", ""),
        source_identity=params.get("SourceIdentity", ""),
        session_name=params.get("SessionName", ""),
        role_name=params.get("RoleName", ""),
        since=params.get("StartTime"),
        until=params.get("EndTime"),
    )


class GetActivityRequest(TypedDict):
    """Since when, and the hours of one bucket."""

    StartTime: datetime
    BucketHours: int


def get_activity(ledger: Ledger) -> Action:
    """The action, given what it works with."""

    async def handle(params: GetActivityRequest, call: Call) -> Mapping[str, Any]:
        return {
            "Activity": await ledger.counts(
                call.account, params["StartTime"], bucket_hours=params["BucketHours"]
            )
        }

    return console_action("GetActivity", _MAY_READ, handle, "StartTime", "BucketHours")
