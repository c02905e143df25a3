"""``broker demo``: a broker to try out, with an identity provider beside it."""

import asyncio
import logging
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.panel import Panel

from broker.cli.logs import configure_logs
from broker.cli.serve import SERVER
from broker.demo.aws_profiles import (
    ANALYST_PROFILE,
    CONFIG_FILE,
    WORKLOAD_PROFILE,
)
from broker.demo.people import ACCOUNT, ALIAS
from broker.demo.run import DemoPlace, claim_folder, run_demo
from broker.demo.seed import CREDENTIALS_FILE, PORTAL_PROFILE, ForeignStorageError
from broker.settings import LogFormat

_HIGHEST_PORT = 65_534


def demo(
    port: Annotated[
        int,
        typer.Option(
            min=1,
            max=_HIGHEST_PORT,
            help="The broker's port; the identity provider takes the next one.",
        ),
    ] = 8080,
    folder: Annotated[
        Path | None,
        typer.Option(help="Keep everything here. Without it, it is thrown away."),
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show a line for each request.")
    ] = False,
) -> None:
    """Try the broker out: demo account, demo people, nothing to set up.

    Listens on loopback addresses only, and ignores the settings of stores and keys.
    """
    configure_logs(
        LogFormat.CONSOLE, level=logging.INFO if verbose else logging.WARNING
    )
    with ExitStack() as stack:
        if folder is None:
            temporary = tempfile.TemporaryDirectory(prefix="broker-demo-")
            folder = Path(stack.enter_context(temporary))
            kept = False
        else:
            kept = True
        place = DemoPlace(folder.absolute(), port)
        try:
            claim_folder(place.folder)
            asyncio.run(
                run_demo(place, SERVER, lambda: _announce(place, kept=kept)),
            )
        except KeyboardInterrupt:
            typer.echo("Stopped.", err=True)
        except ForeignStorageError as error:
            typer.echo(f"broker: {error}", err=True)
            raise typer.Exit(1) from error


def _announce(place: DemoPlace, *, kept: bool) -> None:
    console = Console()
    idp, broker = place.idp_origin, place.broker_origin
    click = (
        f"[bold]{idp}/[/]\n  the demo identity provider: sign in as Ana or Ben\n"
        f"[bold]{broker}/signin[/]\n  the broker's own sign-in page"
        f" (account {ACCOUNT}, alias {ALIAS})"
    )
    console.print(Panel(click, title="Click", title_align="left", padding=(1, 2)))
    # Printed plainly, so that nothing is added when it is copied.
    console.print("[bold]Paste[/] into another terminal:\n")
    for line in (
        f"export AWS_CONFIG_FILE={place.folder / CONFIG_FILE}",
        f"export AWS_SHARED_CREDENTIALS_FILE={place.folder / CREDENTIALS_FILE}",
        "",
        "# a workload, by its ID token",
        f"aws sts get-caller-identity --profile {WORKLOAD_PROFILE}",
        "# a user with a long-term key, and a role that it takes",
        f"aws sts get-caller-identity --profile {PORTAL_PROFILE}",
        f"aws iam list-roles --profile {ANALYST_PROFILE}",
    ):
        console.print(line, soft_wrap=True, highlight=False, markup=False)
    end = "is kept" if kept else "is thrown away at the end"
    console.print(f"\n[dim]{place.folder} {end}. Stop with Ctrl-C.[/]", soft_wrap=True)
