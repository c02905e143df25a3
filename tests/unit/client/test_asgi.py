"""The middleware for ASGI."""

import json
from typing import Any

import pytest

from broker.client import AsgiMiddleware, Principal
from tests.support.fake_broker import FakeBroker, decided

SIGNED = [(b"host", b"x"), (b"authorization", b"AWS4-HMAC-SHA256 x")]


class World:
    """An application behind the middleware, and what a client gets."""

    def __init__(self, broker: FakeBroker, **more: Any) -> None:
        self.served: list[Any] = []
        self.bodies: list[bytes] = []
        self.sent: list[Any] = []
        client = broker.client(held_seconds=0)
        self.middleware = AsgiMiddleware(self.app, client, **more)

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        self.served.append(scope)
        if scope["type"] == "http":
            message = await receive()
            self.bodies.append(message["body"])
            assert not message["more_body"]
            assert (await receive())["type"] == "http.disconnect"
            await send({"type": "http.response.start", "status": 204, "headers": []})

    async def ask(self, *chunks: bytes, **more: Any) -> int:
        """The status of a request; -1 for no answer at all."""
        self.sent.clear()
        scope: dict[str, Any] = {
            "type": "http",
            "method": "PUT",
            "path": "/orders/7",
            "raw_path": b"/orders/7",
            "query_string": b"",
            "headers": SIGNED,
            "client": ("203.0.113.7", 1),
            "scheme": "https",
            **more,
        }
        parts = [
            {"type": "http.request", "body": chunk, "more_body": number < len(chunks)}
            for number, chunk in enumerate(chunks or (b"",), 1)
        ]
        parts[-1]["more_body"] = False

        async def receive() -> Any:
            return parts.pop(0) if parts else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            self.sent.append(message)

        await self.middleware(scope, receive, send)
        return self.sent[0].get("status", -1) if self.sent else -1

    def headers(self) -> dict[bytes, bytes]:
        return dict(self.sent[0]["headers"])


async def test_the_application_finds_principal_and_body(broker: FakeBroker) -> None:
    world = World(broker)
    state = {"own": 1}
    assert await world.ask(b"ab", b"", b"cd", query_string=b"x=%20", state=state) == 204
    ((scope),) = world.served
    assert isinstance(scope["state"]["principal"], Principal)
    assert scope["state"]["own"] == 1
    assert "principal" not in state
    assert world.bodies == [b"abcd"]
    (question,) = broker.questions
    assert question["Request"]["Target"] == "/orders/7?x=%20"
    assert question["Request"]["SourceIp"] == "203.0.113.7"
    assert question["Request"]["SecureTransport"]


async def test_a_link_local_address_is_told_without_its_zone(
    broker: FakeBroker,
) -> None:
    assert await World(broker).ask(client=("fe80::1%eth0", 1)) == 204
    assert broker.questions[0]["Request"]["SourceIp"] == "fe80::1"


async def test_what_is_not_there_is_not_told(broker: FakeBroker) -> None:
    """A unix socket has no address, and a target without a query no question mark."""
    for client in (None, ("/run/service.sock", 0)):
        assert await World(broker).ask(client=client) == 204
        assert broker.questions[-1]["Request"]["SourceIp"] == ""
        assert broker.questions[-1]["Request"]["Target"] == "/orders/7"


async def test_a_refusal_is_in_awss_form(broker: FakeBroker) -> None:
    broker.reply = decided(
        allowed=False,
        Decisions=[],
        Principal=None,
        Refusal={"Code": "ExpiredToken", "Message": "expired"},
    )
    world = World(broker)
    assert await world.ask() == 401
    assert world.headers()[b"x-amzn-errortype"] == b"ExpiredToken"
    assert world.headers()[b"x-amzn-requestid"] == b"r-1"
    assert world.headers()[b"www-authenticate"] == b"AWS4-HMAC-SHA256"
    assert json.loads(world.sent[1]["body"]) == {"message": "expired"}
    assert world.served == []


async def test_without_an_answer_it_is_503(broker: FakeBroker) -> None:
    broker.status = 500
    world = World(broker)
    assert await world.ask() == 503
    assert world.headers()[b"retry-after"] == b"1"
    assert world.served == []


async def test_an_unsigned_request_is_refused_unasked(broker: FakeBroker) -> None:
    world = World(broker)
    assert await world.ask(headers=[(b"host", b"x")]) == 401
    assert world.headers()[b"x-amzn-errortype"] == b"MissingAuthenticationToken"
    assert (world.served, broker.questions) == ([], [])
    presigned = b"X-Amz-Algorithm=AWS4-HMAC-SHA256"
    assert await world.ask(headers=[], query_string=presigned) == 204


async def test_a_body_has_a_bound(broker: FakeBroker) -> None:
    world = World(broker, body_bytes_max=4)
    assert await world.ask(b"abcd") == 204
    assert await world.ask(b"abc", b"de", b"f" * 100) == 413
    assert len(broker.questions) == 1


async def test_open_paths_are_open_and_no_others(broker: FakeBroker) -> None:
    broker.reply = decided(allowed=False)
    world = World(broker, open_paths={"/healthz"})
    path = {"path": "/healthz", "raw_path": b"/healthz"}
    assert await world.ask(**path, headers=[]) == 204
    assert broker.questions == []
    path = {"path": "/healthz/", "raw_path": b"/healthz/"}
    assert await world.ask(**path) == 403


@pytest.mark.parametrize(
    ("path", "raw_path", "status"),
    [
        ("/a b", b"/a%20b", 204),
        ("/\ufffd", b"/%FF", 403),
        ("/ä", b"/%C3%A4", 204),
        ("/a%20b", b"/a%20b", 403),
        ("/orders/8", b"/orders/7", 403),
        ("/orders/7", None, 403),
    ],
)
async def test_what_is_served_is_what_is_asked_about(
    broker: FakeBroker, path: str, raw_path: bytes | None, status: int
) -> None:
    world = World(broker)
    assert await world.ask(path=path, raw_path=raw_path) == status
    assert len(world.served) == (status == 204)


async def test_websockets_are_refused(broker: FakeBroker) -> None:
    world = World(broker)
    assert await world.ask(type="websocket") == -1
    assert world.sent == [{"type": "websocket.close"}]
    assert world.served == []


async def test_a_lifespan_is_the_applications(broker: FakeBroker) -> None:
    world = World(broker)
    await world.ask(type="lifespan")
    assert world.served[0]["type"] == "lifespan"


async def test_half_a_request_is_not_answered(broker: FakeBroker) -> None:
    world = World(broker)
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "headers": SIGNED,
    }
    await world.middleware(scope, receive, send)
    assert (world.served, broker.questions, sent) == ([], [], [])
