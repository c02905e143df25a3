"""``broker account rotate-issuer-keys``: keys of the tokens that an account issues."""

from typing import TYPE_CHECKING

import typer

from broker.cli.operator import (
    AccountArgument,
    operator_entry,
    require_known,
    with_installation,
)
from broker.cli.terminal import say
from broker.kinds.outbound import find_outbound, rotate, with_outbound
from broker.model.account import AccountId
from broker.stores.directory.accounts import update_account

if TYPE_CHECKING:
    from broker.compose.installation import Installation


def rotate_issuer_keys(account_id: AccountArgument) -> None:
    """Create new keys for the account's issuer; they sign after ten minutes."""
    account = AccountId(account_id)

    async def work(installation: "Installation") -> list[str]:
        async with installation.stores.directory.change(account) as change:
            known = await require_known(change, account)
            outbound = find_outbound(known)
            if outbound is None:
                raise typer.BadParameter(
                    f"{account} has never enabled outbound federation"
                )
            rotated = rotate(
                account, outbound, installation.vault, installation.clock.now()
            )
            await update_account(change, with_outbound(known, rotated))
            published = [key.kid for key in rotated.published(installation.clock.now())]
            entry = operator_entry(
                "RotateIssuerKeys", account, Published=", ".join(published)
            )
            await change.record(entry.complete())
        return published

    say(f"Published: {', '.join(with_installation(work))}")
