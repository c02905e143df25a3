"""``broker account``: make and remove accounts, and their root keys."""

from dataclasses import replace
from typing import Annotated

import typer

from broker.cli.operator import (
    AccountArgument,
    operator_entry,
    read_account_id,
    require_known,
    with_services,
)
from broker.cli.root_password import root_password
from broker.cli.terminal import say, say_json
from broker.identities.account_options import (
    DISABLED_REGIONS,
    ROOT_MANAGED_BY,
    UNLISTED_POLICIES,
    disabled_regions,
    switch_regions,
)
from broker.identities.accounts import (
    create_account,
    create_root_key,
    deactivate_root_keys,
)
from broker.identities.outbound import find_outbound, rotate, with_outbound
from broker.model.account import Account, AccountId
from broker.services import Services
from broker.stores.directory.port.accounts import AccountChange

app = typer.Typer(help="Accounts of this installation.", no_args_is_help=True)
app.command("root-password")(root_password)


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

    say_json(with_services(work))


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
        await require_known(services.stores.directory, account)
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

    say_json(with_services(work))


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
        await require_known(services.stores.directory, account)
        async with services.stores.directory.change(account) as change:
            await change.delete_account(account)
            await change.record(operator_entry("DeleteAccount", account).complete())

    with_services(work)
    say(f"The account {account} is gone, its sessions with it.")


@app.command()
def regions(
    account_id: AccountArgument,
    disable: Annotated[
        list[str] | None, typer.Option(help="Switch STS off in this region.")
    ] = None,
    enable: Annotated[
        list[str] | None, typer.Option(help="Switch STS on in this region.")
    ] = None,
) -> None:
    """Switch STS off or on in regions, and show where it is off."""
    account = AccountId(account_id)

    async def work(services: Services) -> list[str]:
        found = await require_known(services.stores.directory, account)
        if not disable and not enable:
            return sorted(disabled_regions(found))
        async with services.stores.directory.change(account) as change:
            found = await require_known(change, account)
            try:
                off = switch_regions(found, disable=disable or (), enable=enable or ())
            except ValueError as error:
                raise typer.BadParameter(str(error)) from error
            await _set_option(change, found, DISABLED_REGIONS, off)
            entry = operator_entry("SwitchRegions", account, Disabled=", ".join(off))
            await change.record(entry.complete())
        return off

    off = with_services(work)
    say(f"STS is off in {', '.join(off)}." if off else "STS is on everywhere.")


@app.command("unlisted-policies")
def unlisted_policies(
    account_id: AccountArgument,
    accept: Annotated[
        bool,
        typer.Option(
            "--accept/--refuse", help="Take them as names that grant nothing, or not."
        ),
    ],
) -> None:
    """Whether names of AWS-managed policies that the broker lacks may be used."""
    account = AccountId(account_id)

    async def work(services: Services) -> None:
        async with services.stores.directory.change(account) as change:
            found = await require_known(change, account)
            await _set_option(change, found, UNLISTED_POLICIES, accept)
            entry = operator_entry(
                "AcceptUnlistedPolicies", account, Accept=str(accept).lower()
            )
            await change.record(entry.complete())

    with_services(work)
    taken = "names that grant nothing" if accept else "policies that do not exist"
    say(f"AWS-managed policies that the broker lacks are {taken}.")


@app.command("manage-root")
def manage_root(
    account_id: AccountArgument,
    by: Annotated[str, typer.Option(metavar="ACCOUNT", help="The managing account.")],
) -> None:
    """Let another account do root tasks in this one (AssumeRoot); "" ends that."""
    account = AccountId(account_id)
    manager = read_account_id(by) if by else ""
    if manager == account:
        raise typer.BadParameter("an account cannot manage its own root")

    async def work(services: Services) -> None:
        directory = services.stores.directory
        if manager:
            await require_known(directory, AccountId(manager))
        async with directory.change(account) as change:
            found = await require_known(change, account)
            await _set_option(change, found, ROOT_MANAGED_BY, by)
            entry = operator_entry("ManageRoot", account, ManagedBy=by)
            await change.record(entry.complete())

    with_services(work)
    if by:
        say(f"The account {by} may do root tasks in {account}.")
    else:
        say(f"Nobody else may do root tasks in {account}.")


async def _set_option(
    change: AccountChange, account: Account, name: str, value: object
) -> None:
    options = {key: kept for key, kept in account.options.items() if key != name}
    if value:
        options[name] = value
    await change.update_account(replace(account, options=options))


@app.command("rotate-issuer-keys")
def rotate_issuer_keys(account_id: AccountArgument) -> None:
    """Give the account's issuer new keys; they sign ten minutes later."""
    account = AccountId(account_id)

    async def work(services: Services) -> list[str]:
        async with services.stores.directory.change(account) as change:
            found = await require_known(change, account)
            outbound = find_outbound(found)
            if outbound is None:
                raise typer.BadParameter(
                    f"{account} never switched outbound federation on"
                )
            rotated = rotate(account, outbound, services.vault, services.clock.now())
            await change.update_account(with_outbound(found, rotated))
            published = [key.kid for key in rotated.published(services.clock.now())]
            entry = operator_entry(
                "RotateIssuerKeys", account, Published=", ".join(published)
            )
            await change.record(entry.complete())
        return published

    say(f"Published: {', '.join(with_services(work))}")
