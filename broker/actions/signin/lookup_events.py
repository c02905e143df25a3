"""``LookupEvents``: the account's audit records, newest first.

The permission is ``cloudtrail:LookupEvents``, as for AWS's own log of calls.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypedDict

from broker.actions.action import Action, Call
from broker.authz.need import Need
from broker.errors import ValidationError
from broker.model.audit import AuditFilter
from broker.model.page import PageRequest
from broker.stores.errors import InvalidMarkerError
from broker.stores.ledger.port import Ledger

_PAGE = 40


class LookupEventsRequest(TypedDict):
    """What to look for; empty values match everything.

    Times are half-open, as `AuditFilter` has them.
    """

    EventId: str
    CallerArn: str
    AccessKeyId: str
    Action: str
    Decision: str
    ProviderArn: str
    StartTime: datetime | None
    EndTime: datetime | None
    NextToken: str


class LookupEvents:
    """The handler, with what it needs."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def action(self) -> Action:
        """The declaration."""
        return Action(
            service="cloudtrail",
            name="LookupEvents",
            needs=_needs,
            handle=self._handle,
            audited=(
                "EventId",
                "CallerArn",
                "AccessKeyId",
                "Action",
                "Decision",
                "ProviderArn",
                "StartTime",
                "EndTime",
            ),
        )

    async def _handle(
        self, given: LookupEventsRequest, call: Call
    ) -> Mapping[str, Any]:
        wanted = AuditFilter(
            account=call.account,
            event_id=given["EventId"],
            caller_arn=given["CallerArn"],
            access_key_id=given["AccessKeyId"],
            action=given["Action"],
            decision=given["Decision"],
            provider_arn=given["ProviderArn"],
            since=given["StartTime"],
            until=given["EndTime"],
        )
        try:
            page = await self._ledger.search(
                wanted, PageRequest(given["NextToken"] or None, _PAGE)
            )
        except InvalidMarkerError as error:
            raise ValidationError("There is no such place in this list.") from error
        return {"Events": page.items, "NextToken": page.marker}


async def _needs(_given: LookupEventsRequest, call: Call) -> tuple[Need, ...]:
    return (Need(action="cloudtrail:LookupEvents", resource="*", account=call.account),)
