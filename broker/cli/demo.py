"""``broker demo``: a broker to try out, with its own identity provider."""

import asyncio
import logging
import signal
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from broker.cli.listening import listen
from broker.cli.logs import configure_logs
from broker.cli.terminal import say
from broker.settings import LogFormat

_HIGHEST_PORT = 65_534


def demo(
    port: Annotated[
        int,
        typer.Option(
            metavar="PORT",
            min=1,
            max=_HIGHEST_PORT,
            help="The broker's port; the identity provider takes the next one.",
        ),
    ] = 8080,
    folder: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Keep the data here. Default: a temporary folder."
        ),
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show a line for each request.")
    ] = False,
) -> None:
    """Try the broker with a demo account and demo users; no setup needed.

    It listens on loopback addresses only and ignores the store and key settings.
    """
    # Imported here so that other commands start faster.
    from broker.cli.worker import SERVER  # noqa: PLC0415
    from broker.demo.run import (  # noqa: PLC0415
        HOST,
        IDP_HOST,
        DemoPlace,
        announce,
        claim_folder,
        run_demo,
    )
    from broker.demo.seed import ForeignStorageError  # noqa: PLC0415

    configure_logs(
        LogFormat.CONSOLE, level=logging.INFO if verbose else logging.WARNING
    )
    # Treat SIGTERM like Ctrl-C: uvicorn raises the signal again after it has stopped,
    # and the default handler would leave the temporary folder with its keys.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    broker_listeners, idp_listeners = listen(HOST, port), listen(IDP_HOST, port + 1)
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
                run_demo(
                    place,
                    SERVER,
                    lambda: announce(place, kept=kept),
                    broker_listeners=broker_listeners,
                    idp_listeners=idp_listeners,
                )
            )
        except KeyboardInterrupt:
            say("Stopped.", err=True)
        except ForeignStorageError as error:
            say(f"broker: {error}", err=True)
            raise typer.Exit(1) from error
