"""A server in the place of another STS."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl

from tests.support.servers import find_free_port

_NAME = "{RoleSessionName}"
ROLE = "arn:aws:iam::999988887777:role/ReadOnly"


def granted(number: int = 1, operation: str = "AssumeRole") -> bytes:
    """What an operation answers, with keys of this number.

    `fake_sts` puts the session's name in.
    """
    ends = datetime.now(UTC) + timedelta(hours=1)
    return (
        f'<{operation}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
        f"<{operation}Result><Credentials>"
        f"<AccessKeyId>ASIAUPSTREAM{number:08}</AccessKeyId>"
        "<SecretAccessKey>secret</SecretAccessKey><SessionToken>token</SessionToken>"
        f"<Expiration>{ends:%Y-%m-%dT%H:%M:%SZ}</Expiration></Credentials>"
        f"<AssumedRoleUser><AssumedRoleId>AROAUPSTREAM:{number}</AssumedRoleId>"
        f"<Arn>arn:aws:sts::999988887777:assumed-role/ReadOnly/{_NAME}</Arn>"
        f"</AssumedRoleUser></{operation}Result></{operation}Response>"
    ).encode()


@dataclass
class FakeSts:
    """What it answers may be changed while it runs.

    ``status`` None closes the connection, ``body`` None is fresh credentials. After
    `hold`, it answers nothing; ``arrived`` is released at each POST, and ``form`` is
    what the last one said.
    """

    port: int
    status: int | None = 200
    body: bytes | None = None
    minutes_ahead: int = 0
    asked: int = 0
    form: dict[str, str] = field(default_factory=dict)
    arrived: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    goes_on: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def hold(self) -> None:
        """Answer nothing until `go_on`."""
        self.goes_on.clear()

    def go_on(self) -> None:
        """Answer, and what waits too."""
        self.goes_on.set()


@contextmanager
def fake_sts(
    port: int = 0,
    status: int | None = 200,
    body: bytes | None = None,
    *,
    operation: str = "AssumeRole",
    keeps_connections: bool = False,
) -> Iterator[FakeSts]:
    """A server that answers every request alike."""
    there = FakeSts(port or find_free_port(), status, body)
    there.go_on()
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1" if keeps_connections else "HTTP/1.0"
        wbufsize = -1  # an answer is one packet
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            with lock:
                there.form = dict(parse_qsl(body.decode()))
                there.asked += 1
                number = there.asked
            there.arrived.release()
            there.goes_on.wait()
            if there.status is None:
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            content = granted(number, operation) if there.body is None else there.body
            name = there.form.get("RoleSessionName", "")
            content = content.replace(_NAME.encode(), name.encode())
            self.send_response(there.status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_GET(self) -> None:
            there.goes_on.wait()
            self.send_response(404)
            self.end_headers()

        def date_time_string(self, timestamp: float | None = None) -> str:
            now = time.time() if timestamp is None else timestamp
            return super().date_time_string(now + 60 * there.minutes_ahead)

        def log_message(self, *_args: object) -> None:
            pass

    server = _Server(("127.0.0.1", there.port), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield there
    finally:
        there.go_on()
        server.shutdown()
        thread.join(10)
        server.server_close()


class _Server(ThreadingHTTPServer):
    request_queue_size = 128

    def handle_error(self, *_args: object) -> None:
        pass
