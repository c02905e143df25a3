"""The agent while it runs: its endpoints, and what it reads again."""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from broker.agent.broker_api import make_api
from broker.agent.configuration import (
    Address,
    AgentSettings,
    ConfigurationError,
    load_settings,
)
from broker.agent.container import ContainerEndpoint, ensure_token
from broker.agent.credentials import Credentials
from broker.agent.http_server import Server, bind, limit_hops
from broker.agent.instance import make_identity
from broker.agent.keeper import Keeper
from broker.agent.metadata import Metadata
from broker.agent.outputs import CredentialsFile
from broker.agent.private_files import stamp_of
from broker.agent.systemd import notify, take_sockets

_WATCH_SECONDS = 2.0
_log = logging.getLogger(__name__)


class Agent:
    """One identity and everything that hands out its credentials."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = stamp_of(path)
        self._settings = settings = load_settings(path)
        self._api = make_api(settings)
        self._file = CredentialsFile(settings.file)
        self.keeper = Keeper(
            make_identity(settings, self._api), self._now, self._changed
        )
        self._sockets = take_sockets(os.environ)
        self._metadata = Server(self._make_metadata(settings).answer)
        self._container = Server(self._make_container(settings).answer)

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT.

        Raises:
            ConfigurationError: an endpoint cannot be opened.
        """
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        servers = [
            await loop.create_server(server, sock=listener)
            for server, listener in self._listeners()
        ]
        keeping = loop.create_task(self.keeper.run())
        watching = loop.create_task(self._watch())
        _log.info("serving")
        notify("READY=1", os.environ)
        try:
            await stop.wait()
        finally:
            notify("STOPPING=1", os.environ)
            for task in (keeping, watching):
                task.cancel()
            for entry in servers:
                entry.close()
            for server in (self._metadata, self._container):
                server.close()
            self.keeper.close()

    def _listeners(self) -> Iterable[tuple[Server, socket.socket]]:
        settings = self._settings
        for name, server, addresses, hops in (
            (
                "metadata",
                self._metadata,
                settings.metadata.listen,
                settings.metadata.hop_limit,
            ),
            ("container", self._container, settings.container.listen, 0),
        ):
            sockets = self._sockets.get(name, [])
            for listener in sockets:
                limit_hops(listener, hops)
                yield server, listener
            for address in () if sockets else addresses:
                try:
                    yield server, bind(address.host, address.port, hops)
                except OSError as error:
                    raise ConfigurationError(
                        f"{name}.listen: {address} cannot be opened: {error.strerror}"
                    ) from error

    def _make_metadata(self, settings: AgentSettings) -> Metadata:
        return Metadata(
            settings.metadata,
            settings.region,
            self.keeper,
            further=_addresses(self._sockets.get("metadata", [])),
        )

    def _make_container(self, settings: AgentSettings) -> ContainerEndpoint:
        path = settings.container.token_file
        if path is not None:
            try:
                ensure_token(path)
            except OSError as error:
                raise ConfigurationError(
                    f"container.token_file: {path} cannot be written: {error.strerror}"
                ) from error
        return ContainerEndpoint(
            settings.container,
            self.keeper,
            further=_addresses(self._sockets.get("container", [])),
        )

    def _now(self) -> datetime:
        return self._api.now()

    def _changed(self, credentials: Credentials | None) -> None:
        self._file.put(credentials)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            self._file.retry()
            if stamp_of(self._path) != self._stamp:
                self._reload()

    def _reload(self) -> None:
        """Follow a changed file; one that is wrong changes nothing."""
        self._stamp = stamp_of(self._path)
        before = self._settings
        try:
            settings = load_settings(self._path)
            api = make_api(settings, self._api.clock)
            identity = make_identity(settings, api)
            container = self._make_container(settings)
        except ConfigurationError as error:
            _log.error("the old settings stay: %s", error)
            return
        if (before.metadata.listen, before.container.listen) != (
            settings.metadata.listen,
            settings.container.listen,
        ):
            _log.warning("restart the agent to listen on other addresses")
        self._settings, self._api = settings, api
        if settings.file != before.file:
            if settings.file.path != before.file.path:
                self._file.put(None)
            self._file = CredentialsFile(settings.file)
            self._file.put(self.keeper.find())
        self._metadata.handler = self._make_metadata(settings).answer
        self._container.handler = container.answer
        self.keeper.replace_identity(identity)
        _log.info("read %s again", self._path)


def _addresses(listeners: Iterable[socket.socket]) -> tuple[Address, ...]:
    return tuple(Address(*listener.getsockname()[:2]) for listener in listeners)
