"""One connection to an LDAP server: opened, secured, and used for one thing at a time.

Nothing that a server sends makes the broker connect anywhere: referrals are results
like any other. Every answer is bounded in time and size.

Source: RFC 4511; RFC 4513, 3.1 (StartTLS) and 5.1.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from msgspec import Struct
from sansldap import (
    BindResponse,
    ExtendedOperations,
    ExtendedResponse,
    LDAPClient,
    LDAPControl,
    LDAPFilter,
    LDAPMessage,
    LDAPResultCode,
    PagedResultControl,
    SearchResultDone,
    SearchResultEntry,
    SearchScope,
)

from broker.model.secret import Secret
from broker.proofs.ldap.directories import LdapServer
from broker.protocols.ldap.accounts import PASSWORD_POLICY, Entry
from broker.protocols.ldap.messages import TooCostlyError, take_message

_READ_BYTES = 65_536
_ELEMENTS = 64
"""Of a message without attributes: a result, its referrals and controls."""

_ELEMENTS_OF_ATTRIBUTE = 32
"""Its name, and more values than any attribute that counts has."""

_OTHERS_MAX = 64
"""Messages of an answer that are no entries: a forest refers to each domain."""

_PAGE = 100
_LIMITS = frozenset(
    {LDAPResultCode.SIZE_LIMIT_EXCEEDED, LDAPResultCode.ADMIN_LIMIT_EXCEEDED}
)
"""What a server says of a list that is too long for it."""

_LAST = (BindResponse, SearchResultDone, ExtendedResponse)
"""The messages that end an answer."""

Value = TypeVar("Value")
_Found = tuple[int, int, int, str, Any]
"""What ``getaddrinfo`` gives for each address."""

CONNECT, SECURE, BIND, SEARCH = "connect", "TLS", "service bind", "search"


class LdapUnavailableError(Exception):
    """A server cannot be used; ``stage`` says how far it went.

    The message is for the operator.
    """

    def __init__(self, stage: str, message: str) -> None:
        super().__init__(message)
        self.stage = stage


class UnusableEntriesError(LdapUnavailableError):
    """The servers answered, but what they have of some people cannot be used.

    It says nothing of the servers: the same question to another is answered alike.
    """

    def __init__(self, message: str) -> None:
        super().__init__(SEARCH, message)


class BindAnswer(Struct, frozen=True):
    """The answer to a bind, with the controls that came with it."""

    code: int
    diagnostic: str
    controls: tuple[tuple[str, bytes], ...]

    @property
    def succeeded(self) -> bool:
        """Whether the connection is now bound."""
        return self.code == LDAPResultCode.SUCCESS


class LdapConnection:
    """A connection that is not shared."""

    def __init__(
        self,
        server: LdapServer,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        timeout_seconds: float,
    ) -> None:
        self.server = server
        self._reader = reader
        self._writer = writer
        self._timeout_seconds = timeout_seconds
        self._session = LDAPClient()
        self._is_waiting = False

    async def bind(self, dn: str, password: Secret) -> BindAnswer:
        """Authenticate by name and password.

        Raises:
            LdapUnavailableError: the server gave no answer that can be used.
            ValueError: name or password is empty, which servers take for anonymous.
        """
        if not dn or not password.reveal():
            raise ValueError(
                "an empty name or password is not a proof (RFC 4513, 5.1.2)"
            )
        self._session.bind_simple(
            dn,
            password.reveal(),
            controls=[LDAPControl(PASSWORD_POLICY, critical=False, value=None)],
        )
        *_, last = await self._exchange(BIND)
        if not isinstance(last, BindResponse):
            raise LdapUnavailableError(BIND, f"{self.server} answered something else")
        return BindAnswer(
            int(last.result.result_code),
            last.result.diagnostics_message,
            tuple(
                (control.control_type, control.value or b"")
                for control in last.controls
            ),
        )

    async def search(
        self,
        base: str,
        by: LDAPFilter,
        attributes: list[str],
        *,
        most: int,
        paged: bool = False,
    ) -> tuple[Entry, ...]:
        """The entries at and below ``base``; one more than ``most`` if there are more.

        Raises:
            LdapUnavailableError: the server did not answer, or refused to search.
        """
        entries: list[Entry] = []
        cookie = b""
        elements = _ELEMENTS + _ELEMENTS_OF_ATTRIBUTE * len(attributes)
        while True:
            controls: list[LDAPControl] = []
            if paged:
                controls.append(
                    PagedResultControl(critical=False, size=_PAGE, cookie=cookie)
                )
            self._session.search_request(
                base,
                SearchScope.SUBTREE,
                size_limit=0 if paged else most + 1,
                time_limit=max(1, int(self._timeout_seconds)),
                filter=by,
                attributes=attributes,
                controls=controls,
            )
            cookie = await self._collect(entries, most, elements, paged=paged)
            if not cookie or len(entries) > most:
                return tuple(entries[: most + 1])

    async def _collect(
        self, entries: list[Entry], most: int, elements: int, *, paged: bool
    ) -> bytes:
        """Add a page's entries; returns the cookie of the next page, if there is one."""
        *messages, last = await self._exchange(
            SEARCH, _PAGE if paged else most + 1, elements
        )
        if not isinstance(last, SearchResultDone):
            raise LdapUnavailableError(SEARCH, f"{self.server} answered something else")
        entries.extend(
            Entry.of(
                message.object_name,
                (
                    (attribute.name, attribute.values)
                    for attribute in message.attributes
                ),
            )
            for message in messages
            if isinstance(message, SearchResultEntry)
        )
        if paged and last.result.result_code in _LIMITS:
            raise UnusableEntriesError(
                f"{self.server} answers {last.result.result_code.name} after"
                f" {len(entries)} entries"
            )
        self._require_found(last, len(entries), most)
        for control in last.controls:
            if isinstance(control, PagedResultControl):
                return control.cookie
        return b""

    def _require_found(self, done: SearchResultDone, count: int, most: int) -> None:
        code = done.result.result_code
        if code == LDAPResultCode.SUCCESS:
            return
        if code == LDAPResultCode.SIZE_LIMIT_EXCEEDED and count > most:
            return
        # A base that is not there, like a referral, is the configuration's fault.
        said = done.result.diagnostics_message
        raise LdapUnavailableError(
            SEARCH, f"{self.server} answered the search with {code.name} {said}".strip()
        )

    def close(self) -> None:
        """Close at once: servers take it for an unbind (RFC 4511, 4.3)."""
        self._writer.transport.abort()

    @property
    def is_usable(self) -> bool:
        """Whether it waits for no answer, and the server has not closed it."""
        return not (
            self._is_waiting or self._writer.is_closing() or self._reader.at_eof()
        )

    async def _exchange(
        self, stage: str, entries_max: int = 0, elements_max: int = _ELEMENTS
    ) -> list[LDAPMessage]:
        """Send what waits, and read up to the message that ends the answer.

        Raises:
            LdapUnavailableError: nothing came in time, or too much, or no LDAP.
        """
        self._is_waiting = True
        messages: list[LDAPMessage] = []
        received = bytearray()
        others_left = _OTHERS_MAX
        try:
            async with asyncio.timeout(self._timeout_seconds):
                self._writer.write(self._session.data_to_send())
                await self._writer.drain()
            while not messages or not isinstance(messages[-1], _LAST):
                message = _take(
                    self._session, received, self.server, stage, elements_max
                )
                if message is None:
                    async with asyncio.timeout(self._timeout_seconds):
                        data = await self._reader.read(_READ_BYTES)
                    if not data:
                        raise LdapUnavailableError(stage, f"{self.server} hung up")
                    received += data
                    continue
                messages.append(message)
                if isinstance(message, SearchResultEntry):
                    entries_max -= 1
                else:
                    others_left -= 1
                if min(entries_max, others_left) < 0:
                    raise LdapUnavailableError(stage, f"{self.server} sends too much")
                await asyncio.sleep(0)  # others' turn, as if it had come alone
        except TimeoutError as error:
            raise LdapUnavailableError(
                stage,
                f"{self.server} did not answer within {self._timeout_seconds:g} s",
            ) from error
        except OSError as error:
            raise LdapUnavailableError(stage, f"{self.server}: {error}") from error
        if received:
            raise LdapUnavailableError(
                stage, f"{self.server} sent more than one answer"
            )
        self._is_waiting = False
        return messages


