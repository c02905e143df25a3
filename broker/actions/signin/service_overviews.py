"""``ListServiceOverviews``: the account's registered services, and how long they can ask.

The permissions are those to list services, and the tokens of all of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from broker.actions.action import Action, Call
from broker.model.registered import RegisteredService, service_arn
from broker.model.request import Given
from broker.permit.need import Need
from broker.stores.directory.kinds import SERVICE, SERVICE_TOKEN


@dataclass(frozen=True, slots=True)
class ServiceOverview:
    """A service, its tokens that have not expired, and when the first of them does."""

    service: RegisteredService
    tokens: int
    first_end: datetime | None


async def _list(_given: Given, call: Call) -> Mapping[str, Any]:
    """``Services`` are `ServiceOverview`, by name."""
    ends: dict[str, list[datetime]] = {}
    for token in await call.directory.all_of(SERVICE_TOKEN, call.account):
        if token.expires_at > call.now:
            ends.setdefault(token.owner_id, []).append(token.expires_at)
    services = await call.directory.all_of(SERVICE, call.account)
    return {
        "Services": tuple(
            ServiceOverview(
                service,
                len(ends.get(service.service_id, ())),
                min(ends.get(service.service_id, ()), default=None),
            )
            for service in sorted(services, key=lambda one: one.name)
        )
    }


async def _needs(_given: Given, call: Call) -> tuple[Need, ...]:
    return (
        Need(action="broker:ListServices", resource="*", account=call.account),
        Need(
            action="broker:ListServiceTokens",
            resource=service_arn(call.account, "*"),
            account=call.account,
        ),
    )


LIST_SERVICE_OVERVIEWS = Action(
    service="signin", name="ListServiceOverviews", needs=_needs, handle=_list
)
