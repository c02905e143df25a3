"""Declares the actions under the prefix ``broker``, one row each."""

from collections.abc import Awaitable, Callable

from broker.actions.action import Action, Call, Handle
from broker.model.registered import service_arn
from broker.model.request import Given
from broker.permit.need import Need

SERVICE = "broker"

Further = tuple[str, *tuple[Need, ...]]
"""A resource, and what a call needs besides the permission on it."""

Resource = Callable[[Given, Call], str | Awaitable[Further]]


def read(name: str, handle: Handle, on: Resource) -> Action:
    """An action that changes nothing."""
    return _action(name, handle, on, writes=False)


def change(name: str, handle: Handle, on: Resource, *, calls: int = 1) -> Action:
    """An action that runs inside a transaction; ``calls`` is as in `Action`."""
    return _action(name, handle, on, writes=True, calls=calls)


def named_service(given: Given, call: Call) -> str:
    """The service ``ServiceName``, whether or not there is one."""
    return service_arn(call.account, given["ServiceName"])


def named_resource(given: Given, _call: Call) -> str:
    """The resource ``ResourceArn``."""
    arn: str = given["ResourceArn"]
    return arn


def named_provider(given: Given, _call: Call) -> str:
    """The identity provider ``ProviderArn``, whether or not there is one."""
    arn: str = given["ProviderArn"]
    return arn


def everything(_given: Given, _call: Call) -> str:
    """Lists are about no resource."""
    return "*"


def _action(
    name: str, handle: Handle, on: Resource, *, writes: bool, calls: int = 1
) -> Action:
    async def needs(given: Given, call: Call) -> tuple[Need, ...]:
        found = on(given, call)
        resource, *further = (found,) if isinstance(found, str) else await found
        own = Need(action=f"{SERVICE}:{name}", resource=resource, account=call.account)
        return (own, *further)

    return Action(
        service=SERVICE,
        name=name,
        handle=handle,
        needs=needs,
        writes=writes,
        audited=_SHOWN,
        calls=calls,
        lists=not writes,
    )


_SHOWN = (
    "Addresses",
    "Days",
    "Definition",
    "DurationSeconds",
    "InstanceId",
    "InstanceProfileName",
    "PolicyDocument",
    "ProviderArn",
    "ResourceArn",
    "ServiceName",
    "TokenId",
)
