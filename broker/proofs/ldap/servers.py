"""The servers of one directory: the next when one fails, and connections kept open.

A connection of the service account is used again and again; a person's password is
tried on a connection of its own, which is closed then.
"""

import asyncio
import ssl
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from broker.model.secret import Secret
from broker.proofs.ldap.connection import (
    BIND,
    CONNECT,
    BindAnswer,
    Dialler,
    LdapConnection,
    LdapUnavailableError,
    UnusableEntriesError,
)
from broker.proofs.ldap.directories import LdapDirectory, LdapServer

Value = TypeVar("Value")

_IDLE_MAX = 4
_IDLE_SECONDS = 60.0
_AT_ONCE = 16
_WAITING_MAX = 64
_AVOIDED_SECONDS = 30.0
"""How long a server that failed comes last."""

_GIVEN_UP_SECONDS = 2.0
"""After every server failed, how long requests fail without waiting."""

_WHOLE = 3
"""How many of one answer's times the whole work on a directory may take."""


class LdapServers:
    """Does work on whichever server of a directory answers."""

    def __init__(self, name: str, directory: LdapDirectory) -> None:
        self._directory = directory
        self._dialler = Dialler(
            name,
            _tls(directory),
            start_tls=directory.start_tls,
            timeout_seconds=directory.timeout_seconds,
        )
        self._idle: deque[tuple[float, LdapConnection]] = deque()
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._inside = 0
        self._failed_at: dict[LdapServer, float] = {}
        self._given_up_until = 0.0
        self._problem: LdapUnavailableError | None = None

    async def work(self, step: Callable[[LdapConnection], Awaitable[Value]]) -> Value:
        """Run ``step`` on a connection of the service account, twice if need be.

        Raises:
            LdapUnavailableError: no server could do it.
        """
        async with self._turn():
            idle = self._take_idle()
            if idle is not None:
                try:
                    return await self._use(idle, step)
                except UnusableEntriesError:
                    raise
                except LdapUnavailableError:
                    # It may have been closed just now; a new one tells. Those that
                    # are as old would make it take as long again.
                    self._failed_at[idle.server] = time.monotonic()
                    self._drop_idle()
            return await self._on_any(lambda server: self._bound(server, step))

    async def try_server(self, server: LdapServer) -> None:
        """Connect to one server, and bind as the service.

        Raises:
            LdapUnavailableError: that fails; its ``stage`` says how far it went.
        """
        connection = await self._dialler.open(server)
        try:
            await self._bind_service(connection)
        finally:
            connection.close()

    async def try_password(self, dn: str, password: Secret) -> BindAnswer:
        """The answer to a bind with a person's name and password.

        Raises:
            LdapUnavailableError: no server could say.
        """

        async def step(server: LdapServer) -> BindAnswer:
            connection = await self._dialler.open(server)
            try:
                return await connection.bind(dn, password)
            finally:
                connection.close()

        async with self._turn():
            return await self._on_any(step)

    async def close(self) -> None:
        """Close what is open."""
        self._drop_idle()
        self._dialler.close()
        # Transports are closed in the loop's next rounds.
        for _ in range(2):
            await asyncio.sleep(0)

    async def _bound(
        self, server: LdapServer, step: Callable[[LdapConnection], Awaitable[Value]]
    ) -> Value:
        connection = await self._dialler.open(server)
        try:
            await self._bind_service(connection)
        except BaseException:
            connection.close()
            raise
        return await self._use(connection, step)

    async def _bind_service(self, connection: LdapConnection) -> None:
        try:
            password = Secret(self._directory.read_bind_password())
        except ValueError as error:
            raise LdapUnavailableError(BIND, str(error)) from error
        answer = await connection.bind(self._directory.bind_dn, password)
        if not answer.succeeded:
            raise LdapUnavailableError(
                BIND,
                f"{connection.server} refused {self._directory.bind_dn}: result"
                f" {answer.code} {answer.diagnostic}".strip(),
            )

    async def _use(
        self,
        connection: LdapConnection,
        step: Callable[[LdapConnection], Awaitable[Value]],
    ) -> Value:
        try:
            return await step(connection)
        finally:
            if connection.is_usable and len(self._idle) < _IDLE_MAX:
                self._idle.append((time.monotonic(), connection))
            else:
                connection.close()

    def _drop_idle(self) -> None:
        while self._idle:
            self._idle.popleft()[1].close()

    def _take_idle(self) -> LdapConnection | None:
        while self._idle:
            since, connection = self._idle.pop()
            if time.monotonic() - since < _IDLE_SECONDS and connection.is_usable:
                return connection
            connection.close()
        return None

    async def _on_any(self, step: Callable[[LdapServer], Awaitable[Value]]) -> Value:
        now = time.monotonic()
        if self._problem is not None and now < self._given_up_until:
            raise self._problem
        problem: LdapUnavailableError | None = None
        for server in self._in_order(now):
            try:
                value = await step(server)
            except UnusableEntriesError:
                raise
            except LdapUnavailableError as error:
                problem = problem or error
                self._failed_at[server] = time.monotonic()
            else:
                self._failed_at.pop(server, None)
                self._problem = None
                return value
        if problem is None:
            raise LdapUnavailableError(CONNECT, "the directory has no servers")
        self._problem = problem
        self._given_up_until = time.monotonic() + _GIVEN_UP_SECONDS
        raise problem

    def _in_order(self, now: float) -> list[LdapServer]:
        """Those that failed a moment ago last, else as the file has them."""
        return sorted(
            self._directory.servers,
            key=lambda server: (
                now - self._failed_at.get(server, -_AVOIDED_SECONDS) < _AVOIDED_SECONDS
            ),
        )

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """A place among the few that ask at once, and an end to it all."""
        if self._inside >= _WAITING_MAX:
            raise LdapUnavailableError(
                CONNECT, "too many requests are waiting for this directory"
            )
        self._inside += 1
        whole = _WHOLE * self._directory.timeout_seconds
        try:
            async with asyncio.timeout(whole), self._places:
                yield
        except TimeoutError as error:
            raise LdapUnavailableError(
                CONNECT, f"the directory did not answer within {whole:g} s"
            ) from error
        finally:
            self._inside -= 1


def _tls(directory: LdapDirectory) -> ssl.SSLContext:
    context = ssl.create_default_context(
        cafile=None if directory.ca_file is None else str(directory.ca_file)
    )
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
