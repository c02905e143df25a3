"""What a process of ``broker serve`` runs that answers requests.

Apart from the command, whose process imports none of this with several workers.
"""

import gc
import sys
from collections.abc import Sequence
from socket import socket
from typing import Any, get_args

# What a worker's start would import: forked workers share it.
import httpcore2  # noqa: F401
import pydantic.v1  # noqa: F401
import uvicorn
import uvloop  # noqa: F401

from broker.actions.models import ServiceName, load_service
from broker.cli.announcement import announce
from broker.cli.init import begin
from broker.compose.app import create_app
from broker.compose.services import Services
from broker.edges.bounds import raise_file_limit
from broker.edges.connection import BoundedConnection
from broker.edges.memory import return_large_blocks
from broker.settings import Settings, SettingsError
from broker.stores.installation import DEMO_MARK, read_installation

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
    "http": BoundedConnection,
    "ws": "none",
    # Longer than proxies keep idle connections, so that none sends on a closed one.
    "timeout_keep_alive": 75,
    # Longer than a fetch of an issuer's keys, shorter than a container's stop timeout.
    "timeout_graceful_shutdown": 6,
}

for _name in get_args(ServiceName):
    load_service(_name)  # for the same reason; it is remembered


def configure(
    settings: Settings,
    listeners: Sequence[socket],
    is_first: bool,
    *,
    workers: int,
    is_local: bool,
    init: bool,
) -> uvicorn.Config:
    """A worker's server. The first announces how the broker runs.

    ``init`` has it print a sign-in link, too, if one is needed.

    It refuses the demo's data, whose secrets are public, unless only this machine can
    reach it (``is_local``).
    """

    async def ready(services: Services) -> None:
        if not is_local:
            await _refuse_demo_storage(services)
        tune_interpreter()
        if is_first:
            if init:
                await begin(services)
            await announce(services, listeners, workers=workers)

    return uvicorn.Config(create_app(settings, on_ready=ready), **SERVER)


def tune_interpreter() -> None:
    """Tune the interpreter for a process that has finished starting.

    ``gc.freeze`` exempts everything loaded so far from garbage collection: a full
    collection of it took as long as a thousand requests. Later objects are collected
    as usual.
    """
    raise_file_limit()
    return_large_blocks()
    gc.freeze()
    gc.enable()
    sys.setswitchinterval(_SWITCH_SECONDS)


async def _refuse_demo_storage(services: Services) -> None:
    now = services.clock.now()
    installation = await read_installation(services.stores.database, now=now)
    if installation.marks.get(DEMO_MARK):
        raise SettingsError(
            "BROKER_DATABASE_URL: this database was created by `broker demo` and is"
            " served on loopback addresses only; use another database or data folder"
        )
