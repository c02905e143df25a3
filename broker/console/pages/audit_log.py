"""*Audit log*: the account's records, with filters, and one record in full."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime

from starlette.responses import Response

from broker.console.visit import PageRoute, Visit, address
from broker.errors import NoSuchEntity, ValidationError
from broker.federation.refusals import explain_refusal
from broker.model.account import AccountId
from broker.model.arn import iam_arn, sts_arn
from broker.model.audit import Outcome

AUDIT = "/console/audit"
_TEXTS = {
    "caller": "CallerArn",
    "key": "AccessKeyId",
    "action": "Action",
    "provider": "ProviderArn",
    "event": "EventId",
    "next": "NextToken",
}
_TIMES = {"since": "StartTime", "until": "EndTime"}
_OF_STS = ("assumed-role", "federated-user")
_LISTED = (*_OF_STS, "user", "role", "saml-provider", "oidc-provider")
_LONGEST = 2048
_LONGEST_SHOWN = 4000
_BAD_TIME = "Enter a time such as 2026-01-31T08:30, in UTC."


async def _page(visit: Visit) -> Response:
    """``GET /console/audit``: the list of records, or the page of one."""
    filters = {
        name: (visit.form.find(name) or "").strip()[:_LONGEST]
        for name in (*_TEXTS, *_TIMES, "decision")
    }
    with visit.attempt():
        given = _given(filters, visit.who.session.account)
    if visit.refusal is not None:
        return await _list(visit, filters, {})
    result = await visit.perform("cloudtrail", "LookupEvents", **given)
    if not filters["event"]:
        return await _list(visit, filters, result)
    records, counted = result["Events"], result["Counted"]
    if not records and counted is None:
        raise NoSuchEntity("There is no such record in this account.")
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
    visit: Visit, filters: Mapping[str, str], result: Mapping[str, object]
) -> Response:
    next_token = result.get("NextToken")
    return await visit.show(
        "audit.html",
        records=result.get("Events", ()),
        outcomes=Outcome,
        filters=filters,
        narrowed=any(filters[name] for name in filters if name != "next"),
        older=_address(**{**filters, "next": str(next_token)}) if next_token else "",
        newest=_address(**{**filters, "next": ""}) if filters["next"] else "",
        address=_address,
    )


def _given(filters: Mapping[str, str], account: AccountId) -> dict[str, object]:
    """The action's parameters; short names as on the page become ARNs.

    Raises:
        ValidationError: A time is malformed.
    """
    texts = {wire: filters[name] for name, wire in _TEXTS.items()}
    texts["CallerArn"] = _whole(filters["caller"], account)
    provider = filters["provider"]
    if provider and "/" not in provider:
        kind = (
            "oidc-provider" if "." in provider or ":" in provider else "saml-provider"
        )
        provider = f"{kind}/{provider}"
    texts["ProviderArn"] = _whole(provider, account)
    return {
        **texts,
        "Decisions": (filters["decision"],) if filters["decision"] else (),
        **{wire: _read_time(filters[name]) for name, wire in _TIMES.items()},
    }


def _whole(name: str, account: AccountId) -> str:
    """The ARN of a name as the list shows it, without the account."""
    kind, slash, _ = name.partition("/")
    if not slash or kind not in _LISTED:
        return name
    service = sts_arn if kind in _OF_STS else iam_arn
    return service(account, name)


def _read_time(text: str) -> datetime | None:
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
        return found.replace(tzinfo=found.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValidationError(_BAD_TIME) from error


def _address(**filters: str) -> str:
    """The page's URL with these filters."""
    return address(AUDIT, **filters)


def _json(value: object) -> str:
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


PAGES = (PageRoute(AUDIT, "audit", _page),)
