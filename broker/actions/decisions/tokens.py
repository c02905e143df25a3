"""What administrators do with bearer tokens, whatever these belong to."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from broker.actions.action import Call
from broker.kinds.accounts import require_account
from broker.kinds.bearer_tokens import Owner, Token, TokenRules, view
from broker.model.request import Given

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
