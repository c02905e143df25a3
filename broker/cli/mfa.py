"""``broker mfa``: hardware tokens, and the root user's devices."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from broker.cli.operator import (
    AccountArgument,
    record_change,
    require_known,
    with_installation,
)
from broker.cli.terminal import say
from broker.errors import InvalidInput
from broker.kinds import mfa_devices
from broker.kinds.token_file import SeedEncoding, parse_tokens
from broker.model.account import AccountId

if TYPE_CHECKING:
    from broker.compose.installation import Installation

app = typer.Typer(help="MFA devices.", no_args_is_help=True)

_STDIN = "-"


@app.command("import")
def import_tokens(
    account_id: AccountArgument,
    file: Annotated[str, typer.Argument(help="Serial numbers and seeds; - for stdin.")],
    seeds: Annotated[
        SeedEncoding, typer.Option(help="The encoding of the seeds.")
    ] = SeedEncoding.HEX,
) -> None:
    """Import hardware tokens, so that they can be assigned with EnableMFADevice.

    One token per line: serial number, seed, and its period if not 30 seconds. Either
    all of them are imported or none.
    """
    account = AccountId(account_id)
    tokens = parse_tokens(_read(file), seeds)

    async def work(installation: "Installation") -> None:
        now = installation.clock.now()
        async with installation.stores.directory.change(account) as change:
            known = await require_known(change, account)
            for token in tokens:
                await mfa_devices.import_token(
                    change,
                    known,
                    serial=token.serial,
                    seed=token.seed,
                    period_seconds=token.period_seconds,
                    sealer=installation.vault,
                    now=now,
                )
            serials = [token.serial for token in tokens]
            await record_change(
                change, "ImportMFADevices", account, SerialNumbers=serials
            )

    with_installation(work)
    say(f"Imported: {len(tokens)}")


@app.command("enable-root")
def enable_root(
    account_id: AccountArgument,
    serial: Annotated[str, typer.Argument(metavar="SERIAL")],
    code1: Annotated[str, typer.Argument(metavar="CODE1")],
    code2: Annotated[str, typer.Argument(metavar="CODE2")],
) -> None:
    """Assign a device to an account's root user, with two consecutive codes."""
    account = AccountId(account_id)

    async def work(installation: "Installation") -> None:
        async with installation.stores.directory.change(account) as change:
            await mfa_devices.enable_device(
                change,
                await require_known(change, account),
                await mfa_devices.require_mfa_device(change, account, serial),
                account,
                (code1, code2),
                opener=installation.vault,
                now=installation.clock.now(),
            )
            await record_change(change, "EnableRootMFA", account, SerialNumber=serial)

    with_installation(work)
    say(f"{serial} was assigned to the root user.")


def _read(file: str) -> str:
    try:
        if file == _STDIN:
            return sys.stdin.read()
        return Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{file} cannot be read.") from error
