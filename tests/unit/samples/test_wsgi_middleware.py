"""The middleware for WSGI, a sample."""

import json
from collections.abc import Iterable
from io import BytesIO
from typing import Any

from samples.protected.wsgi_middleware import WsgiMiddleware
from tests.support.fake_broker import FakeBroker, decided


class World:
    """An application behind the middleware, and what a client gets."""

    def __init__(self, broker: FakeBroker, **more: Any) -> None:
        self.served: list[dict[str, Any]] = []
        self.bodies: list[bytes] = []
        self.headers: dict[str, str] = {}
        self.body = b""
        client = broker.client(held_seconds=0)
        self.middleware = WsgiMiddleware(self.app, client, **more)

    def app(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        self.served.append(environ)
        self.bodies.append(environ["wsgi.input"].read())
        start_response("204 No Content", [])
        return []

    def ask(self, body: bytes = b"", **more: Any) -> int:
        statuses: list[str] = []

        def start_response(status: str, headers: list[tuple[str, str]]) -> None:
            statuses.append(status)
            self.headers = dict(headers)

        environ = {
            "REQUEST_METHOD": "PUT",
            "SCRIPT_NAME": "",
            "PATH_INFO": "/orders/7",
            "QUERY_STRING": "",
            "REMOTE_ADDR": "203.0.113.7",
            "wsgi.url_scheme": "https",
            "wsgi.input": BytesIO(body + b"the next request"),
            "CONTENT_LENGTH": str(len(body)),
            "CONTENT_TYPE": "",
            "HTTP_HOST": "x",
            "HTTP_AUTHORIZATION": "AWS4-HMAC-SHA256 x",
            "broker.principal": "forged",
            **more,
        }
        self.body = b"".join(self.middleware(environ, start_response))
        (status,) = statuses
        return int(status.split()[0])


def test_the_application_finds_principal_and_body(broker: FakeBroker) -> None:
    world = World(broker)
    assert world.ask(b"abcd", QUERY_STRING="x=%20", CONTENT_TYPE="a/b") == 204
    (environ,) = world.served
    assert environ["broker.principal"].arn.endswith("user/alice")
    assert world.bodies == [b"abcd"]
    (question,) = broker.questions
    assert question["Request"]["Target"] == "/orders/7?x=%20"
    assert ["content-type", "a/b"] in question["Request"]["Headers"]
    assert ["host", "x"] in question["Request"]["Headers"]


def test_a_refusal_is_in_awss_form(broker: FakeBroker) -> None:
    broker.reply = decided(allowed=False)
    world = World(broker)
    assert world.ask() == 403
    assert world.headers["x-amzn-errortype"] == "AccessDenied"
    assert "is not authorized" in json.loads(world.body)["message"]
    assert world.served == []


def test_without_an_answer_it_is_503(broker: FakeBroker) -> None:
    broker.status = 500
    world = World(broker)
    assert world.ask() == 503
    assert world.served == []


def test_an_unsigned_request_is_refused_unasked(broker: FakeBroker) -> None:
    world = World(broker, open_paths={"/healthz"})
    assert world.ask(HTTP_AUTHORIZATION="x", PATH_INFO="/healthz") == 204
    assert "broker.principal" not in world.served.pop()
    environ = {"HTTP_HOST": "x", "HTTP_X_FORWARDED": "y"}
    middleware_saw = world.middleware._judge(
        {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": "/",
            "wsgi.url_scheme": "http",
            **environ,
        }
    )
    assert middleware_saw is not None
    assert middleware_saw.status == 401
    assert broker.questions == []


def told(broker: FakeBroker) -> str:
    target: str = broker.questions[-1]["Request"]["Target"]
    return target


def test_the_path_is_what_was_sent(broker: FakeBroker) -> None:
    world = World(broker)
    decoded = "/a b/ä".encode().decode("latin-1")
    assert world.ask(PATH_INFO=decoded, REQUEST_URI="/a%20b/%c3%a4?x=1") == 204
    assert told(broker) == "/a%20b/%c3%a4"
    assert world.ask(PATH_INFO=decoded, RAW_URI="/a%20b/%c3%a4") == 204
    assert told(broker) == "/a%20b/%c3%a4"
    assert world.ask(PATH_INFO=decoded) == 204
    assert told(broker) == "/a%20b/%C3%A4"
    assert world.ask(SCRIPT_NAME="/api", PATH_INFO="/a%2Fb;c") == 204
    assert told(broker) == "/api/a%252Fb%3Bc"
    names = [name for name, _ in broker.questions[-1]["Request"]["Headers"]]
    assert "content-type" not in names


def test_what_is_served_is_what_is_asked_about(broker: FakeBroker) -> None:
    world = World(broker)
    assert world.ask(REQUEST_URI="/orders/8") == 403
    assert world.ask(REQUEST_URI="http://x/orders/7") == 403
    assert world.served == []


def test_bodies_have_a_bound_and_an_end(broker: FakeBroker) -> None:
    world = World(broker, body_bytes_max=30)
    assert world.ask(CONTENT_LENGTH="31") == 413
    assert world.ask(CONTENT_LENGTH="9" * 5000) == 413
    for length in ("-1", "+1", "x", "1_0", "\u00b2"):
        assert world.ask(CONTENT_LENGTH=length) == 403
    assert world.ask(CONTENT_LENGTH="", HTTP_TRANSFER_ENCODING="chunked") == 403
    terminated = {"CONTENT_LENGTH": "", "wsgi.input_terminated": True}
    assert world.ask(b"abc, ", **terminated) == 204
    assert world.bodies.pop() == b"abc, the next request"
    assert world.ask(b"x" * 15, **terminated) == 413
    assert world.ask(CONTENT_LENGTH="") == 204
    assert world.bodies.pop() == b""
