"""The only client for requests that leave the broker.

A request goes to the address that was checked and follows no redirect. A deadline
covers it up to the last byte, and the body is bounded as it is on the wire: compressed
answers are refused. Environment variables (proxies, certificate bundles) are ignored.
"""

import asyncio
import hashlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import httpx2

from broker.model.account import AccountId
from broker.proofs.addresses import (
    Address,
    AddressRefusedError,
    AddressRules,
    Destination,
)

DEADLINE_SECONDS = 5.0
ANSWER_BYTES_MAX = 1 << 17
_PIECE_BYTES = 512
"""What each piece of a body counts for at least; each costs as much to receive."""

_USER_AGENT = "federation-broker"

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]


@cache
def _trust(ca_file: Path | None) -> ssl.SSLContext:
    """Takes 50 ms and 5 MB with what connects: made in a thread, at the first request."""
    import httpcore2  # noqa: F401, PLC0415  # as httpx2 does with its first transport

    trust = httpx2.create_ssl_context(trust_env=False)
    if ca_file is not None:
        trust.load_verify_locations(cafile=ca_file)
    return trust


class FetchFailedError(Exception):
    """A request failed; the message is for the operator."""


class OutboundClient:
    """Makes requests for accounts, within the operator's address rules.

    ``resolve`` replaces the system's name resolution.
    """

    def __init__(
        self,
        rules: AddressRules,
        *,
        ca_file: Path | None = None,
        deadline_seconds: float = DEADLINE_SECONDS,
        resolve: Resolver | None = None,
    ) -> None:
        self.rules = rules
        self._ca_file = ca_file
        self._deadline_seconds = deadline_seconds
        self._resolve = resolve or _resolve

    async def fetch(
        self,
        url: str,
        *,
        account: AccountId | None,
        thumbprints: Sequence[str] = (),
        max_bytes: int = ANSWER_BYTES_MAX,
        accept: str = "application/json",
    ) -> bytes:
        """The body of a 200 answer to GET.

        Raises:
            FetchFailedError: the address is not permitted, or there was no such
                answer within deadline and size.
        """
        transport = self.transport(
            account=account, thumbprints=thumbprints, max_bytes=max_bytes
        )
        headers = {"accept": accept, "user-agent": _USER_AGENT}
        try:
            async with httpx2.AsyncClient(
                transport=transport,
                trust_env=False,
                follow_redirects=False,
                headers=headers,
                timeout=self._deadline_seconds,
            ) as client:
                answer = await client.get(url)
        except (httpx2.HTTPError, httpx2.InvalidURL, UnicodeError) as error:
            raise FetchFailedError(
                f"{url:.300}: {str(error) or type(error).__name__}"
            ) from error
        if answer.status_code != httpx2.codes.OK:
            raise FetchFailedError(f"{url:.300}: answered {answer.status_code}")
        return answer.content

    def transport(
        self,
        *,
        account: AccountId | None,
        thumbprints: Sequence[str] = (),
        max_bytes: int = ANSWER_BYTES_MAX,
    ) -> httpx2.AsyncBaseTransport:
        """The rules as a transport, for libraries that have their own client.

        Their client must be made with ``trust_env=False`` and must not follow
        redirects. Refusals are ``httpx2.TransportError``.
        """
        return _CheckedTransport(
            rules=self.rules,
            account=account,
            ca_file=self._ca_file,
            thumbprints=frozenset(text.lower() for text in thumbprints),
            deadline_seconds=self._deadline_seconds,
            max_bytes=max_bytes,
            resolve=self._resolve,
        )

    def pool(
        self, *, account: AccountId | None, max_bytes: int = ANSWER_BYTES_MAX
    ) -> httpx2.AsyncBaseTransport:
        """The same with connections that are kept, for requests to one host."""
        return _PooledTransport(
            rules=self.rules,
            account=account,
            ca_file=self._ca_file,
            thumbprints=frozenset(),
            deadline_seconds=self._deadline_seconds,
            max_bytes=max_bytes,
            resolve=self._resolve,
        )


