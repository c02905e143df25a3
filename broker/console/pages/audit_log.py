"""*Audit log*: the account's records, with filters and counts, and one record in full."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from starlette.responses import Response, StreamingResponse

from broker.actions.signin.lookup_events import RESULTS_MAX
from broker.audit.export import COLUMNS, csv_lines, csv_row, record_members
from broker.console.over_time import OverTime, count_over_time, counted_since
from broker.console.pages.audit_filters import (
    AUDIT,
    EXPORT,
    FOLLOW_TURNS,
    SPANS,
    VIEWS,
    AuditFilters,
)
from broker.console.visit import PageRoute, Visit, address
from broker.errors import NoSuchEntity, ValidationError
from broker.model.audit import AuditRecord, Outcome, RecordKind
from broker.proofs.refusals import explain_refusal

_SHOWN_MAX = 4000
_LISTED_MAX = 50
_AS = {"user": "IAM user", "federated-user": "federated user", "instance": "instance"}
_INTERNAL = {"mint_id", "lineage"}
"""Of what was issued: only revocations read them. *Live sessions* shows the chain."""

_TIMES = {"issued_at_ms": 1000, "expires_at": 1}
_LABELS = {
    "access_key_id": "Access key",
    "account": "Account",
    "kind": "Issued by",
    "principal_arn": "Principal",
    "principal_id": "Unique ID",
    "issued_at_ms": "Issued",
    "expires_at": "Expires",
    "provider_arn": "Identity provider",
    "source_identity": "Source identity",
    "parent_key_id": "From the access key",
    "provider_id": "Provider ID",
    "tags": "Session tag",
    "transitive_keys": "Transitive tag",
    "policy_arns": "Session policy",
    "policies": "Session policy",
    "chain_depth": "Chained roles",
    "upstream": "Upstream",
}

RECORDS_MAX = 10_000
"""Of one file; narrow the time for the others."""

_CSV, _JSON = "csv", "json"
_TYPES = {_CSV: "text/csv; charset=utf-8", _JSON: "application/json"}


async def _page(visit: Visit) -> Response:
    filters = AuditFilters.read(visit.form)
    now = visit.deps.clock.now()
    with visit.attempt():
        params = filters.request(visit.who.session.account, now)
    if visit.refusal is not None:
        return await _list(visit, filters, {}, None)
    result = await visit.perform("cloudtrail", "LookupEvents", **params)
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
                "who": await _who(visit, record),
                # Each of several decisions may have the same reason.
                "why": "; ".join(
                    dict.fromkeys((record.detail or record.reason).split("; "))
                ),
                "simulator": _simulator(record),
                "parameters": _rows(record.parameters),
                "issued": _rows(record.session or {}),
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
        shows=filters.sentence,
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
        until=_until,
    )


async def _count(visit: Visit, filters: AuditFilters, now: datetime) -> OverTime | None:
    span = filters.counted
    if span is None:
        return None
    since = await counted_since(visit, span.length, span.bucket_hours)
    result = await visit.perform(
        "signin", "GetActivity", StartTime=since, BucketHours=span.bucket_hours
    )
    return count_over_time(result["Activity"], since, now, span.bucket_hours)


def _address(**filters: str) -> str:
    return address(AUDIT, **filters)


def _simulator(record: AuditRecord) -> str:
    """Where a call that policies denied can be tried again; empty for any other."""
    kind, _, rest = record.caller_arn.split(":", 5)[-1].partition("/")
    name = rest.partition("/")[0] if kind == "assumed-role" else rest
    kind = "role" if kind == "assumed-role" else kind
    is_own = record.action.startswith("signin:")  # of a page: no policy names it
    if record.outcome is not Outcome.DENIED or kind not in {"role", "user"} or is_own:
        return ""
    account = record.caller_arn.split(":")[4]
    return address(
        "/console/simulator",
        principal=f"arn:aws:iam::{account}:{kind}/{name}",
        action=record.action,
        resource=record.resources[-1] if record.resources else "",
    )


async def _who(visit: Visit, record: AuditRecord) -> tuple[str, str, str]:
    issued = record.session or {}
    arn = record.caller_arn
    if (
        record.kind is RecordKind.SIGN_IN
    ):  # a provider calls for the person who signs in
        arn = str(issued.get("principal_arn") or arn)
    kind, _, rest = arn.split(":", 5)[-1].partition("/")
    holder, _, name = rest.rpartition("/")
    if kind == "assumed-role":
        how = f"with the role {holder}"
    else:
        how, name = _AS.get(kind, ""), name or ("Root user" if kind == "root" else "")
    provider_arn = str(issued.get("provider_arn") or "")
    provider = provider_arn and await visit.frame.options.label_of(provider_arn)
    said = record.source_identity or issued.get("source_identity")
    more = [how] if how else []
    more += [f"signed in with {provider}"] if provider else []
    more += [f"source identity {said}"] if said and said != name else []
    return name, ", ".join(more), arn


def _until(issued: Mapping[str, Any]) -> datetime:
    return datetime.fromtimestamp(issued["expires_at"], UTC)


def _rows(values: Mapping[str, object]) -> list[tuple[str, object]]:
    """Names and values for a table: times, texts and lists of texts; nothing empty."""
    rows: list[tuple[str, object]] = []
    for name, value in values.items():
        label = _LABELS.get(name, name)
        if name in _INTERNAL:
            continue
        if name in _TIMES and isinstance(value, int):
            rows.append((label, datetime.fromtimestamp(value / _TIMES[name], UTC)))
        elif isinstance(value, Mapping):
            rows += ((f"{label}: {key}", _text(entry)) for key, entry in value.items())
        elif isinstance(value, list | tuple):
            rows += ((label, _text(entry)) for entry in value[:_LISTED_MAX])
        elif value not in {"", None, 0}:
            rows.append((label, _text(value)))
    return rows


def _text(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}…"


async def export(visit: Visit) -> Response:
    """``GET /console/audit/export``: what the list shows, as a file."""
    form = visit.text("format")
    if form not in _TYPES:
        raise ValidationError("The format is csv or json.")
    filters = AuditFilters.read(visit.form)
    now = visit.deps.clock.now()
    params = {
        **filters.request(visit.who.session.account, now),
        "MaxResults": RESULTS_MAX,
    }
    # The first page is read here, so that a refusal is a page and no broken file.
    first = await visit.perform("cloudtrail", "LookupEvents", **params)
    write = _write_csv if form == _CSV else _write_json
    name = f"audit-{visit.who.session.account}-{now:%Y%m%dT%H%M%SZ}.{form}"
    return StreamingResponse(
        write(_pages(visit, params, first)),
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
    visit: Visit, params: Mapping[str, Any], first: Mapping[str, Any]
) -> AsyncIterator[Sequence[AuditRecord]]:
    result, written = first, 0
    while True:
        records = result["Events"][: RECORDS_MAX - written]
        yield records
        written += len(records)
        if result["NextToken"] is None or written >= RECORDS_MAX:
            return
        result = await visit.perform(
            "cloudtrail", "LookupEvents", **{**params, "NextToken": result["NextToken"]}
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


PAGES = (PageRoute(AUDIT, "audit", _page), PageRoute(EXPORT, "audit", export))
