"""``broker agent pods`` while it runs: one endpoint, and what it reads again."""

import asyncio
import contextlib
import logging
import os
import signal
from pathlib import Path

from broker.agent.broker_api import make_api
from broker.agent.clock import BrokerClock
from broker.agent.configuration import ConfigurationError, load_settings
from broker.agent.http_server import Server, bind
from broker.agent.pods import BODY_BYTES_MAX, PodEndpoint
from broker.agent.private_files import stamp_of
from broker.agent.systemd import notify

_WATCH_SECONDS = 2.0
_log = logging.getLogger(__name__)


async def serve_pods(path: Path) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        ConfigurationError: the settings cannot be used.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    stamp, settings, clock = stamp_of(path), load_settings(path), BrokerClock()
    endpoint = PodEndpoint(settings.pods, make_api(settings, clock))
    server = Server(endpoint.answer, body_bytes_max=BODY_BYTES_MAX)
    listeners = []
    for address in settings.pods.listen:
        try:
            listener = bind(address.host, address.port)
        except OSError as error:
            raise ConfigurationError(
                f"pods.listen: {address} cannot be opened: {error.strerror}"
            ) from error
        listeners.append(await loop.create_server(server, sock=listener))
    if not listeners:
        raise ConfigurationError("[pods] has no listen; write 169.254.170.23:80")
    loop.add_signal_handler(signal.SIGHUP, _reload, path, endpoint, clock)
    _log.info("serving")
    notify("READY=1", os.environ)
    try:
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _WATCH_SECONDS)
            if (seen := stamp_of(path)) != stamp:
                stamp = seen
                _reload(path, endpoint, clock)
    finally:
        notify("STOPPING=1", os.environ)
        for one in listeners:
            one.close()
        server.close()
        endpoint.close()


def _reload(path: Path, endpoint: PodEndpoint, clock: BrokerClock) -> None:
    """Follow a changed file; one that is wrong changes nothing."""
    try:
        settings = load_settings(path)
        endpoint.replace(settings.pods, make_api(settings, clock))
    except ConfigurationError as error:
        _log.error("the old settings stay: %s", error)
    else:
        _log.info("read %s again", path)
