"""``broker account``: make and remove accounts, and their root keys."""

import json
from typing import Annotated

import typer

from broker.app import Services
from broker.cli.operator import AccountArgument, operator_entry, with_services
from broker.identities.accounts import (
    create_account,
    create_root_key,
    deactivate_root_keys,
    require_account,
)
from broker.model.account import AccountId

app = typer.Typer(help="Accounts of this installation.", no_args_is_help=True)


@app.command()
def create(
    account_id: AccountArgument,
    alias: Annotated[str | None, typer.Option(help="Sign-in name.")] = None,
) -> None:
    """Make an account and print its root key, once."""
    account = AccountId(account_id)

    async def work(services: Services) -> dict[str, str]:
        async with services.stores.directory.change(account) as change:
            now = services.clock.now()
            await create_account(change, account, alias=alias, now=now)
            key, secret = await create_root_key(
                change, account, sealer=services.vault, now=now
            )
            entry = operator_entry("CreateAccount", account, Alias=alias)
            await change.record(entry.complete())
        return {
            "AccountId": account,
            "AccessKeyId": key.access_key_id,
            "SecretAccessKey": secret.reveal(),
        }

    typer.echo(json.dumps(with_services(work)))


@app.command("root-key")
def root_key(
    account_id: AccountArgument,
    new: Annotated[bool, typer.Option("--new", help="Make a new root key.")] = False,
    deactivate: Annotated[
        bool, typer.Option("--deactivate", help="Retire every root key.")
    ] = False,  # a flag
) -> None:
    """Replace or retire an account's root key."""
    if new == deactivate:
        raise typer.BadParameter("write one of --new and --deactivate")
    account = AccountId(account_id)

    async def work(services: Services) -> dict[str, str]:
        await require_account(services.stores.directory, account)
        async with services.stores.directory.change(account) as change:
            await deactivate_root_keys(change, account)
            answer: dict[str, str] = {"AccountId": account}
            if new:
                key, secret = await create_root_key(
                    change, account, sealer=services.vault, now=services.clock.now()
                )
                answer["AccessKeyId"] = key.access_key_id
                answer["SecretAccessKey"] = secret.reveal()
            name = "CreateRootKey" if new else "DeactivateRootKey"
            await change.record(operator_entry(name, account).complete())
        return answer

    typer.echo(json.dumps(with_services(work)))


@app.command()
def delete(
    account_id: AccountArgument,
    yes: Annotated[
        bool, typer.Option("--yes", help="Really remove all it owns.")
    ] = False,  # a flag
) -> None:
    """Remove an account and all it owns, its sessions included; audit stays."""
    account = AccountId(account_id)
    if not yes:
        raise typer.BadParameter(f"add --yes to remove {account} and all it owns")

    async def work(services: Services) -> None:
        await require_account(services.stores.directory, account)
        async with services.stores.directory.change(account) as change:
            await change.delete_account(account)
            await change.record(operator_entry("DeleteAccount", account).complete())

    with_services(work)
    typer.echo(f"The account {account} is gone, its sessions with it.")
