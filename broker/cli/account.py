"""``broker account``: create and delete accounts, and manage their root user."""

import getpass
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from broker.cli.commands import CommandApp, say_renamed
from broker.cli.operator import (
    AlwaysJsonOption,
    JsonOption,
    OneJsonOption,
    OwnerOption,
    YesOption,
    read_account_id,
    record_change,
    require_consent,
    require_known,
    with_installation,
)
from broker.cli.terminal import say, say_entries, say_json, say_members, say_result
from broker.model.account import AccountId

if TYPE_CHECKING:
    from broker.compose.installation import Installation

app = CommandApp(help="Accounts.", no_args_is_help=True)


@app.command()
def create(
    account: Annotated[
        AccountId,
        typer.Argument(
            metavar="ID", parser=read_account_id, help="The account number: 12 digits."
        ),
    ],
    alias: Annotated[
        str | None, typer.Option(metavar="ALIAS", help="Sign-in name.")
    ] = None,
    _as_json: AlwaysJsonOption = False,
) -> None:
    """Create an account and print its root access key, once."""
    from broker.kinds import accounts as rules  # noqa: PLC0415

    async def work(installation: "Installation") -> dict[str, str]:
        async with installation.stores.directory.change(account) as change:
            now = installation.clock.now()
            await rules.create_account(change, account, alias=alias, now=now)
            key, secret = await rules.create_root_key(
                change, account, sealer=installation.vault, now=now
            )
            await record_change(change, "CreateAccount", account, Alias=alias)
        return {
            "AccountId": account,
            "AccessKeyId": key.access_key_id,
            "SecretAccessKey": secret.reveal(),
        }

    say_json(with_installation(work, may_make=True))


def accounts(as_json: JsonOption = False) -> None:
    """List the accounts, and the administrators who have no password yet."""
    say_renamed("accounts", "account list")
    list_all(as_json=as_json)


@app.command("list")
def list_all(as_json: JsonOption = False) -> None:
    """List the accounts, and the administrators who have no password yet."""
    from broker.kinds.first_administrator import list_waiting  # noqa: PLC0415
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

    say_entries(
        with_installation(work),
        ("Account", "Alias", "Created", "Waiting for a password"),
        lambda row: (
            row["AccountId"],
            row["Alias"] or "-",
            row["Created"],
            ", ".join(row["WaitingForPassword"]) or "-",
        ),
        as_json=as_json,
    )


@app.command()
def show(account: OwnerOption, as_json: OneJsonOption = False) -> None:
    """Show an account: its settings, and whether its root can be used."""
    from broker.kinds.first_administrator import list_waiting  # noqa: PLC0415
    from broker.model.entities import KeyStatus  # noqa: PLC0415
    from broker.stores.directory.kinds import ACCESS_KEY, LOGIN_PROFILE  # noqa: PLC0415
    from broker.template.account_settings import shown_settings  # noqa: PLC0415

    async def work(installation: "Installation") -> dict[str, Any]:
        directory = installation.stores.directory
        known = await require_known(directory, account)
        root_profile = await directory.find(LOGIN_PROFILE, account, account)
        return {
            "AccountId": account,
            "Alias": known.alias,
            "Created": known.created_at.isoformat(timespec="seconds"),
            "RootKeys": [
                key.access_key_id
                for key in await directory.all_of(ACCESS_KEY, account, user_id=None)
                if key.status is KeyStatus.ACTIVE
            ],
            "RootMaySignIn": root_profile is not None,
            "WaitingForPassword": [
                user.name for user in await list_waiting(directory, known)
            ],
            "Quotas": dict(sorted(known.quotas.items())),
            "Settings": shown_settings(known),
        }

    members = with_installation(work)
    if as_json:
        say_json(members)
    else:
        say_members({name: value or "-" for name, value in members.items()})


@app.command("root-key")
def root_key(
    account: OwnerOption,
    new: Annotated[bool, typer.Option("--new", help="Create a new root key.")] = False,
    deactivate: Annotated[
        bool, typer.Option("--deactivate", help="Deactivate all root keys.")
    ] = False,
    yes: YesOption = False,
    _as_json: AlwaysJsonOption = False,
) -> None:
    """Replace or deactivate an account's root access key."""
    from broker.kinds import accounts as rules  # noqa: PLC0415

    if new == deactivate:
        raise typer.BadParameter("pass either --new or --deactivate")
    require_consent(f"The root keys that {account} has will end.", yes=yes)

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
            await record_change(change, name, account)
        return answer

    say_json(with_installation(work))


@app.command()
def delete(
    account: OwnerOption,
    yes: Annotated[bool, typer.Option("--yes", help="Confirm the deletion.")] = False,
    as_json: OneJsonOption = False,
) -> None:
    """Delete an account with everything in it; audit records are kept."""
    if not yes:
        raise typer.BadParameter(f"pass --yes to delete {account} and everything in it")

    from broker.stores.directory.accounts import remove_account  # noqa: PLC0415

    async def work(installation: "Installation") -> None:
        async with installation.stores.directory.change(account) as change:
            await remove_account(change, await require_known(change, account))
            await record_change(change, "DeleteAccount", account)

    with_installation(work)
    say_result(
        {"AccountId": account},
        f"Account {account} was deleted, and its sessions ended.",
        as_json=as_json,
    )


