"""``broker serve``: run the service."""

import asyncio
import gc
import ipaddress
import os
import sys
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path
from socket import socket
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer
import uvicorn

from broker.app import OnReady, create_app
from broker.cli.announcement import announce
from broker.cli.listening import listen, private_socket
from broker.cli.logs import configure_logs
from broker.cli.workers import Workers
from broker.clock import SystemClock
from broker.installation import open_installation
from broker.migrations import migrate
from broker.services import Services
from broker.settings import Settings, SettingsError, load_settings
from broker.stores.database import Database
from broker.stores.installation import DEMO_MARK, read_installation
from broker.stores.urls import parse_database_url
from broker.web.asgi import App
from broker.web.bounds import raise_file_limit
from broker.web.memory import return_large_blocks
from broker.web.metrics import SHARED_FOLDER

_SWITCH_SECONDS = 0.0003
"""The interpreter's thread switch interval.

The SQLite writer thread needs the GIL only briefly between its calls, and every change
waits for it: the default 5 ms is longer than a commit takes.
"""

SERVER: dict[str, Any] = {
    # Our own code handles proxy headers and the access log.
    "proxy_headers": False,
    "server_header": False,
    "access_log": False,
    "log_config": None,
    "log_level": "warning",
    "loop": "uvloop",
    "http": "broker.web.connection:BoundedConnection",
    "ws": "none",
    # Longer than proxies keep idle connections, so that none sends on a closed one.
    "timeout_keep_alive": 75,
    # Longer than a fetch of an issuer's keys, shorter than a container's stop timeout.
    "timeout_graceful_shutdown": 6,
    # The time a worker may take to start on a busy machine.
    "timeout_worker_healthcheck": 30,
}


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="Port to listen on.")
    ] = 8080,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Worker processes.")] = 1,
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
    # Before anything is made: a second start by mistake must leave nothing behind.
    listeners = listen(host, port)
    settings.make_data_dir()
    if not (_is_loopback(host) and _is_loopback(settings.public_host)):
        asyncio.run(_refuse_demo_storage(settings))
    with ExitStack() as stack:
        private = (
            []
            if socket_path is None
            else [stack.enter_context(private_socket(socket_path))]
        )
        status = _run(settings, listeners, private, workers)
    if status:
        raise typer.Exit(status)


def _run(
    settings: Settings, listeners: list[socket], private: list[socket], workers: int
) -> int:
    """Serve until a signal ends it; the exit status. ``private`` are unix sockets."""
    sockets = [*listeners, *private]
    if workers == 1:

        async def tell(opened: Services) -> None:
            await announce(opened, listeners, workers=workers)

        config = uvicorn.Config(_application(settings, tell), **SERVER)
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets)
        return 0
    # Create schema and keyring once, before several workers start.
    asyncio.run(_prepare(settings, listeners, workers))
    with tempfile.TemporaryDirectory(prefix="broker-metrics-") as shared:
        os.environ[SHARED_FOLDER] = shared
        config = uvicorn.Config(
            "broker.cli.serve:worker",
            factory=True,
            workers=workers,
            **SERVER,
        )
        return Workers(config, sockets).serve()


def worker() -> App:
    """A worker process's application, with settings from the environment."""
    settings = load_settings()
    configure_logs(settings.log_format)
    return _application(settings)


def _application(settings: Settings, tell: OnReady | None = None) -> App:
    async def ready(services: Services) -> None:
        tune_interpreter()
        if tell is not None:
            await tell(services)

    return create_app(settings, on_ready=ready)


def tune_interpreter() -> None:
    """Tune the interpreter for a process that has finished starting.

    ``gc.freeze`` exempts everything loaded so far from garbage collection: a full
    collection of it took as long as a thousand requests. Later objects are collected
    as usual.
    """
    raise_file_limit()
    return_large_blocks()
    gc.freeze()
    sys.setswitchinterval(_SWITCH_SECONDS)


async def _prepare(settings: Settings, listeners: list[socket], workers: int) -> None:
    async with open_installation(settings) as opened:
        await announce(opened, listeners, workers=workers)


async def _refuse_demo_storage(settings: Settings) -> None:
    """Refuse to serve the demo's data, whose secrets are public, to other machines.

    Raises:
        SettingsError: The database is the demo's.
    """
    settings.make_data_dir()
    location = parse_database_url(settings.database)
    await migrate(location)
    database = Database(location)
    try:
        installation = await read_installation(database, now=SystemClock().now())
    finally:
        await database.close()
    if installation.marks.get(DEMO_MARK):
        raise SettingsError(
            "BROKER_DATABASE_URL: this database was created by `broker demo` and is"
            " served on loopback addresses only; use another database or data folder"
        )


def _is_loopback(host: str) -> bool:
    name = urlsplit(f"//{host}").hostname or host
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
