"""``broker account root-password``: the root user's sign-in, for emergencies.

The password is read from the terminal or stdin, never from the command line, which
other users of the machine can see.
"""

import getpass
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from broker.cli.operator import (
    AccountArgument,
    operator_entry,
    require_known,
    with_installation,
)
from broker.cli.terminal import say
from broker.kinds.login_profiles import (
    end_root_sign_in,
    list_factors,
    prepare_root_password,
    set_root_password,
)
from broker.kinds.passwords import Passwords
from broker.model.account import AccountId

if TYPE_CHECKING:
    from broker.compose.installation import Installation


def root_password(
    account_id: AccountArgument,
    set_: Annotated[
        bool, typer.Option("--set", help="Set a password and allow sign-in.")
    ] = False,  # a flag
    off: Annotated[
        bool, typer.Option("--off", help="Remove the password and end root's sessions.")
    ] = False,  # a flag
) -> None:
    """Allow or stop root user sign-in with a password and an MFA device.

    The password is prompted for, or read from stdin. Sign-in works only once the root
    user has an MFA device (broker mfa enable-root).
    """
    if set_ == off:
        raise typer.BadParameter("pass either --set or --off")
    account = AccountId(account_id)
    if off:
        if with_installation(lambda installation: _switch_off(installation, account)):
            say(f"The root user of {account} can no longer sign in.")
        else:
            say(f"Root user sign-in was not enabled for {account}.")
        return
    password = _read_password()

    async def work(installation: "Installation") -> bool:
        return await _set(installation, account, password)

    if with_installation(work):
        say(
            f"The root user of {account} can now sign in, at"
            f" /signin/{account}?kind=root. Disable it afterwards: broker account"
            f" root-password {account} --off"
        )
    else:
        say(
            f"The root password of {account} is set, but sign-in also requires an MFA"
            f" device. Assign one: broker mfa enable-root {account} SERIAL CODE1 CODE2"
        )


async def _set(installation: "Installation", account: AccountId, password: str) -> bool:
    """Set the password; return whether the root user can sign in now."""
    directory = installation.stores.directory
    await require_known(directory, account)
    sealed = await prepare_root_password(
        Passwords(installation.vault), account, password
    )
    async with directory.change(account) as change:
        await require_known(change, account)
        await set_root_password(change, account, sealed, now=installation.clock.now())
        factors = await list_factors(change, account, account)
        entry = operator_entry("SwitchRootSignInOn", account, MFADevices=len(factors))
        await change.record(entry.complete())
    return bool(factors)


async def _switch_off(installation: "Installation", account: AccountId) -> bool:
    """Disable sign-in; return whether it was enabled."""
    directory = installation.stores.directory
    await require_known(directory, account)
    async with directory.change(account) as change:
        was_on = await end_root_sign_in(change, account)
        await change.record(operator_entry("SwitchRootSignInOff", account).complete())
    return was_on


def _read_password() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass("New root password: ")
    if getpass.getpass("Again: ") != password:
        raise typer.BadParameter("the passwords do not match")
    return password
