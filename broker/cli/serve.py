"""``broker serve``: run the service."""

import gc
import logging
import os
import tempfile
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
import uvicorn

from broker.cli.listening import is_loopback, listen, private_socket
from broker.cli.logs import configure_logs
from broker.cli.workers import Configure, Workers
from broker.settings import DEFAULT_PORT, load_settings

_log = logging.getLogger(__name__)


def serve(
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Address to listen on.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(metavar="PORT", min=1, max=65535, help="Port to listen on.")
    ] = DEFAULT_PORT,
    workers: Annotated[
        int, typer.Option(metavar="N", min=1, max=256, help="Worker processes.")
    ] = 1,
    init: Annotated[
        bool,
        typer.Option(
            "--init",
            help="In a database that this makes, create an account, as `broker init` does, and"
            " print the administrator's sign-in link.",
        ),
    ] = False,
    socket_path: Annotated[
        Path | None,
        typer.Option(
            "--private-socket",
            metavar="PATH",
            help="Unix socket for gateways that ask for signing keys.",
        ),
    ] = None,
) -> None:
    """Migrate the database and run the broker."""
    settings = load_settings()
    configure_logs(settings.log_format)
    if settings.directories_file is not None:
        for name, directory in settings.directories.directories.items():
            if directory.warning:
                _log.warning("directory %s: %s", name, directory.warning)
    # Before anything is made: a second start by mistake must leave nothing behind.
    listeners = listen(host, port)
    settings.make_data_dir()
    is_local = is_loopback(host) and is_loopback(settings.public_host)

    def load() -> Configure:
        gc.disable()  # until a worker has started: what is imported stays
        from broker.cli.worker import configure  # noqa: PLC0415  # the application

        return partial(
            configure,
            settings,
            listeners,
            workers=workers,
            is_local=is_local,
            init=init,
        )

    with ExitStack() as stack:
        sockets = [*listeners]
        if socket_path is not None:
            sockets.append(stack.enter_context(private_socket(socket_path)))
        if workers == 1:
            with suppress(KeyboardInterrupt):
                uvicorn.Server(load()(True)).run(sockets)
            return
        # Where workers share their numbers. What reads it is not imported here.
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="broker-metrics-")
        )
        raise typer.Exit(Workers(load, sockets, workers).serve())
