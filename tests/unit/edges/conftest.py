import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import uvicorn
from msgspec import Struct, field

from broker.edges.api import AnyEndpoint, ApiEndpoint
from broker.edges.asgi import App, Scope
from broker.edges.connection import BoundedConnection
from broker.edges.edge import AllowedHosts, Edge
from broker.edges.proxies import TrustedProxies
from broker.model.request import Answer, RawRequest
from broker.runtime.clock import SystemClock


def _ok() -> Answer:
    return Answer(
        status=200, headers=((b"content-type", b"text/xml"),), body=b"<ok/>\n"
    )


class Recorder(Struct):
    """A pipeline that keeps what it was asked and gives a prepared answer."""

    given: Answer = field(default_factory=_ok)
    asked: list[RawRequest] = []
    request_ids: list[str] = []

    async def answer(self, raw: RawRequest, request_id: str) -> Answer:
        self.asked.append(raw)
        self.request_ids.append(request_id)
        return self.given


class Response(Struct):
    status: int
    headers: dict[bytes, bytes]
    body: bytes


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def app(recorder: Recorder) -> Edge:
    return edge(ApiEndpoint(recorder.answer))


def edge(
    app: AnyEndpoint,
    hosts: tuple[str, ...] = ("broker.example", "127.0.0.1", "::1"),
    proxies: tuple[str, ...] = ("10.0.0.0/8",),
    *,
    hsts: bool = False,
) -> Edge:
    async def route(_scope: Scope) -> AnyEndpoint:
        return app

    return Edge(
        route,
        hosts=AllowedHosts(hosts, below="broker.example"),
        proxies=TrustedProxies(proxies),
        clock=SystemClock(),
        public_origin="https://broker.example",
        hsts=hsts,
    )


@pytest.fixture
def make_edge() -> Callable[[AnyEndpoint], Edge]:
    return edge


@pytest.fixture
def ask(app: Edge) -> Callable:
    """Call the application as an ASGI server would."""

    async def ask(
        method: str,
        *,
        path: str = "/",
        query: bytes = b"",
        headers: tuple = (),
        chunks: tuple = (b"",),
        host: bytes | None = b"broker.example",
        through: Edge | None = None,
    ) -> Response | None:
        messages = [
            {"type": "http.request", "body": c, "more_body": n < len(chunks)}
            for n, c in enumerate(chunks, 1)
        ]
        sent: list[dict] = []

        async def receive() -> dict:
            return messages.pop(0) if messages else {"type": "http.disconnect"}

        async def send(message: dict) -> None:
            sent.append(message)

        named = ((b"host", host),) if host is not None else ()
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query,
            "headers": [*named, *headers],
            "client": ("192.0.2.1", 4711),
            "scheme": "http",
        }
        await (through or app)(scope, receive, send)
        if not sent:
            return None
        start, end = sent
        assert len({name for name, _ in start["headers"]}) == len(start["headers"])
        return Response(start["status"], dict(start["headers"]), end["body"])

    return ask


@pytest.fixture
def server(app: Edge) -> Iterator[str]:
    """The application behind a real server; yields ``host:port``."""
    with serving(app) as address:
        yield address


@contextmanager
def serving(
    app: App, http: type[BoundedConnection] = BoundedConnection
) -> Iterator[str]:
    """An application behind a real server, with these connections."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    running = uvicorn.Server(
        uvicorn.Config(
            app,
            http=http,
            loop="uvloop",
            lifespan="off",
            access_log=False,
            log_level="warning",
            proxy_headers=False,
            server_header=False,
        )
    )
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        running.should_exit = True
        thread.join()
        listener.close()
