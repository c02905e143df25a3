"""*Audit log*: the account's records, with filters and counts, and one record in full."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from starlette.responses import Response

from broker.console.over_time import OverTime, bucket_start, count_over_time
from broker.console.pages.audit_export import RECORDS_MAX, export
from broker.console.pages.audit_filters import (
    AUDIT,
    EXPORT,
    FOLLOW_TURNS,
    SPANS,
    VIEWS,
    AuditFilters,
)
from broker.console.visit import PageRoute, Visit, address
from broker.errors import NoSuchEntity
from broker.model.audit import Outcome
from broker.proofs.refusals import explain_refusal

_SHOWN_MAX = 4000


async def _page(visit: Visit) -> Response:
    """``GET /console/audit``: the list of records, or the page of one."""
    filters = AuditFilters.read(visit.form)
    now = visit.deps.clock.now()
    with visit.attempt():
        given = filters.request(visit.who.session.account, now)
    if visit.refusal is not None:
        return await _list(visit, filters, {}, None)
    result = await visit.perform("cloudtrail", "LookupEvents", **given)
    if filters["event"]:
        return await _one(visit, result)
    return await _list(visit, filters, result, await _count(visit, filters, now))


async def _one(visit: Visit, result: Mapping[str, Any]) -> Response:
    records, counted = result["Events"], result["Counted"]
    if not records and counted is None:
        raise NoSuchEntity(
            "There is no such record in this account. The operator may have one:"
            " `broker explain` also knows requests that name no account."
        )
    return await visit.show(
        "audit_record.html",
        parts=[
            {
                "record": record,
                "refusal": explain_refusal(record),
                "parameters": _json(record.parameters),
                "minted": _json(record.session) if record.session else "",
            }
            for record in reversed(records)
        ],
        counted=counted,
        address=_address,
    )


async def _list(
    visit: Visit,
    filters: AuditFilters,
    result: Mapping[str, Any],
    counted: OverTime | None,
) -> Response:
    next_token = result.get("NextToken")
    turns = int(filters["follow"] or 0)
    return await visit.show(
        "audit.html",
        records=result.get("Events", ()),
        outcomes=Outcome,
        filters=filters,
        views=[
            (view.label, filters.link(view=name), filters["view"] == name)
            for name, view in VIEWS.items()
        ],
        spans=[
            (label, filters.link(range=name), filters["range"] == name)
            for name, label in (
                ("", "Any time"),
                *((name, span.label) for name, span in SPANS.items()),
            )
        ],
        counted=counted,
        older=filters.link(next=str(next_token)) if next_token else "",
        newest=filters.link() if filters["next"] else "",
        follow=filters.link(follow=str(FOLLOW_TURNS)),
        follow_on=filters.link(follow=str(turns - 1)) if turns else "",
        stop=filters.link(),
        files=[
            (form.upper(), filters.link(EXPORT, format=form))
            for form in ("csv", "json")
        ],
        file_max=RECORDS_MAX,
        address=_address,
    )


async def _count(visit: Visit, filters: AuditFilters, now: datetime) -> OverTime | None:
    span = filters.counted
    if span is None:
        return None
    since = bucket_start(now - span.length, span.bucket_hours)
    result = await visit.perform(
        "signin", "GetActivity", StartTime=since, BucketHours=span.bucket_hours
    )
    return count_over_time(result["Activity"], since, now, span.bucket_hours)


def _address(**filters: str) -> str:
    """The page's URL with these filters."""
    return address(AUDIT, **filters)


def _json(value: object) -> str:
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}…"


PAGES = (PageRoute(AUDIT, "audit", _page), PageRoute(EXPORT, "audit", export))
