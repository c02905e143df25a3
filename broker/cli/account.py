"""``broker account``: create and delete accounts, and manage their root user."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from broker.cli.commands import CommandPlace, lazy_group
from broker.cli.operator import (
    AccountArgument,
    operator_entry,
    read_account_id,
    require_known,
    with_installation,
)
from broker.cli.terminal import say, say_json, say_table
from broker.identities.account_options import (
    DISABLED_REGIONS,
    PROVIDER_OPTIONS,
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
from broker.model.account import Account, AccountId
from broker.stores.directory.port.accounts import AccountChange

if TYPE_CHECKING:
    from broker.installation import Installation

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
    account = AccountId(account_id)

    async def work(installation: "Installation") -> dict[str, str]:
        async with installation.stores.directory.change(account) as change:
            now = installation.clock.now()
            await create_account(change, account, alias=alias, now=now)
            key, secret = await create_root_key(
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
    from broker.identities.first_administrator import list_waiting  # noqa: PLC0415

    async def work(installation: "Installation") -> list[dict[str, Any]]:
        directory = installation.stores.directory
        return [
            {
                "AccountId": one.account_id,
                "Alias": one.alias,
                "Created": one.created_at.isoformat(timespec="seconds"),
                "WaitingForPassword": [
                    user.name for user in await list_waiting(directory, one)
                ],
            }
            for one in await directory.list_accounts()
        ]

    found = with_installation(work)
    if as_json:
        for row in found:
            say_json(row)
        return
    say_table(
        ("Account", "Alias", "Created", "Waiting for a password"),
        [
            (number, alias or "-", created, ", ".join(waiting) or "-")
            for number, alias, created, waiting in (row.values() for row in found)
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
    if new == deactivate:
        raise typer.BadParameter("pass either --new or --deactivate")
    account = AccountId(account_id)

    async def work(installation: "Installation") -> dict[str, str]:
        async with installation.stores.directory.change(account) as change:
            await require_known(change, account)
            await deactivate_root_keys(change, account)
            answer: dict[str, str] = {"AccountId": account}
            if new:
                key, secret = await create_root_key(
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

    async def work(installation: "Installation") -> None:
        async with installation.stores.directory.change(account) as change:
            await require_known(change, account)
            await change.delete_account(account)
            await change.record(operator_entry("DeleteAccount", account).complete())

    with_installation(work)
    say(f"Account {account} was deleted, and its sessions ended.")


@app.command()
def regions(
    account_id: AccountArgument,
    disable: Annotated[
        list[str] | None, typer.Option(help="Deactivate STS in this region.")
    ] = None,
    enable: Annotated[
        list[str] | None, typer.Option(help="Activate STS in this region.")
    ] = None,
) -> None:
    """Activate or deactivate STS in regions, and show where it is off."""
    account = AccountId(account_id)

    async def work(installation: "Installation") -> list[str]:
        found = await require_known(installation.stores.directory, account)
        if not disable and not enable:
            return sorted(disabled_regions(found))
        async with installation.stores.directory.change(account) as change:
            found = await require_known(change, account)
            try:
                off = switch_regions(found, disable=disable or (), enable=enable or ())
            except ValueError as error:
                raise typer.BadParameter(str(error)) from error
            await _set_option(change, found, DISABLED_REGIONS, off)
            entry = operator_entry("SwitchRegions", account, Disabled=", ".join(off))
            await change.record(entry.complete())
        return off

    off = with_installation(work)
    say(f"STS is off in {', '.join(off)}." if off else "STS is on everywhere.")


@app.command("unlisted-policies")
def unlisted_policies(
    account_id: AccountArgument,
    accept: Annotated[
        bool,
        typer.Option(
            "--accept/--refuse", help="Accept them as names that grant nothing."
        ),
    ],
) -> None:
    """Accept or refuse AWS managed policies that the broker does not know."""
    account = AccountId(account_id)

    async def work(installation: "Installation") -> None:
        async with installation.stores.directory.change(account) as change:
            found = await require_known(change, account)
            await _set_option(change, found, UNLISTED_POLICIES, accept)
            entry = operator_entry(
                "AcceptUnlistedPolicies", account, Accept=str(accept).lower()
            )
            await change.record(entry.complete())

    with_installation(work)
    effect = "accepted and grant nothing" if accept else "refused"
    say(f"AWS managed policies that the broker does not know are {effect}.")


@app.command("console-options")
def console_options(
    account_id: AccountArgument,
    allow: Annotated[
        bool,
        typer.Option("--allow/--refuse", help="Whether its administrators may."),
    ],
) -> None:
    """Let an account set its identity providers' broker-only options in the console."""
    account = AccountId(account_id)

    async def work(installation: "Installation") -> None:
        async with installation.stores.directory.change(account) as change:
            found = await require_known(change, account)
            await _set_option(change, found, PROVIDER_OPTIONS, allow)
            entry = operator_entry(
                "LetConsoleSetProviderOptions", account, Allow=str(allow).lower()
            )
            await change.record(entry.complete())

    with_installation(work)
    say(
        "Who may update a provider may set its options in the console."
        if allow
        else "Only the operator sets providers' options."
    )


@app.command("manage-root")
def manage_root(
    account_id: AccountArgument,
    by: Annotated[str, typer.Option(metavar="ACCOUNT", help="The managing account.")],
) -> None:
    """Let another account perform root tasks here (AssumeRoot); "" ends that."""
    account = AccountId(account_id)
    manager = read_account_id(by) if by else ""
    if manager == account:
        raise typer.BadParameter("an account cannot manage its own root")

    async def work(installation: "Installation") -> None:
        directory = installation.stores.directory
        if manager:
            await require_known(directory, AccountId(manager))
        async with directory.change(account) as change:
            found = await require_known(change, account)
            await _set_option(change, found, ROOT_MANAGED_BY, by)
            entry = operator_entry("ManageRoot", account, ManagedBy=by)
            await change.record(entry.complete())

    with_installation(work)
    if by:
        say(f"Account {by} may perform root tasks in {account}.")
    else:
        say(f"No other account may perform root tasks in {account}.")


async def _set_option(
    change: AccountChange, account: Account, name: str, value: object
) -> None:
    options = {key: kept for key, kept in account.options.items() if key != name}
    if value:
        options[name] = value
    await change.update_account(replace(account, options=options))