def _take(
    session: LDAPClient,
    received: bytearray,
    server: LdapServer,
    stage: str,
    elements_max: int = _ELEMENTS,
) -> LDAPMessage | None:
    """The first message of what was received; None if it is not whole yet."""
    try:
        data = take_message(received, elements_max)
        return None if data is None else session.receive(data)[0]
    except TooCostlyError as error:
        raise LdapUnavailableError(stage, f"{server} sends too much") from error
    except Exception as error:
        # Whatever the library raises: the server sent something else than LDAP.
        raise LdapUnavailableError(
            stage, f"{server} sent what is not LDAP, or closed the session: {error}"
        ) from error


def _resolve(host: str, port: int) -> Sequence[_Found]:
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)


class Dialler:
    """Opens connections to the servers of one directory.

    Names are resolved on a thread of its own: a resolver that hangs for this directory
    keeps nobody else waiting.
    """

    def __init__(
        self,
        name: str,
        context: ssl.SSLContext,
        *,
        start_tls: bool,
        timeout_seconds: float,
    ) -> None:
        self._resolver = ThreadPoolExecutor(1, f"ldap-{name}")
        self._context = context
        self._start_tls = start_tls
        self._timeout_seconds = timeout_seconds

    async def open(self, server: LdapServer) -> LdapConnection:
        """Connect, and secure the connection.

        Raises:
            LdapUnavailableError: that failed, or took too long.
        """
        sock = await self._guarded(server, CONNECT, lambda: self._connect(server))
        try:
            if server.scheme != "ldaps" and not self._start_tls:
                reader, writer = await asyncio.open_connection(sock=sock)
            else:
                reader, writer = await self._guarded(
                    server, SECURE, lambda: self._secure(server, sock)
                )
        except BaseException:
            sock.close()
            raise
        return LdapConnection(server, reader, writer, self._timeout_seconds)

    def close(self) -> None:
        """Give up the resolver's thread."""
        self._resolver.shutdown(wait=False, cancel_futures=True)

    async def _guarded(
        self, server: LdapServer, stage: str, step: Callable[[], Awaitable[Value]]
    ) -> Value:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await step()
        except TimeoutError as error:
            raise LdapUnavailableError(
                stage, f"{server} did not answer within {self._timeout_seconds:g} s"
            ) from error
        except ssl.SSLCertVerificationError as error:
            raise LdapUnavailableError(
                stage,
                f"the certificate of {server} is not accepted: {error.verify_message}",
            ) from error
        except (OSError, ssl.SSLError) as error:
            raise LdapUnavailableError(stage, f"{server}: {error}") from error

    async def _connect(self, server: LdapServer) -> socket.socket:
        loop = asyncio.get_running_loop()
        results = await loop.run_in_executor(
            self._resolver, _resolve, server.host, server.port
        )
        problem: OSError = OSError(f"{server.host} has no address")
        for family, _, _, _, address in results:
            sock = socket.socket(family, socket.SOCK_STREAM)
            sock.setblocking(False)  # noqa: FBT003  # the standard library's signature
            try:
                await loop.sock_connect(sock, address)
            except OSError as error:
                sock.close()
                problem = error
            except BaseException:
                sock.close()
                raise
            else:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return sock
        raise problem

    async def _secure(
        self, server: LdapServer, sock: socket.socket
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._start_tls:
            await self._ask_for_tls(server, sock)
        return await asyncio.open_connection(
            sock=sock, ssl=self._context, server_hostname=server.host
        )

    async def _ask_for_tls(self, server: LdapServer, sock: socket.socket) -> None:
        """Agree on TLS in clear text.

        On the bare socket, so that nothing that came before TLS is read after it.
        """
        loop = asyncio.get_running_loop()
        session = LDAPClient()
        session.extended_request(ExtendedOperations.LDAP_START_TLS.value)
        await loop.sock_sendall(sock, session.data_to_send())
        received = bytearray()
        while (answer := _take(session, received, server, SECURE)) is None:
            data = await loop.sock_recv(sock, _READ_BYTES)
            if not data:
                raise LdapUnavailableError(SECURE, f"{server} refused StartTLS")
            received += data
        if (
            received
            or not isinstance(answer, ExtendedResponse)
            or answer.result.result_code != LDAPResultCode.SUCCESS
        ):
            raise LdapUnavailableError(SECURE, f"{server} refused StartTLS")
