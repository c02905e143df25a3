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

from broker.model.account import AccountId, format_access_key_id
from tests.support.servers import find_free_port

_NAME = "{RoleSessionName}"
_USER = "{Name}"
AWS_ACCOUNT = "999988887777"
ROLE = f"arn:aws:iam::{AWS_ACCOUNT}:role/ReadOnly"
TOKEN = "IQoJb3JpZ2luX2VjEJr//////////wEaCWV1LXdlc3QtMSJHMEUCIQDEXAMPLE" + "q7A8" * 80


def key_id(number: int, account: str = AWS_ACCOUNT) -> str:
    """The access key ID of AWS's form with this number: it carries an account."""
    return format_access_key_id("ASIA", AccountId(account), number)


def granted(number: int = 1, operation: str = "AssumeRole") -> bytes:
    """AWS's answer to an operation, with keys of this number.

    `fake_sts` puts the names in that it is asked for.
    """
    ends = datetime.now(UTC) + timedelta(hours=1)
    user = (
        f"<FederatedUser><FederatedUserId>{AWS_ACCOUNT}:{_USER}</FederatedUserId>"
        f"<Arn>arn:aws:sts::{AWS_ACCOUNT}:federated-user/{_USER}</Arn></FederatedUser>"
        if operation == "GetFederationToken"
        else "<AssumedRoleUser>"
        f"<AssumedRoleId>AROAEXAMPLEREADONLY00:{_NAME}</AssumedRoleId>"
        f"<Arn>arn:aws:sts::{AWS_ACCOUNT}:assumed-role/ReadOnly/{_NAME}</Arn>"
        "</AssumedRoleUser>"
    )
    return (
        f'<{operation}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
        f"<{operation}Result>{user}<Credentials>"
        f"<AccessKeyId>{key_id(number)}</AccessKeyId>"
        "<SecretAccessKey>wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY</SecretAccessKey>"
        f"<SessionToken>{TOKEN}</SessionToken>"
        f"<Expiration>{ends:%Y-%m-%dT%H:%M:%SZ}</Expiration></Credentials>"
        f"</{operation}Result><ResponseMetadata>"
        "<RequestId>c6104cbe-af31-11e0-8154-cbc7ccf896c7</RequestId>"
        f"</ResponseMetadata></{operation}Response>"
    ).encode()


def nameless(number: int = 1) -> bytes:
    """The answer of one that does not say whose credentials these are."""
    answer = granted(number)
    before, _, rest = answer.partition(b"<AssumedRoleUser>")
    return before + rest.partition(b"</AssumedRoleUser>")[2]


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
            asked = there.form["Action"]
            if there.body is not None:
                content = there.body
            elif asked == "getSigninToken":
                content = (
                    b'{"SigninToken":"' + 40 * b"VCQgs5qZZt3Q6fn8Tr5EXAMPLE" + b'"}'
                )
            else:
                content = granted(number, asked)
            for place in (_NAME, _USER):
                name = there.form.get(place.strip("{}"), "")
                content = content.replace(place.encode(), name.encode())
            self.send_response(there.status)
            self.send_header("x-amzn-RequestId", "c6104cbe-af31-11e0-8154-cbc7ccf896c7")
            self.send_header("content-type", "text/xml")
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
