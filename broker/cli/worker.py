"""What a process of ``broker serve`` runs that answers requests.

Apart from the command, whose process imports none of this with several workers.
"""

import gc
import sys
from collections.abc import Sequence
from importlib.metadata import version
from socket import socket
from typing import Any, get_args
from urllib.parse import urlsplit

import structlog
import uvicorn
import uvloop  # noqa: F401  # uvicorn would load it later
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from broker.actions import models
from broker.cli.checks import check_doors, check_settings
from broker.cli.findings import Level
from broker.cli.init import begin
from broker.compose.app import Broker
from broker.compose.installation import Installation
from broker.compose.services import Services
from broker.compose.storage import load_drivers
from broker.console.rendering import page_environment
from broker.edges import bounds
from broker.edges.connection import BoundedConnection
from broker.edges.documentation import find_start
from broker.model.account import Account
from broker.runtime import memory
from broker.settings import Settings, SettingsError
from broker.stores.directory.accounts import list_accounts
from broker.stores.errors import StoreUnavailableError
from broker.stores.installation import DEMO_MARK, read_installation
from broker.stores.urls import redact_url

_COLLECTED_AFTER = 20_000, 20, 100
"""New objects, and collections of younger ones, after which garbage is collected."""

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

# What these make is remembered: forked workers share it.
for _name in get_args(models.ServiceName):
    models.load_service(_name)
for _name in (*get_args(models.RestName), *get_args(models.TargetName)):
    models.load_service_model(_name)
page_environment(find_start)
AESGCM(bytes(32)).encrypt(bytes(12), b"", None)  # OpenSSL's tables of algorithms
memory.return_free_pages()

_log = structlog.get_logger(__name__)
_SHOWN = 10
_DEFAULT_PORTS = {"http": 80, "https": 443}


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

    ``init`` has it print a sign-in link, too, if the database is new.

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

    load_drivers(settings.database, settings.redis_url)
    return uvicorn.Config(Broker(settings, on_ready=ready), **SERVER)


def tune_interpreter() -> None:
    """Tune the interpreter for a process that has finished starting.

    ``gc.freeze`` exempts everything loaded so far from garbage collection: a full
    collection of it took as long as a thousand requests. Later objects are collected,
    more seldom than usual: requests leave hardly any cycles.
    """
    bounds.raise_file_limit()
    memory.return_large_blocks()
    memory.return_free_pages()
    gc.freeze()
    gc.set_threshold(*_COLLECTED_AFTER)
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


async def announce(
    opened: Installation, listeners: Sequence[socket], *, workers: int
) -> None:
    """Log how the broker runs, then what should be changed, a line each."""
    settings = opened.settings
    accounts = await list_accounts(opened.stores.directory)
    if opened.is_new:
        _log.info(
            "installation made",
            database=opened.place,
            master_key=str(opened.keyring.path),
        )
    _log.info(
        "starting",
        version=version("federation-broker"),
        sign_in=f"{settings.public_origin}/signin",
        also_answers_as=list(settings.host_aliases),
        listening=[_address(listener) for listener in listeners],
        workers=workers,
        database=opened.place,
        cache=redact_url(settings.redis_url) or "embedded",
        accounts=_named(accounts),
    )
    _log.info(
        "entry points",
        state=[finding.text for finding in await check_doors(opened.stores)],
    )
    for finding in check_settings(settings):
        if finding.level is not Level.GOOD:
            _log.warning(finding.text, remedy=finding.remedy)
    ports = {listener.getsockname()[1] for listener in listeners}
    if wrong := _wrong_port(settings, ports):
        _log.warning(wrong)
    if not accounts:
        _log.warning("there are no accounts", remedy="broker init")
    await _check_cache(opened)


def _named(accounts: Sequence[Account]) -> list[str]:
    rows = [
        f"{each.account_id} ({each.alias})" if each.alias else str(each.account_id)
        for each in accounts[:_SHOWN]
    ]
    more = len(accounts) - len(rows)
    return [*rows, f"{more} more"] if more else rows


async def _check_cache(opened: Installation) -> None:
    try:
        await opened.stores.cache.ping()
    except StoreUnavailableError as error:
        _log.error(
            "Redis cannot be reached: API calls work, sign-in pages answer 503 until it"
            " can",
            redis=redact_url(opened.settings.redis_url),
            error=str(error),
            remedy="start it, or fix BROKER_REDIS_URL",
        )


def _wrong_port(settings: Settings, ports: set[int]) -> str:
    """A hint for who moved the broker and not its address."""
    if "public_url" in settings.model_fields_set:
        return ""
    parts = urlsplit(settings.public_origin)
    port = parts.port or _DEFAULT_PORTS[parts.scheme]
    if port in ports:
        return ""
    return (
        f"browsers and clients are sent to {settings.public_origin}, where the broker does"
        f" not listen; set BROKER_PUBLIC_URL=http://{parts.hostname}:{min(ports)}"
    )


def _address(listener: socket) -> str:
    host, port = listener.getsockname()[:2]
    text = f"[{host}]" if ":" in host else host
    return f"http://{text}:{port}"