@app.command("root-password")
def root_password(
    account: OwnerOption,
    set_: Annotated[
        bool, typer.Option("--set", help="Set a password and allow sign-in.")
    ] = False,
    off: Annotated[
        bool, typer.Option("--off", help="Remove the password and end root's sessions.")
    ] = False,
    yes: YesOption = False,
    as_json: OneJsonOption = False,
) -> None:
    """Allow or stop root user sign-in with a password and an MFA device.

    The password is prompted for, or read from stdin. Sign-in works only once the root
    user has an MFA device (broker mfa enable-root).
    """
    if set_ == off:
        raise typer.BadParameter("pass either --set or --off")
    if off:
        require_consent(
            f"The root password of {account} and root's sessions will end.", yes=yes
        )
        was_on = with_installation(
            lambda installation: _switch_off(installation, account)
        )
        say_result(
            {"AccountId": account, "WasOn": was_on, "CanSignIn": False},
            f"The root user of {account} can no longer sign in."
            if was_on
            else f"Root user sign-in was not enabled for {account}.",
            as_json=as_json,
        )
        return
    password = _read_password()

    async def work(installation: "Installation") -> bool:
        return await _set(installation, account, password)

    can_sign_in = with_installation(work)
    say_result(
        {"AccountId": account, "CanSignIn": can_sign_in},
        f"The root user of {account} can now sign in, at /signin/{account}?kind=root."
        f" Disable it afterwards: broker account root-password --account {account} --off"
        if can_sign_in
        else f"The root password of {account} is set, but sign-in also requires an MFA"
        f" device. Assign one: broker mfa enable-root --account {account} SERIAL CODE1"
        " CODE2",
        as_json=as_json,
    )


async def _set(installation: "Installation", account: AccountId, password: str) -> bool:
    """Set the password; return whether the root user can sign in now."""
    from broker.kinds import login_profiles, root_password  # noqa: PLC0415
    from broker.kinds.passwords import Passwords  # noqa: PLC0415

    directory = installation.stores.directory
    await require_known(directory, account)
    sealed = await root_password.prepare_root_password(
        Passwords(installation.vault), account, password
    )
    async with directory.change(account) as change:
        await require_known(change, account)
        await root_password.set_root_password(
            change, account, sealed, now=installation.clock.now()
        )
        factors = await login_profiles.list_factors(change, account, account)
        await record_change(
            change, "SwitchRootSignInOn", account, MFADevices=len(factors)
        )
    return bool(factors)


async def _switch_off(installation: "Installation", account: AccountId) -> bool:
    """Disable sign-in; return whether it was enabled."""
    from broker.kinds.root_password import end_root_sign_in  # noqa: PLC0415

    directory = installation.stores.directory
    await require_known(directory, account)
    async with directory.change(account) as change:
        was_on = await end_root_sign_in(change, account)
        await record_change(change, "SwitchRootSignInOff", account)
    return was_on


def _read_password() -> str:
    # Never from the command line, which other users of the machine can see.
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass("New root password: ")
    if getpass.getpass("Again: ") != password:
        raise typer.BadParameter("the passwords do not match")
    return password


@app.command("reset-password")
def reset_password(
    account: OwnerOption,
    user: Annotated[
        str, typer.Argument(metavar="USER", help="The user's name, such as admin.")
    ],
    yes: YesOption = False,
    as_json: OneJsonOption = False,
) -> None:
    """End a lost password, and print a link to choose another.

    Ends the user's console sessions too, and what came from them. Their MFA devices stay.
    """
    from broker.cli.init import OPEN, link_address  # noqa: PLC0415
    from broker.kinds import login_profiles, sign_in_links  # noqa: PLC0415

    require_consent(
        f"The password of {user} in account {account} and what began with it will end.",
        yes=yes,
    )

    async def work(installation: "Installation") -> str:
        async with installation.stores.directory.change(account) as change:
            changed, token = await login_profiles.replace_with_link(
                change,
                await require_known(change, account),
                user,
                now=installation.clock.now(),
            )
            await record_change(
                change, "ResetPassword", account, changed.arn, UserName=user
            )
        return link_address(installation, account, token)

    link, life = with_installation(work), sign_in_links.LIFE
    if as_json:
        say_json(
            {
                "AccountId": account,
                "UserName": user,
                "SignInLink": link,
                "ValidSeconds": int(life.total_seconds()),
            }
        )
        return
    say(
        f"The password of {user} in account {account} no longer works, and what began"
        " with it has ended.",
        OPEN.format(life // timedelta(hours=1)),
        link,
    )


@app.command("rotate-issuer-keys")
def rotate_issuer_keys(account: OwnerOption, as_json: OneJsonOption = False) -> None:
    """Create new keys for the account's issuer; they sign after ten minutes."""
    from broker.kinds.outbound import find_outbound, rotate, with_outbound  # noqa: PLC0415
    from broker.stores.directory.accounts import update_account  # noqa: PLC0415

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
            await record_change(
                change, "RotateIssuerKeys", account, Published=", ".join(published)
            )
        return published

    published = with_installation(work)
    say_result(
        {"AccountId": account, "Published": published},
        f"Published: {', '.join(published)}",
        as_json=as_json,
    )
