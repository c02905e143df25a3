"""Declares the actions under the prefix ``broker``, and handlers of their tokens."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from broker.actions.action import Action, Call, Handle
from broker.kinds.accounts import require_account
from broker.kinds.bearer_tokens import Owner, Token, TokenRules, view
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


FindOwner = Callable[[Given, Call], Awaitable[Owner]]


class TokenOperations:
    """The handlers of a kind of token.

    ``making`` finds the owner of a new one, if it takes more than to find it.
    """

    def __init__(
        self, of: TokenRules[Any], owner: FindOwner, making: FindOwner | None = None
    ) -> None:
        self._of = of
        self._owner = owner
        self._making = making or owner

    async def create(self, given: Given, call: Call) -> Mapping[str, Any]:
        """Make one for the owner that the request names."""
        owner = await self._making(given, call)
        token, answer = await create_token(self._of, given, call, owner)
        call.record.parameters = {**call.record.parameters, "TokenId": token.token_id}
        return answer

    async def list(self, given: Given, call: Call) -> Mapping[str, Any]:
        """All that the owner has."""
        owner = await self._owner(given, call)
        found = await self._of.tokens_of(call.directory, owner)
        return {f"{self._of.noun}s": [view(token) for token in found]}

    async def delete(self, given: Given, call: Call) -> None:
        """Revoke one."""
        owner = await self._owner(given, call)
        await self._of.delete(call.change, owner, given["TokenId"])


async def create_token(
    of: TokenRules[Token], given: Given, call: Call, owner: Owner
) -> tuple[Token, dict[str, Any]]:
    """Make a token, and the answer that shows it this once."""
    token, secret = await of.create(
        call.change,
        await require_account(call.change, call.account),
        owner,
        lasts=given.get(of.member, of.default),
        addresses=given.get("Addresses", ()),
        now=call.now,
    )
    return token, {of.noun: view(token), "Token": secret.reveal()}
