"""Declares the actions under the prefix ``broker``, one row each."""

from collections.abc import Callable

from broker.actions.action import Action, Call, Handle
from broker.authz.need import Need
from broker.model.registered import service_arn
from broker.model.request import Given

SERVICE = "broker"

Resource = Callable[[Given, Call], str]


def read(name: str, handle: Handle, on: Resource) -> Action:
    """An action that changes nothing."""
    return _action(name, handle, on, writes=False)


def change(name: str, handle: Handle, on: Resource) -> Action:
    """An action that runs inside a transaction."""
    return _action(name, handle, on, writes=True)


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


def _action(name: str, handle: Handle, on: Resource, *, writes: bool) -> Action:
    async def needs(given: Given, call: Call) -> tuple[Need, ...]:
        return (
            Need(
                action=f"{SERVICE}:{name}",
                resource=on(given, call),
                account=call.account,
            ),
        )

    return Action(
        service=SERVICE,
        name=name,
        handle=handle,
        needs=needs,
        writes=writes,
        audited=_SHOWN,
        lists=not writes,
    )


_SHOWN = (
    "Addresses",
    "Days",
    "Definition",
    "PolicyDocument",
    "ProviderArn",
    "ResourceArn",
    "ServiceName",
    "TokenId",
)
