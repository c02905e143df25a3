"""What the agent's HTTP server holds for its clients is bounded."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from broker.agent.http_server import Answer, Request, Server
from tests.support.certificates import issue

T = TypeVar("T")


def echo(request: Request) -> Answer:
    return Answer(body=request.body)


@pytest.fixture
async def server() -> AsyncIterator[tuple[Server, int]]:
    made = Server(echo, body_bytes_max=100, bodies_bytes_max=150)
    listener = await asyncio.get_running_loop().create_server(made, "127.0.0.1", 0)
    yield made, listener.sockets[0].getsockname()[1]
    listener.close()
    made.close()


async def begin(
    port: int, length: int, body: bytes
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"
    writer.write(head.encode() + body)
    await writer.drain()
    return reader, writer


async def status(reader: asyncio.StreamReader) -> int:
    return int((await reader.readline()).split()[1])


async def test_bodies_are_bounded_one_by_one_and_together(
    server: tuple[Server, int],
) -> None:
    made, port = server
    one = await begin(port, 100, b"a" * 90)
    while made.bodies_bytes_left != 60:  # noqa: ASYNC110  # the server tells nobody
        await asyncio.sleep(0.001)
    other = await begin(port, 80, b"b" * 80)
    assert await status(other[0]) == 503
    large = await begin(port, 101, b"c" * 101)
    assert await status(large[0]) == 413
    small = await begin(port, 50, b"d" * 50)
    assert await status(small[0]) == 200
    one[1].write(b"a" * 10)
    assert await status(one[0]) == 200
    assert (await one[0].readuntil(b"\r\n\r\n")).endswith(b"\r\n\r\n")
    assert await one[0].readexactly(100) == b"a" * 90 + b"a" * 10
    assert made.bodies_bytes_left == 150
    for _, writer in (one, other, large, small):
        writer.close()


async def test_a_client_that_goes_away_leaves_room(server: tuple[Server, int]) -> None:
    made, port = server
    _, writer = await begin(port, 100, b"a" * 90)
    while made.bodies_bytes_left != 60:  # noqa: ASYNC110  # as above
        await asyncio.sleep(0.001)
    writer.close()
    while made.bodies_bytes_left != 150:  # noqa: ASYNC110  # as above
        await asyncio.sleep(0.001)


async def test_a_head_may_come_with_its_body_in_pieces(
    server: tuple[Server, int],
) -> None:
    _, port = server
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for piece in (
        b"POST / HT",
        b"TP/1.1\r\nHost: x\r\nContent-Le",
        b"ngth: 4\r\n\r\nab",
        b"cd",
    ):
        writer.write(piece)
        await writer.drain()
    assert await status(reader) == 200
    await reader.readuntil(b"\r\n\r\n")
    assert await reader.readexactly(4) == b"abcd"
    # A head that never ends is ended.
    writer.write(b"GET / HTTP/1.1\r\nX: " + b"x" * 20_000)
    assert await status(reader) == 431
    writer.close()


async def fail_later() -> Answer:
    await asyncio.sleep(0)
    raise ArithmeticError("soon")


def fail_now() -> Answer:
    raise ArithmeticError("now")


@pytest.mark.parametrize("fail", [fail_now, fail_later])
async def test_a_surprise_is_an_answer(
    server: tuple[Server, int],
    fail: Callable[[], Answer | Awaitable[Answer]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    made, port = server
    reader, writer = await begin(port, 0, b"")
    assert await status(reader) == 200
    await reader.readuntil(b"\r\n\r\n")
    made.handler = lambda _: fail()
    for _ in range(2):  # the connection can be used again
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await status(reader) == 500
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(21) == b"Internal Server Error"
    writer.close()
    assert "ArithmeticError" in caplog.text


async def test_the_work_for_a_client_ends_with_it(server: tuple[Server, int]) -> None:
    made, port = server
    began, ended = asyncio.Event(), asyncio.Event()

    async def never() -> Answer:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    made.handler = lambda _: never()
    _, writer = await begin(port, 0, b"")
    async with asyncio.timeout(20):
        await began.wait()
        writer.close()
        await ended.wait()


async def test_a_client_waits_for_its_answer(server: tuple[Server, int]) -> None:
    made, port = server
    asked = []

    async def never() -> Answer:
        await asyncio.Event().wait()
        raise AssertionError

    def handler(request: Request) -> Awaitable[Answer]:
        asked.append(request.path)
        return never()

    made.handler = handler
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\n"
    )
    with contextlib.suppress(ConnectionError):
        assert await reader.read() == b""
    assert asked == ["/1"]
    assert not made.connections
    writer.close()


async def test_a_request_may_come_with_the_end_of_the_handshake(tmp_path: Path) -> None:
    # The server's session tickets wait to be sent when the request is there.
    authority = issue("Root", is_authority=True)
    served = authority.issue("localhost")
    chain = tmp_path / "served.pem"
    chain.write_text(served.pem + served.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    made = Server(echo)
    listener = await asyncio.get_running_loop().create_server(
        made, "127.0.0.1", 0, ssl=context
    )
    reader, writer = await asyncio.open_connection(*listener.sockets[0].getsockname())
    received, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context(cadata=authority.pem)
    client.check_hostname = False
    tls = client.wrap_bio(received, sent)

    async def done(step: Callable[[], T]) -> T:
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                writer.write(sent.read())
                data = await reader.read(65_536)
                assert data, "the server ended the connection"
                received.write(data)

    await done(tls.do_handshake)
    assert tls.version() == "TLSv1.3"
    tls.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await done(tls.read)).startswith(b"HTTP/1.1 200 OK\r\n")
    writer.close()
    listener.close()
    made.close()


async def test_answers_that_are_not_taken_end_the_connection() -> None:
    made = Server(lambda _: Answer(body=b"a" * 500_000))
    listener = await asyncio.get_running_loop().create_server(made, "127.0.0.1", 0)
    # At that limit the client reads nothing more.
    _, writer = await asyncio.open_connection(
        *listener.sockets[0].getsockname(), limit=1
    )

    async def ask() -> None:
        for _ in range(100):
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await asyncio.sleep(0.001)
            await writer.drain()

    with pytest.raises(ConnectionError):
        await ask()
    assert not made.connections
    listener.close()


async def test_a_request_says_where_it_came_from(server: tuple[Server, int]) -> None:
    made, port = server
    made.handler = lambda request: Answer(body=request.peer.encode())
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, local_addr=("127.0.0.2", 0)
    )
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert (await reader.read()).endswith(b"\r\n\r\n127.0.0.2")
    writer.close()
