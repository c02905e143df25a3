"""``GetActivity``: how many sign-ins and failures the account had, hour by hour.

The permission is that of the audit log, whose records are counted.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypedDict

from broker.actions.action import Action, Call
from broker.permit.need import Need
from broker.stores.ledger.port import Ledger


class GetActivityRequest(TypedDict):
    """Since when, and the hours of one bucket."""

    StartTime: datetime
    BucketHours: int


def get_activity(ledger: Ledger) -> Action:
    """The action, given what it works with."""

    async def handle(given: GetActivityRequest, call: Call) -> Mapping[str, Any]:
        return {
            "Activity": await ledger.counts(
                call.account, given["StartTime"], bucket_hours=given["BucketHours"]
            )
        }

    return Action(
        service="signin",
        name="GetActivity",
        needs=_needs,
        handle=handle,
        audited=("StartTime", "BucketHours"),
    )


async def _needs(_given: GetActivityRequest, call: Call) -> tuple[Need, ...]:
    return (Need(action="cloudtrail:LookupEvents", resource="*", account=call.account),)
