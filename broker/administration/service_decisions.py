"""What a registered service's page shows of its decisions, from the audit log."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from broker.administration.listing import PagePart, read_part
from broker.console.over_time import bucket_start, count_over_time, sum_by_name
from broker.console.pages.audit_filters import AUDIT
from broker.console.pages.service_views import ServiceView
from broker.console.visit import Visit, address
from broker.model.audit import DECISION_MEASURES, AuditRecord, Outcome
from broker.protocols.enforcement.mapping import EXECUTE_API

HOURS = 24
SHOWN = 15
_READ = 100
_ASKED = ("broker:Authorize", "broker:DeriveSigningKey")
"""The actions of a question that led to no decision, and of a gateway that got no key."""

PASSED = frozenset({DECISION_MEASURES[Outcome.ALLOWED]})
REFUSED = frozenset(
    {DECISION_MEASURES[Outcome.DENIED], DECISION_MEASURES[Outcome.REFUSED]}
)


async def read_activity(visit: Visit) -> PagePart:
    """The hourly counts of the last day, if the caller may read the audit log.

    Raises:
        BrokerError: The action failed for another reason.
    """
    return await read_part(
        visit,
        "GetActivity",
        service="signin",
        StartTime=bucket_start(visit.now - timedelta(hours=HOURS), 1),
        BucketHours=1,
    )


def count_by_service(part: PagePart) -> Mapping[str, tuple[int, int]]:
    """By the ARN of each service, how many decisions allowed and how many did not."""
    if part.found is None:
        return {}
    activity = part.found["Activity"]
    passed: Counter[str] = sum_by_name(activity, PASSED)
    refused: Counter[str] = sum_by_name(activity, REFUSED)
    return {arn: (passed[arn], refused[arn]) for arn in passed | refused}


async def read_decisions(visit: Visit, view: ServiceView) -> dict[str, Any]:
    """The counts of the last day, and the last decisions with their reasons.

    Raises:
        BrokerError: An action failed for another reason than missing permissions.
    """
    part = await read_activity(visit)
    if part.found is None:
        return {
            "activity": part,
            "counted": None,
            "decisions": (),
            "log": "",
            "hours": 0,
        }
    since = bucket_start(visit.now - timedelta(hours=HOURS), 1)
    counted = count_over_time(
        part.found["Activity"],
        max(since, view.service["CreateDate"]),
        visit.now,
        1,
        passed_as=PASSED,
        refused_as=REFUSED,
        name=view.service["Arn"],
    )
    decisions = [
        record
        for action in (f"{view.prefix}:*", *_ASKED)
        for record in await _records(visit, action)
        if _is_about(record, view)
    ]
    decisions.sort(key=lambda record: record.at, reverse=True)
    return {
        "activity": part,
        "counted": counted,
        "decisions": decisions[:SHOWN],
        "log": address(AUDIT, action=f"{view.prefix}:*"),
        "audit": AUDIT,
        "address": address,
        "hours": HOURS,
    }


async def _records(visit: Visit, action: str) -> Iterable[AuditRecord]:
    part = await read_part(
        visit, "LookupEvents", service="cloudtrail", Action=action, MaxResults=_READ
    )
    records: Iterable[AuditRecord] = part.get("Events")
    return records


def _is_about(record: AuditRecord, view: ServiceView) -> bool:
    """Whether a record is of this service: several may use execute-api."""
    if record.action in _ASKED:
        return bool(record.error_code) and view.service["Arn"] in record.resources
    if view.prefix != EXECUTE_API:
        return True
    return any(
        arn.split(":", 5)[-1].startswith(f"{view.name}/") for arn in record.resources
    )
