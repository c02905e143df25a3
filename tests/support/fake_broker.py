"""A server that answers `POST /decisions` as a test wants it."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from broker.client import DecisionClient

PRINCIPAL = {
    "Arn": "arn:aws:iam::111122223333:user/alice",
    "Account": "111122223333",
    "UserId": "AIDA",
    "Type": "User",
    "Tags": {"team": "blue"},
}


def decided(allowed: bool = True, **more: object) -> dict[str, Any]:
    """An answer about whatever is asked; the body's hash is put in."""
    entry = {"Action": "orders:GetOrder", "Resource": "arn:x", "Allowed": allowed}
    return {
        "RequestId": "r-1",
        "Allowed": allowed,
        "Decisions": [entry],
        "Principal": PRINCIPAL,
        **more,
    }


class FakeBroker(ThreadingHTTPServer):
    """Notes the questions and the connections; ``reply`` is what it sends."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = 200
        self.reply: Any = decided()
        self.questions: list[dict[str, Any]] = []
        self.connections = 0
        self.keeps_open = True
        self.waits = threading.Event()
        self.waits.set()
        self._clients: list[DecisionClient] = []

    def handle_error(self, *_given: object) -> None:
        """A client that has gone away is none of ours."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def client(self, **more: Any) -> DecisionClient:
        """A client of this broker, which is closed with it."""
        made = DecisionClient(self.url, "token", **more)
        self._clients.append(made)
        return made

    def close_all(self) -> None:
        self.waits.set()
        for client in self._clients:
            client.close()
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FakeBroker

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def do_POST(self) -> None:
        length = int(self.headers["content-length"])
        question = json.loads(self.rfile.read(length))
        self.server.questions.append(question)
        self.server.waits.wait(10)
        reply = self.server.reply
        if isinstance(reply, dict):
            signed = question["Request"]["BodySha256"]
            reply = json.dumps({"ContentSha256": signed, **reply}).encode()
        self.send_response(self.server.status)
        self.send_header("content-length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)
        # Without a word, as a server does with an idle connection.
        self.close_connection = not self.server.keeps_open

    def log_message(self, *_given: object) -> None:
        """Keep quiet."""


@contextmanager
def fake_broker() -> Iterator[FakeBroker]:
    server = FakeBroker()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.close_all()
