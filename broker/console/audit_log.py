"""*Audit log*: the account's records with filters, and one in full with its reason."""

import json
from collections.abc import Iterable
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from broker.console.inside import Inside, Route
from broker.errors import NoSuchEntity

AUDIT = "/console/audit"
_FIELDS = {
    "caller": "CallerArn",
    "action": "Action",
    "decision": "Decision",
    "provider": "ProviderArn",
    "event": "EventId",
    "next": "NextToken",
}
_LONGEST = 2048
_LONGEST_SHOWN = 4000


class AuditLog:
    """The list and the record."""

    def __init__(self, inside: Inside) -> None:
        self._inside = inside

    def routes(self) -> Iterable[Route]:
        """Where the pages are."""
        return ((AUDIT, ["GET"], self.page),)

    async def page(self, request: Request) -> Response:
        """``GET /console/audit``."""
        entered = await self._inside.enter(request)
        if isinstance(entered, Response):
            return entered
        form, who = entered
        asked = {n: (form.find(n) or "").strip()[:_LONGEST] for n in _FIELDS}
        result = await self._inside.perform(
            request,
            who,
            ("cloudtrail", "LookupEvents"),
            {wire: asked[name] for name, wire in _FIELDS.items()},
        )
        records = result["Events"]
        if asked["event"]:
            if not records:
                raise NoSuchEntity("There is no such record in this account.")
            return await self._inside.show(
                request,
                who,
                "audit_record.html",
                "audit",
                record=records[0],
                parameters=_json(records[0].parameters),
                minted=_json(records[0].session) if records[0].session else "",
            )
        onward = ""
        if result["NextToken"]:
            kept = {n: v for n, v in asked.items() if v}
            onward = f"{AUDIT}?{urlencode({**kept, 'next': result['NextToken']})}"
        return await self._inside.show(
            request,
            who,
            "audit.html",
            "audit",
            records=records,
            asked=asked,
            more=onward,
        )


def _json(value: object) -> str:
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"
