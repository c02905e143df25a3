"""TLS in front of a broker that speaks plain HTTP, as a proxy would do it."""

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509

from tests.support.certificates import issue

_CHUNK = 65_536


@contextlib.contextmanager
def tls_before(folder: Path, listen: int, port: int) -> Iterator[Path]:
    """Serve https://localhost at ``listen``; yields the file of the authority."""
    authority = issue("Test Root", is_authority=True)
    served = authority.issue(
        "localhost",
        extensions=[(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)],
    )
    chain, trusted = folder / "served.pem", folder / "authority.pem"
    chain.write_text(served.pem + served.key_pem)
    trusted.write_text(authority.pem)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(chain)
    loop = asyncio.new_event_loop()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def connected(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        inner, outer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(carry(reader, outer), carry(inner, writer))

    server = loop.run_until_complete(
        asyncio.start_server(connected, "localhost", listen, ssl=context)
    )
    thread = threading.Thread(target=loop.run_forever, name="tls")
    thread.start()
    try:
        yield trusted
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
