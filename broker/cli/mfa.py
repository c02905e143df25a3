"""``broker mfa``: hardware tokens, and the root user's devices."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from broker.cli.commands import CommandApp
from broker.cli.operator import (
    OneJsonOption,
    OwnerOption,
    record_change,
    require_known,
    with_installation,
)
from broker.cli.terminal import say_result
from broker.errors import InvalidInput
from broker.kinds import mfa_devices
from broker.kinds.token_file import SeedEncoding, parse_tokens

if TYPE_CHECKING:
    from broker.compose.installation import Installation

app = CommandApp(help="MFA devices.", no_args_is_help=True)

_STDIN = "-"


@app.command("import")
def import_tokens(
    account: OwnerOption,
    file: Annotated[
        str,
        typer.Argument(metavar="FILE", help="Serial numbers and seeds; - for stdin."),
    ],
    seeds: Annotated[
        SeedEncoding, typer.Option(help="The encoding of the seeds.")
    ] = SeedEncoding.HEX,
    as_json: OneJsonOption = False,
) -> None:
    """Import hardware tokens, so that they can be assigned with EnableMFADevice.

    One token per line: serial number, seed, and its period if not 30 seconds. Either
    all of them are imported or none.
    """
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
    say_result(
        {"AccountId": account, "SerialNumbers": [token.serial for token in tokens]},
        f"Imported: {len(tokens)}",
        as_json=as_json,
    )


@app.command("enable-root")
def enable_root(
    account: OwnerOption,
    serial: Annotated[
        str, typer.Argument(metavar="SERIAL", help="The device's serial number or ARN.")
    ],
    code1: Annotated[
        str, typer.Argument(metavar="CODE1", help="A code that it shows.")
    ],
    code2: Annotated[str, typer.Argument(metavar="CODE2", help="The next code.")],
    as_json: OneJsonOption = False,
) -> None:
    """Assign a device to an account's root user, with two consecutive codes."""

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
    say_result(
        {"AccountId": account, "SerialNumber": serial},
        f"{serial} was assigned to the root user.",
        as_json=as_json,
    )


def _read(file: str) -> str:
    try:
        if file == _STDIN:
            return sys.stdin.read()
        return Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{file} cannot be read.") from error
