"""Declares the actions under the prefix ``broker``, and handlers of their tokens."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from broker.actions.action import Action, Call, Handle
from broker.kinds.accounts import require_account
from broker.kinds.bearer_tokens import Owner, Token, TokenRules, view
from broker.model.registered import service_arn
from broker.model.request import Params
from broker.permit.need import Need

SERVICE = "broker"

Further = tuple[str, *tuple[Need, ...]]
"""A resource, and what a call needs besides the permission on it."""

Resource = Callable[[Params, Call], str | Awaitable[Further]]

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
FindOwner = Callable[[Params, Call], Awaitable[Owner]]


def read(name: str, handle: Handle, on: Resource) -> Action:
    """An action that changes nothing."""
    return _action(name, handle, on, writes=False)


def change(name: str, handle: Handle, on: Resource, *, calls: int = 1) -> Action:
    """An action that runs inside a transaction; ``calls`` is as in `Action`."""
    return _action(name, handle, on, writes=True, calls=calls)


def named_service(params: Params, call: Call) -> str:
    """The service ``ServiceName``, whether or not there is one."""
    return service_arn(call.account, params["ServiceName"])


def named_resource(params: Params, _call: Call) -> str:
    """The resource ``ResourceArn``."""
    arn: str = params["ResourceArn"]
    return arn


def named_provider(params: Params, _call: Call) -> str:
    """The identity provider ``ProviderArn``, whether or not there is one."""
    arn: str = params["ProviderArn"]
    return arn


def everything(_given: Params, _call: Call) -> str:
    """Lists are about no resource."""
    return "*"


def _action(
    name: str, handle: Handle, on: Resource, *, writes: bool, calls: int = 1
) -> Action:
    async def needs(params: Params, call: Call) -> tuple[Need, ...]:
        text = on(params, call)
        resource, *further = (text,) if isinstance(text, str) else await text
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

    async def create(self, params: Params, call: Call) -> Mapping[str, Any]:
        """Make one for the owner that the request names."""
        owner = await self._making(params, call)
        token, answer = await create_token(self._of, params, call, owner)
        call.record.parameters = {**call.record.parameters, "TokenId": token.token_id}
        return answer

    async def list(self, params: Params, call: Call) -> Mapping[str, Any]:
        """All that the owner has."""
        owner = await self._owner(params, call)
        results = await self._of.tokens_of(call.directory, owner)
        return {f"{self._of.noun}s": [view(token) for token in results]}

    async def delete(self, params: Params, call: Call) -> None:
        """Revoke one."""
        owner = await self._owner(params, call)
        await self._of.delete(call.change, owner, params["TokenId"])


async def create_token(
    of: TokenRules[Token], params: Params, call: Call, owner: Owner
) -> tuple[Token, dict[str, Any]]:
    """Make a token, and the answer that shows it this once."""
    token, secret = await of.create(
        call.change,
        await require_account(call.change, call.account),
        owner,
        lasts=params.get(of.member, of.default),
        addresses=params.get("Addresses", ()),
        now=call.now,
    )
    return token, {of.noun: view(token), "Token": secret.reveal()}
