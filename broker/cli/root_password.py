"""``broker account root-password``: the root's sign-in, for emergencies.

The password comes from the terminal or from stdin, never from the command line, which
other users of the machine can read.
"""

import getpass
import sys
from typing import Annotated

import typer

from broker.cli.operator import (
    AccountArgument,
    operator_entry,
    require_known,
    with_services,
)
from broker.cli.terminal import say
from broker.identities.passwords import Passwords
from broker.identities.root_password import (
    end_root_sign_in,
    prepare_root_password,
    set_root_password,
)
from broker.identities.second_factors import list_factors
from broker.model.account import AccountId
from broker.services import Services


def root_password(
    account_id: AccountArgument,
    set_: Annotated[
        bool, typer.Option("--set", help="Set a password and let the root sign in.")
    ] = False,  # a flag
    off: Annotated[
        bool, typer.Option("--off", help="Forget it; the root's sessions end.")
    ] = False,  # a flag
) -> None:
    """Let the root sign in with a password and a second factor, or no longer.

    The password is asked for, or read from stdin. The root needs a second factor
    (broker mfa enable-root) before its sign-in works.
    """
    if set_ == off:
        raise typer.BadParameter("write one of --set and --off")
    account = AccountId(account_id)
    if off:
        if with_services(lambda services: _switch_off(services, account)):
            say(f"The root of {account} cannot sign in any more.")
        else:
            say(f"The root of {account} could not sign in.")
        return
    password = _read_password()

    async def work(services: Services) -> bool:
        return await _set(services, account, password)

    if with_services(work):
        say(
            f"The root of {account} can sign in now, at /signin/{account}?kind=root."
            f" Switch it off when it is done: broker account root-password {account}"
            " --off"
        )
    else:
        say(
            f"The password of the root of {account} is set, but the root has no second"
            f" factor. Its sign-in works after: broker mfa enable-root {account}"
            " SERIAL CODE1 CODE2"
        )


async def _set(services: Services, account: AccountId, password: str) -> bool:
    """Whether the root can sign in with it already."""
    directory = services.stores.directory
    await require_known(directory, account)
    sealed = await prepare_root_password(Passwords(services.vault), account, password)
    async with directory.change(account) as change:
        await require_known(change, account)
        await set_root_password(change, account, sealed, now=services.clock.now())
        factors = await list_factors(change, account, account)
        entry = operator_entry("SwitchRootSignInOn", account, MFADevices=len(factors))
        await change.record(entry.complete())
    return bool(factors)


async def _switch_off(services: Services, account: AccountId) -> bool:
    """Whether it was on."""
    directory = services.stores.directory
    await require_known(directory, account)
    async with directory.change(account) as change:
        was_on = await end_root_sign_in(change, account)
        await change.record(operator_entry("SwitchRootSignInOff", account).complete())
    return was_on


def _read_password() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass("The root's new password: ")
    if getpass.getpass("Once more: ") != password:
        raise typer.BadParameter("the two are not the same")
    return password
