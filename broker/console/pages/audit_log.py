"""*Audit log*: the account's records, with filters, and one record in full."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from broker.console.console_session import SignedIn
from broker.console.page_frame import PageFrame, Route
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
_OK = 200
_BAD_REQUEST = 400
_BAD_TIME = "Enter a time such as 2026-01-31T08:30, in UTC."


class AuditLog:
    """The list of records, and the page of one record."""

    def __init__(self, frame: PageFrame) -> None:
        self._frame = frame

    def routes(self) -> Iterable[Route]:
        """Their routes."""
        return ((AUDIT, ["GET"], self.page),)

    async def page(self, request: Request) -> Response:
        """``GET /console/audit``."""
        entered = await self._frame.enter(request)
        if isinstance(entered, Response):
            return entered
        form, who = entered
        filters = {
            name: (form.find(name) or "").strip()[:_LONGEST]
            for name in (*_TEXTS, *_TIMES, "decision")
        }
        try:
            given = _given(filters, who.session.account)
        except ValidationError as error:
            return await self._list(request, who, filters, {}, error.words)
        result = await self._frame.perform(
            request, who, ("cloudtrail", "LookupEvents"), given
        )
        if not filters["event"]:
            return await self._list(request, who, filters, result)
        records = result["Events"]
        counted = result["Counted"]
        if not records and counted is None:
            raise NoSuchEntity("There is no such record in this account.")
        return await self._frame.show(
            request,
            who,
            "audit_record.html",
            "audit",
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
        self,
        request: Request,
        who: SignedIn,
        filters: Mapping[str, str],
        result: Mapping[str, object],
        problem: str = "",
    ) -> Response:
        next_token = result.get("NextToken")
        return await self._frame.show(
            request,
            who,
            "audit.html",
            "audit",
            _BAD_REQUEST if problem else _OK,
            records=result.get("Events", ()),
            outcomes=Outcome,
            filters=filters,
            narrowed=any(filters[name] for name in filters if name != "next"),
            problem=problem,
            older=_address(**{**filters, "next": str(next_token)})
            if next_token
            else "",
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
    """The page's URL with these filters; empty ones are left out."""
    kept = urlencode({name: value for name, value in filters.items() if value})
    return f"{AUDIT}?{kept}" if kept else AUDIT


def _json(value: object) -> str:
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"
