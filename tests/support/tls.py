"""TLS in front of a broker that speaks plain HTTP, as a proxy would do it."""

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from cryptography import x509

from tests.support.certificates import elliptic_key, issue

_CHUNK = 65_536


@contextlib.contextmanager
def tls_before(
    folder: Path, listen: int, port: int, *, names: Sequence[str] = ("localhost",)
) -> Iterator[Path]:
    """Serve https at ``listen`` for these names; yields the file of the authority."""
    key = elliptic_key()
    # Strict verifiers, such as Python's from 3.13 on, want the key's identifiers.
    identifiers = (
        x509.SubjectKeyIdentifier.from_public_key(key.public_key()),
        x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()),
    )
    authority = issue(
        "Test Root", key=key, is_authority=True, extensions=[(identifiers[0], False)]
    )
    served = authority.issue(
        "localhost",
        extensions=[
            (x509.SubjectAlternativeName(list(map(x509.DNSName, names))), False),
            (identifiers[1], False),
        ],
    )
    chain, trusted = folder / "served.pem", folder / "authority.pem"
    chain.write_text(served.pem + served.key_pem)
    trusted.write_text(authority.pem)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(chain)
    begun, over = threading.Event(), threading.Event()

    async def serve() -> None:
        server = await asyncio.start_server(
            partial(_carry_both, port), "localhost", listen, ssl=context
        )
        begun.set()
        await asyncio.to_thread(over.wait)
        server.close()

    # What is still open is cancelled at the end.
    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="tls")
    thread.start()
    assert begun.wait(10)
    try:
        yield trusted
    finally:
        over.set()
        thread.join(10)


async def _carry_both(
    port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    inner, outer = await asyncio.open_connection("127.0.0.1", port)
    try:
        await asyncio.gather(_carry(reader, outer), _carry(inner, writer))
    finally:
        for stream_writer in (writer, outer):
            stream_writer.transport.abort()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
        writer.close()


@contextlib.contextmanager
def leading_to(port: int) -> Iterator[str]:
    """An HTTP proxy whose every tunnel ends at a local port, as a private DNS would do.

    Yields its address, for ``HTTPS_PROXY``.
    """
    begun, over = threading.Event(), threading.Event()
    listen: list[int] = []

    async def serve() -> None:
        server = await asyncio.start_server(partial(_tunnel, port), "127.0.0.1", 0)
        listen.append(server.sockets[0].getsockname()[1])
        begun.set()
        await asyncio.to_thread(over.wait)
        server.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="proxy")
    thread.start()
    assert begun.wait(10)
    try:
        yield f"http://127.0.0.1:{listen[0]}"
    finally:
        over.set()
        thread.join(10)


async def _tunnel(
    port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    with contextlib.suppress(asyncio.IncompleteReadError):
        asked = await reader.readuntil(b"\r\n\r\n")
        assert asked.startswith(b"CONNECT "), asked
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await _carry_both(port, reader, writer)
