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
    typer.Option(help="A network it may be used from, such as 10.0.0.0/8; repeatable."),
]
DaysOption = Annotated[int, typer.Option(help="How many days it is valid.")]
RevokeOption = Annotated[
    str, typer.Option(metavar="TOKEN_ID", help="Revoke this token instead.")
]


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


async def change_tokens(  # noqa: PLR0917  # as the options stand
    of: TokenRules[Any],
    opened: "Installation | Services",
    get_owner: Callable[[DirectoryChange], Awaitable[Owner]],
    account: str,
    lasts: int,
    addresses: list[str] | None,
    revoke: str = "",
) -> dict[str, str]:
    """Make a token and show it this once, or ``revoke`` the one of this id."""
    async with opened.stores.directory.change(AccountId(account)) as change:
        known = await require_known(change, AccountId(account))
        owner = await get_owner(change)
        resources: list[str] = [owner.arn]
        view: dict[str, Any] = {of.of: owner.name, "TokenId": revoke}
        if revoke:
            verb, answer = "Delete", {"Revoked": revoke}
            await of.delete(change, owner, revoke)
        else:
            verb, now = "Create", opened.clock.now().replace(microsecond=0)
            made, secret = await of.create(
                change, known, owner, lasts=lasts, addresses=addresses or (), now=now
            )
            answer = {
                "TokenId": made.token_id,
                "Token": secret.reveal(),
                "Expires": made.expires_at.isoformat(),
            }
            view |= {of.member: lasts, "TokenId": made.token_id}
            view["Addresses"] = list(made.addresses)
            if isinstance(made, JoinToken):
                resources.append(made.arn)
        action = f"{verb}{of.noun}"
        await record_change(change, action, owner.account, *resources, **view)
    return answer
