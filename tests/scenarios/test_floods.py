"""Strangers who flood a broker hold bounded memory, and keep nobody out."""

import http.client
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from broker.edges.bounds import CONNECTIONS_MAX, FILES_RESERVED
from tests.support.broker import Key, RunningBroker, running_broker

FILES = 1024
HALF_HEADS = 1500
UPLOADS = 300
PIECE = b"10000\r\n" + bytes(65_536) + b"\r\n"
PIECES = 14
KEPT = 20
"""Megabytes that may be more after a flood than before it."""

FORM = "Content-Type: application/x-www-form-urlencoded\r\n"
CLAIMED = (
    "Authorization: AWS4-HMAC-SHA256 Credential=AKIA/20260101/us-east-1/sts/"
    "aws4_request, SignedHeaders=host, Signature=00\r\n"
)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    with running_broker(tmp_path_factory.mktemp("broker"), files=FILES) as made:
        yield made


@pytest.fixture(scope="module")
def root(broker: RunningBroker) -> Key:
    return broker.create_account()


def connect(broker: RunningBroker, stack: ExitStack, text: str) -> socket.socket:
    client = stack.enter_context(
        socket.create_connection(("127.0.0.1", broker.port), timeout=30)
    )
    head = f"POST / HTTP/1.1\r\nHost: 127.0.0.1:{broker.port}\r\n{FORM}{text}"
    client.sendall(head.encode())
    return client


def test_half_heads_lock_no_one_out(broker: RunningBroker, root: Key) -> None:
    """More than the broker may open files."""
    before = broker.resident_mb
    with ExitStack() as stack:
        for number in range(HALF_HEADS):
            client = connect(broker, stack, "X-A: ")
            with suppress(OSError):
                client.send(b"a" * 30_000)
            if number % 300 == 0:
                broker.client("sts", root).get_caller_identity()
        broker.client("sts", root).get_caller_identity()
        assert broker.process is not None
        files = list(Path(f"/proc/{broker.process.pid}/fd").iterdir())
        assert FILES - FILES_RESERVED <= len(files) < FILES
        assert len(files) < CONNECTIONS_MAX
        assert broker.resident_mb - before < 96
    assert "connections are full" in broker.log
    assert "Too many open files" not in broker.log


@pytest.mark.parametrize(("claimed", "most"), [("", 64), (CLAIMED, 160)])
def test_unfinished_bodies_are_held_within_bounds_and_leave_nothing(
    broker: RunningBroker, root: Key, claimed: str, most: int
) -> None:
    """300 of 0.9 MB are offered at once."""
    sts = broker.client("sts", root)
    sts.get_caller_identity()
    before = highest = broker.resident_mb
    with ExitStack() as stack:
        text = f"{claimed}Transfer-Encoding: chunked\r\n\r\n"
        clients = [connect(broker, stack, text) for _ in range(UPLOADS)]
        for number in range(PIECES):
            for client in clients:
                with suppress(OSError):
                    client.sendall(PIECE)
            highest = max(highest, broker.resident_mb)
            if number % 10 == 0:
                sts.get_caller_identity()
        answers = [answer for client in clients if (answer := status_of(client))]
    assert set(answers) <= {503}
    assert highest - before < most
    for _ in range(100):
        if broker.resident_mb - before < KEPT:
            return
        time.sleep(0.1)
    pytest.fail(f"{broker.resident_mb} MB stay, where {before} were")


def status_of(client: socket.socket) -> int:
    """What was answered before the end; 0 when it was closed first."""
    client.settimeout(0.01)
    try:
        response = http.client.HTTPResponse(client)
        with suppress(TimeoutError, OSError):
            response.begin()
            return response.status
        return 0
    finally:
        response.close()