class _CheckedTransport(httpx2.AsyncBaseTransport):
    """Resolves, checks, and connects to what was checked, once for each request."""

    def __init__(
        self,
        *,
        rules: AddressRules,
        account: AccountId | None,
        ca_file: Path | None,
        thumbprints: frozenset[str],
        deadline_seconds: float,
        max_bytes: int,
        resolve: Resolver,
    ) -> None:
        self._rules = rules
        self._account = account
        self._ca_file = ca_file
        self._thumbprints = thumbprints
        self._deadline_seconds = deadline_seconds
        self._max_bytes = max_bytes
        self._resolve = resolve

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        deadline = asyncio.get_running_loop().time() + self._deadline_seconds
        begun = _Begun()
        request.extensions = {**request.extensions, "trace": begun}
        try:
            async with asyncio.timeout_at(deadline):
                return await self._send(request, deadline)
        except TimeoutError as error:
            if begun.has:
                raise httpx2.ReadTimeout("no answer within the deadline") from error
            raise httpx2.ConnectTimeout("no connection within the deadline") from error
        except (AddressRefusedError, OSError, UnicodeError) as error:
            raise httpx2.ConnectError(str(error)) from error

    async def _send(self, request: httpx2.Request, deadline: float) -> httpx2.Response:
        url = request.url
        if url.userinfo:
            raise AddressRefusedError("a URL with a user name is not followed")
        host = url.raw_host.decode("ascii")
        target = self._rules.require_target(self._account, url.scheme, host, url.port)
        addresses = self._rules.require_addresses(
            self._account, target, await self._resolve(target.host, target.port)
        )
        for address in addresses[:-1]:
            try:
                return await self._connect(request, target, address, deadline)
            except (httpx2.ConnectError, httpx2.ConnectTimeout):
                continue  # nothing has been sent yet: the next address may answer
        return await self._connect(request, target, addresses[-1], deadline)

    async def _connect(
        self,
        request: httpx2.Request,
        target: Destination,
        address: Address,
        deadline: float,
    ) -> httpx2.Response:
        trust = await asyncio.to_thread(_trust, self._ca_file)
        try:
            return await self._ask(request, target, address, deadline, trust)
        except httpx2.ConnectError as error:
            if not self._thumbprints or not _is_distrust(error):
                raise
        pinned = await self._get_pinned_trust(target, address)
        return await self._ask(request, target, address, deadline, pinned)

    async def _ask(
        self,
        request: httpx2.Request,
        target: Destination,
        address: Address,
        deadline: float,
        trust: ssl.SSLContext,
    ) -> httpx2.Response:
        inner = self._connections(trust)
        headers = request.headers.copy()
        headers["accept-encoding"] = "identity"
        pinned = httpx2.Request(
            request.method,
            request.url.copy_with(host=str(address)),
            headers=headers,
            stream=request.stream,
            extensions={
                # leave time for the next address
                "timeout": {"connect": self._deadline_seconds / 2},
                "sni_hostname": target.host,
                "trace": request.extensions["trace"],
            },
        )
        try:
            answer = await inner.handle_async_request(pinned)
            _check_head(answer, self._max_bytes)
        except BaseException:
            await self._end(inner)
            raise
        return httpx2.Response(
            answer.status_code,
            headers=answer.headers,
            stream=_BoundedStream(
                answer, lambda: self._end(inner), deadline, self._max_bytes
            ),
        )

    def _connections(self, trust: ssl.SSLContext) -> httpx2.AsyncHTTPTransport:
        """Each request has its own transport.

        A pool identifies connections by address alone, and two names at one address
        must not share one.
        """
        return httpx2.AsyncHTTPTransport(verify=trust, trust_env=False, http2=False)

    async def _end(self, connections: httpx2.AsyncHTTPTransport) -> None:
        await connections.aclose()

    async def _get_pinned_trust(
        self, target: Destination, address: Address
    ) -> ssl.SSLContext:
        """Trust only the served certificate that matches a thumbprint.

        The certificate becomes the trust anchor of a second, fully checked
        handshake: names, times and signatures down to the server's own certificate
        still have to hold.
        """
        for der in await _served_chain(target, address):
            # SHA-1 because IAM's thumbprints are; it only selects, OpenSSL verifies.
            if hashlib.sha1(der).hexdigest() in self._thumbprints:  # noqa: S324  # see above
                trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                trust.minimum_version = ssl.TLSVersion.TLSv1_2
                trust.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
                trust.load_verify_locations(cadata=der)
                return trust
        raise AddressRefusedError(
            f"the certificate of {target.host} is not publicly trusted and no"
            " thumbprint of the provider names one that it serves"
        )


