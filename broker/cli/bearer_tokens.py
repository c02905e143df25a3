"""What commands do with bearer tokens, whatever these belong to."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from broker.cli.operator import record_change, require_known
from broker.kinds.bearer_tokens import Owner, TokenRules
from broker.model.account import AccountId
from broker.model.registered import JoinToken
from broker.stores.directory.port import DirectoryChange, DirectoryReader

if TYPE_CHECKING:
    from broker.compose.installation import Installation
    from broker.compose.services import Services

AddressOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NETWORK",
        help="A network it may be used from, such as 10.0.0.0/8; repeatable.",
    ),
]
DaysOption = Annotated[
    int, typer.Option(metavar="DAYS", help="How many days it is valid.")
]
RevokeOption = Annotated[
    str,
    typer.Option(
        metavar="TOKEN_ID", hidden=True, help="Revoke this token; now a command."
    ),
]
TokenArgument = Annotated[
    str, typer.Argument(metavar="TOKEN_ID", help="The token, as the list names it.")
]

OwnerReader = Callable[[DirectoryChange], Awaitable[Owner]]
"""Finds what a token belongs to; fails where there is no such thing."""


async def described_tokens(
    of: TokenRules[Any], directory: DirectoryReader, owner: Owner
) -> list[dict[str, Any]]:
    """The tokens of one owner, without the secrets."""
    return [
        {
            "TokenId": token.token_id,
            "Expires": token.expires_at.isoformat(),
            "Addresses": list(token.addresses),
        }
        for token in await of.tokens_of(directory, owner)
    ]


async def create_token(  # noqa: PLR0917  # as the options stand
    of: TokenRules[Any],
    opened: "Installation | Services",
    get_owner: OwnerReader,
    account: AccountId,
    lasts: int,
    addresses: list[str] | None,
) -> dict[str, str]:
    """Make a token, and show it this once."""
    async with opened.stores.directory.change(account) as change:
        known = await require_known(change, account)
        owner = await get_owner(change)
        made, secret = await of.create(
            change,
            known,
            owner,
            lasts=lasts,
            addresses=addresses or (),
            now=opened.clock.now().replace(microsecond=0),
        )
        await record_change(
            *(change, f"Create{of.noun}", owner.account, owner.arn),
            *((made.arn,) if isinstance(made, JoinToken) else ()),
            **{
                of.of: owner.name,
                of.member: lasts,
                "TokenId": made.token_id,
                "Addresses": list(made.addresses),
            },
        )
    return {
        "TokenId": made.token_id,
        "Token": secret.reveal(),
        "Expires": made.expires_at.isoformat(),
    }


async def revoke_token(
    of: TokenRules[Any],
    opened: "Installation | Services",
    get_owner: OwnerReader,
    account: AccountId,
    token_id: str,
) -> dict[str, str]:
    """End a token: whatever presents it is refused from now on."""
    async with opened.stores.directory.change(account) as change:
        await require_known(change, account)
        owner = await get_owner(change)
        await of.delete(change, owner, token_id)
        await record_change(
            *(change, f"Delete{of.noun}", owner.account, owner.arn),
            **{of.of: owner.name, "TokenId": token_id},
        )
    return {"Revoked": token_id}
