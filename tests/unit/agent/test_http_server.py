"""What the agent's HTTP server holds for its clients is bounded."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from broker.agent.http_server import (
    BODY_BYTES_MAX,
    CONNECTIONS_MAX,
    Answer,
    Request,
    Server,
)


def echo(request: Request) -> Answer:
    return Answer.text(request.path)


@pytest.fixture
async def server() -> AsyncIterator[tuple[Server, int]]:
    made = Server(echo)
    listener = await asyncio.get_running_loop().create_server(made, "127.0.0.1", 0)
    yield made, listener.sockets[0].getsockname()[1]
    listener.close()
    made.close()
    while OPENED:
        OPENED.pop().close()


OPENED: list[asyncio.StreamWriter] = []


async def connect(
    port: int, source: str = "127.0.0.1"
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    opened = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
    OPENED.append(opened[1])
    return opened


async def ask(
    port: int, source: str = "127.0.0.1"
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection on which a request was answered."""
    opened = await connect(port, source)
    await again(*opened)
    return opened


async def again(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
    assert await reader.readuntil(b"\r\n\r\n/x")


async def silent(
    port: int, source: str, count: int
) -> list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    return [await connect(port, source) for _ in range(count)]


async def test_silent_connections_shut_nobody_out(server: tuple[Server, int]) -> None:
    made, port = server
    held = await silent(port, "127.0.0.1", CONNECTIONS_MAX + 20)
    first, last = held[0][0], held[-1][0]
    assert await first.read() == b""
    for _ in range(3):
        await ask(port)
    assert len(made.connections) == CONNECTIONS_MAX
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(last.read(), 0.05)


async def test_an_address_has_its_share(server: tuple[Server, int]) -> None:
    made, port = server
    others = [await ask(port, f"127.0.0.{number}") for number in range(2, 6)]
    await silent(port, "127.0.0.1", CONNECTIONS_MAX + 20)
    for other in others:
        await again(*other)
    assert len(made.connections) == CONNECTIONS_MAX


async def test_an_answer_begins_the_wait_again(server: tuple[Server, int]) -> None:
    _, port = server
    mine = await ask(port)
    await silent(port, "127.0.0.1", CONNECTIONS_MAX - 1)
    await again(*mine)
    await silent(port, "127.0.0.1", 5)
    await again(*mine)


async def test_who_is_being_served_does_not_give_way(
    server: tuple[Server, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, port = server
    monkeypatch.setattr("broker.agent.http_server.CONNECTIONS_MAX", 2)
    answers = asyncio.Event()

    async def later(request: Request) -> Answer:
        await answers.wait()
        return echo(request)

    made.handler = later
    served = await silent(port, "127.0.0.1", 2)
    for _, writer in served:
        writer.write(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
    await asyncio.sleep(0.05)
    ((reader, _),) = await silent(port, "127.0.0.1", 1)
    with contextlib.suppress(ConnectionResetError):
        assert await reader.read() == b""
    answers.set()
    for reader, _ in served:
        assert await reader.readuntil(b"\r\n\r\n/x")


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


async def test_a_body_is_bounded_and_not_held(server: tuple[Server, int]) -> None:
    _, port = server
    reader, writer = await begin(port, BODY_BYTES_MAX, b"a" * BODY_BYTES_MAX)
    assert await status(reader) == 200
    writer.close()
    reader, writer = await begin(port, BODY_BYTES_MAX + 1, b"a" * 100)
    writer.write(b"a" * (BODY_BYTES_MAX - 99))
    assert await status(reader) == 413
    writer.close()


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
    assert await reader.readexactly(1) == b"/"
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
    await reader.readuntil(b"\r\n\r\n/")
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