class _Begun:
    """Notes that a request's first byte is about to be sent."""

    def __init__(self) -> None:
        self.has = False

    async def __call__(self, event: str, _info: dict[str, Any]) -> None:
        if event.endswith("send_request_headers.started"):
            self.has = True


class _PooledTransport(_CheckedTransport):
    """The same for one host: its connections are kept, and checked at each request."""

    def __init__(self, **checks: Any) -> None:  # noqa: ANN401  # those of its base
        super().__init__(**checks)
        self._kept: httpx2.AsyncHTTPTransport | None = None

    def _connections(self, trust: ssl.SSLContext) -> httpx2.AsyncHTTPTransport:
        self._kept = self._kept or super()._connections(trust)
        return self._kept

    async def _end(self, connections: httpx2.AsyncHTTPTransport) -> None:
        pass

    async def aclose(self) -> None:
        if self._kept is not None:
            await self._kept.aclose()


class _BoundedStream(httpx2.AsyncByteStream):
    def __init__(
        self,
        answer: httpx2.Response,
        end: Callable[[], Awaitable[None]],
        deadline: float,
        max_bytes: int,
    ) -> None:
        self._answer = answer
        self._end = end
        self._deadline = deadline
        self._max_bytes = max_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        received = 0
        chunks = aiter(self._answer.aiter_raw())
        while True:
            try:
                async with asyncio.timeout_at(self._deadline):
                    chunk = await anext(chunks, None)
            except TimeoutError as error:
                raise httpx2.ReadTimeout("no end within the deadline") from error
            if chunk is None:
                return
            received += max(len(chunk), _PIECE_BYTES)
            if received > self._max_bytes:
                raise httpx2.ReadError(f"more than {self._max_bytes} bytes")
            yield chunk
            if len(chunk) < _PIECE_BYTES:
                await asyncio.sleep(0)  # more may be here already: others' turn

    async def aclose(self) -> None:
        await self._answer.aclose()
        await self._end()


def _check_head(answer: httpx2.Response, max_bytes: int) -> None:
    encoding = answer.headers.get("content-encoding", "identity").lower()
    if encoding != "identity":
        raise httpx2.DecodingError(f"the answer is encoded ({encoding:.40})")
    length = answer.headers.get("content-length", "")
    if length.isascii() and length.isdecimal() and int(length[:20]) > max_bytes:
        raise httpx2.ReadError(f"more than {max_bytes} bytes")


async def _resolve(host: str, port: int) -> Sequence[str]:
    loop = asyncio.get_running_loop()
    results = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(sockaddr[0]) for *_, sockaddr in results]


async def _served_chain(target: Destination, address: Address) -> list[bytes]:
    """The certificates that a server presents, in DER; not verified yet."""
    blind = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    blind.check_hostname = False
    blind.verify_mode = ssl.CERT_NONE
    _, writer = await asyncio.open_connection(
        str(address), target.port, ssl=blind, server_hostname=target.host
    )
    try:
        tls = writer.get_extra_info("ssl_object")
        if hasattr(tls, "get_unverified_chain"):
            return list(tls.get_unverified_chain())
        # Public since Python 3.13 only.
        chain = tls._sslobj.get_unverified_chain()  # noqa: SLF001  # see above
        return [ssl.PEM_cert_to_DER_cert(entry.public_bytes()) for entry in chain]
    finally:
        # Nothing is left to send, so skip the orderly TLS shutdown.
        writer.transport.abort()


def _is_distrust(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False
