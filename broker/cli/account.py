"""``broker account``: create and delete accounts, and manage their root user."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from broker.cli.commands import CommandPlace, lazy_group
from broker.cli.operator import (
    AccountArgument,
    operator_entry,
    require_known,
    with_installation,
)
from broker.cli.terminal import say, say_json, say_table
from broker.model.account import AccountId

if TYPE_CHECKING:
    from broker.compose.installation import Installation

_MORE = {
    "root-password": CommandPlace(
        "broker.cli.root_password",
        "root_password",
        "Allow or stop root user sign-in with a password and an MFA device.",
    ),
    "rotate-issuer-keys": CommandPlace(
        "broker.cli.issuer_keys",
        "rotate_issuer_keys",
        "Create new keys for the account's issuer; they sign after ten minutes.",
    ),
}
app = typer.Typer(
    cls=lazy_group(_MORE), help="Accounts of this installation.", no_args_is_help=True
)


@app.command()
def create(
    account_id: AccountArgument,
    alias: Annotated[str | None, typer.Option(help="Sign-in name.")] = None,
) -> None:
    """Create an account and print its root access key, once."""
    from broker.kinds import accounts as rules  # noqa: PLC0415

    account = AccountId(account_id)

    async def work(installation: "Installation") -> dict[str, str]:
        async with installation.stores.directory.change(account) as change:
            now = installation.clock.now()
            await rules.create_account(change, account, alias=alias, now=now)
            key, secret = await rules.create_root_key(
                change, account, sealer=installation.vault, now=now
            )
            entry = operator_entry("CreateAccount", account, Alias=alias)
            await change.record(entry.complete())
        return {
            "AccountId": account,
            "AccessKeyId": key.access_key_id,
            "SecretAccessKey": secret.reveal(),
        }

    say_json(with_installation(work))


def accounts(
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object per line.")
    ] = False,
) -> None:
    """List the accounts, and the administrators who have no password yet."""
    from broker.kinds.sign_in_links import list_waiting  # noqa: PLC0415
    from broker.stores.directory.accounts import list_accounts  # noqa: PLC0415

    async def work(installation: "Installation") -> list[dict[str, Any]]:
        directory = installation.stores.directory
        return [
            {
                "AccountId": account.account_id,
                "Alias": account.alias,
                "Created": account.created_at.isoformat(timespec="seconds"),
                "WaitingForPassword": [
                    user.name for user in await list_waiting(directory, account)
                ],
            }
            for account in await list_accounts(directory)
        ]

    results = with_installation(work)
    if as_json:
        for row in results:
            say_json(row)
        return
    say_table(
        ("Account", "Alias", "Created", "Waiting for a password"),
        [
            (number, alias or "-", created, ", ".join(waiting) or "-")
            for number, alias, created, waiting in (row.values() for row in results)
        ],
    )


@app.command("root-key")
def root_key(
    account_id: AccountArgument,
    new: Annotated[bool, typer.Option("--new", help="Create a new root key.")] = False,
    deactivate: Annotated[
        bool, typer.Option("--deactivate", help="Deactivate all root keys.")
    ] = False,  # a flag
) -> None:
    """Replace or deactivate an account's root access key."""
    from broker.kinds import accounts as rules  # noqa: PLC0415

    if new == deactivate:
        raise typer.BadParameter("pass either --new or --deactivate")
    account = AccountId(account_id)

    async def work(installation: "Installation") -> dict[str, str]:
        async with installation.stores.directory.change(account) as change:
            await require_known(change, account)
            await rules.deactivate_root_keys(change, account)
            answer: dict[str, str] = {"AccountId": account}
            if new:
                key, secret = await rules.create_root_key(
                    change,
                    account,
                    sealer=installation.vault,
                    now=installation.clock.now(),
                )
                answer["AccessKeyId"] = key.access_key_id
                answer["SecretAccessKey"] = secret.reveal()
            name = "CreateRootKey" if new else "DeactivateRootKey"
            await change.record(operator_entry(name, account).complete())
        return answer

    say_json(with_installation(work))


@app.command()
def delete(
    account_id: AccountArgument,
    yes: Annotated[
        bool, typer.Option("--yes", help="Confirm the deletion.")
    ] = False,  # a flag
) -> None:
    """Delete an account with everything in it; audit records are kept."""
    account = AccountId(account_id)
    if not yes:
        raise typer.BadParameter(f"pass --yes to delete {account} and everything in it")

    from broker.stores.directory.kinds import ACCOUNT  # noqa: PLC0415

    async def work(installation: "Installation") -> None:
        async with installation.stores.directory.change(account) as change:
            await change.remove(ACCOUNT, await require_known(change, account))
            await change.record(operator_entry("DeleteAccount", account).complete())

    with_installation(work)
    say(f"Account {account} was deleted, and its sessions ended.")
