"""What clients do below HTTP, at a real socket: how much, how slowly, how many."""

import http.client
import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import pytest
from msgspec import Struct
from structlog.testing import capture_logs

from broker.edges.api import ApiEndpoint
from broker.edges.asgi import Receive, Scope, Send, respond
from broker.edges.bounds import Limits, Watch
from broker.edges.connection import BoundedConnection
from tests.support.rows import cases
from tests.unit.edges.conftest import Recorder, edge, serving

FORM = "Content-Type: application/x-www-form-urlencoded\r\n"
SIGNED = (
    "Authorization: AWS4-HMAC-SHA256 Credential=AKIA/20260101/us-east-1/sts/"
    "aws4_request, SignedHeaders=host, Signature=00\r\n"
)
LONG = 30


@contextmanager
def bounded(app: Any, **limits: Any) -> Iterator[str]:
    """The application, on connections with these limits."""

    class Connection(BoundedConnection):
        pass

    Connection.limits = Limits(**limits)
    with serving(edge(app), Connection) as address:
        yield address


@contextmanager
def connected(server: str, text: str | bytes = b"") -> Iterator[socket.socket]:
    host, _, port = server.partition(":")
    with socket.create_connection((host, int(port)), timeout=LONG) as client:
        client.sendall(text.encode() if isinstance(text, str) else text)
        yield client


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[str, Recorder]]:
    """A server with the limits that it has in earnest."""
    recorder = Recorder()
    with bounded(ApiEndpoint(recorder.answer)) as address:
        yield address, recorder


@pytest.fixture
def server(shared: tuple[str, Recorder]) -> str:
    return shared[0]


@pytest.fixture
def seen(shared: tuple[str, Recorder]) -> Recorder:
    """What reached the pipeline in this test."""
    shared[1].asked.clear()
    return shared[1]


def head(server: str, *lines: str, start: str = "POST / HTTP/1.1") -> str:
    fields = "".join(f"{line}\r\n" for line in lines)
    return f"{start}\r\nHost: {server}\r\n{FORM}{fields}"


@contextmanager
def begun(server: str) -> Iterator[socket.socket]:
    """A connection whose body the server waits for."""
    fields = ["Content-Length: 8", "Expect: 100-continue"]
    with connected(server, head(server, *fields) + "\r\n") as client:
        let_in = b"HTTP/1.1 100 Continue\r\n\r\n"
        assert client.recv(len(let_in), socket.MSG_WAITALL) == let_in
        yield client


class Told(Struct, frozen=True):
    status: int
    headers: http.client.HTTPMessage
    body: bytes


def read(client: socket.socket) -> Told:
    """The one answer on its way."""
    response = http.client.HTTPResponse(client)
    try:
        response.begin()
        return Told(response.status, response.headers, response.read())
    finally:
        response.close()


def is_closed(client: socket.socket) -> bool:
    """Whether the server closed it, without another byte."""
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


def is_answered(server: str) -> bool:
    with connected(server, head(server, "Content-Length: 8") + "\r\nAction=A") as it:
        return read(it).status == 200


def is_a_whole_answer(response: Told, lines: list[Any]) -> bool:
    """With the headers of every answer, its request id in the body, and one line."""
    request_id = response.headers["x-amzn-requestid"]
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["connection"] == "close"
    assert request_id in response.body.decode()
    logged = [each for each in lines if each.get("request_id") == request_id]
    return [each["status"] for each in logged] == [response.status]


@pytest.mark.parametrize(
    "fields",
    [
        ["X-A: " + "a" * 65_536],
        [f"X-{n}: {'a' * 1000}" for n in range(70)],
        [f"X-{n}: a" for n in range(101)],
        ["A" * 70_000 + ": b"],
    ],
)
def test_a_head_beyond_its_bounds_is_refused(
    server: str, seen: Recorder, fields: list[str]
) -> None:
    with capture_logs() as lines, connected(server) as client:
        client.sendall((head(server, *fields) + "\r\n").encode())
        response = read(client)
        assert response.status == 431
        assert is_a_whole_answer(response, lines)
        assert is_closed(client)
    assert not seen.asked


def test_a_large_head_within_its_bounds_is_taken(server: str, seen: Recorder) -> None:
    fields = [f"X-{n}: {'a' * 660}" for n in range(90)]
    with connected(server, head(server, *fields) + "\r\n") as client:
        assert read(client).status == 200
    assert len(seen.asked[0].headers) == 92


@pytest.mark.parametrize("endless", ["X-A: ", "", "X-A: b\r\n Y"])
def test_an_endless_head_ends(server: str, endless: str) -> None:
    sent = 0
    with connected(server, head(server) + endless) as client:
        try:
            while sent < 16_000_000:
                client.sendall((b"a" if endless else b"X-A: bcd\r\n") * 10_000)
                sent += 10_000
        except ConnectionError:
            pass
    assert sent < 16_000_000
    assert is_answered(server)


def test_trailers_do_not_count_as_headers(server: str, seen: Recorder) -> None:
    text = head(server, "Transfer-Encoding: chunked") + (
        "\r\n8\r\nAction=A\r\n0\r\nX-Forwarded-For: 203.0.113.1\r\nX-B: c\r\n\r\n"
    )
    with connected(server, text) as client:
        assert read(client).status == 200
    (raw,) = seen.asked
    assert raw.body == b"Action=A"
    assert {name for name, _ in raw.headers} == {
        b"host",
        b"content-type",
        b"transfer-encoding",
    }


@cases("begun, dripping")
def test_a_head_that_is_never_whole_is_not_waited_for(
    recorder: Recorder, begun: str, *, dripping: bool
) -> None:
    with (
        bounded(ApiEndpoint(recorder.answer), head_seconds=0.1) as server,
        connected(server, begun) as client,
    ):
        client.settimeout(0.02 if dripping else LONG)
        for _ in range(LONG * 50):
            try:
                assert is_closed(client)
                break
            except TimeoutError:
                client.sendall(b"a")
        else:
            pytest.fail("it is waited for")


def test_a_second_head_has_its_time_from_its_first_byte(recorder: Recorder) -> None:
    with (
        bounded(ApiEndpoint(recorder.answer), head_seconds=0.5) as server,
        connected(server, head(server, "Content-Length: 0") + "\r\n") as client,
    ):
        assert read(client).body == b"<ok/>\n"
        time.sleep(1)
        client.sendall((head(server, "Content-Length: 0") + "\r\n").encode())
        assert read(client).body == b"<ok/>\n"
        client.sendall(b"POST / HT")
        assert is_closed(client)


async def a_page(_scope: Scope, receive: Receive, send: Send) -> None:
    """Answers whoever goes away in the middle of a form, as some pages do."""
    while (message := await receive()).get("more_body"):
        pass
    gone = message["type"] == "http.disconnect"
    await respond(send, 400 if gone else 200)


@pytest.mark.parametrize("app", ["api", "page"])
@pytest.mark.parametrize("framing", ["Content-Length: 9", "Transfer-Encoding: chunked"])
def test_a_body_that_is_never_whole_is_not_waited_for(
    recorder: Recorder, app: str, framing: str
) -> None:
    inner = ApiEndpoint(recorder.answer) if app == "api" else a_page
    with (
        capture_logs() as lines,
        bounded(inner, body_seconds=0.1) as server,
        connected(server, head(server, framing) + "\r\n8\r\nA") as client,
    ):
        response = read(client)
        assert response.status == 408
        assert is_a_whole_answer(response, lines)
        assert is_closed(client)
    assert not recorder.asked


def test_a_body_that_no_one_reads_is_not_endless(recorder: Recorder) -> None:
    """Sent although it was answered long before."""
    with (
        bounded(ApiEndpoint(recorder.answer), body_bytes=1_000_000) as server,
        connected(
            server, head(server, "Content-Length: 999999999", start="PUT / HTTP/1.1")
        ) as client,
    ):
        client.sendall(b"\r\n")
        assert read(client).status == 405
        with pytest.raises(ConnectionError):
            client.sendall(bytes(100_000_000))
        assert is_answered(server)


def test_anyone_who_waits_longest_makes_room(recorder: Recorder) -> None:
    with (
        bounded(ApiEndpoint(recorder.answer), connections=5) as server,
        ExitStack() as stack,
    ):
        half = [stack.enter_context(connected(server, head(server))) for _ in range(12)]
        for _ in range(3):
            assert is_answered(server)
        assert is_closed(half[0])
        assert is_closed(half[6])
        half[-1].sendall(b"Content-Length: 0\r\n\r\n")
        assert read(half[-1]).status == 200


def test_idle_connections_make_room_and_busy_ones_do_not(recorder: Recorder) -> None:
    with (
        bounded(ApiEndpoint(recorder.answer), connections=2) as server,
        ExitStack() as stack,
    ):
        text = head(server, "Content-Length: 8") + "\r\n"
        idle = stack.enter_context(connected(server, text + "Action=A"))
        assert read(idle).body
        busy = stack.enter_context(begun(server))
        new = stack.enter_context(connected(server, text + "Action=A"))
        assert read(new).body
        assert is_closed(idle)
        newer = stack.enter_context(connected(server, text + "Action=A"))
        assert read(newer).body
        assert is_closed(new)
        busy.sendall(b"Action=A")
        assert read(busy).status == 200


def test_slow_bodies_make_room_too(recorder: Recorder) -> None:
    with (
        bounded(ApiEndpoint(recorder.answer), connections=2) as server,
        ExitStack() as stack,
    ):
        text = head(server, "Content-Length: 8") + "\r\n"
        slow = [stack.enter_context(begun(server)) for _ in range(2)]
        with connected(server, text + "Action=A") as client:
            assert is_closed(client)
        time.sleep(1.1)
        assert is_answered(server)
        (ended, *others), _, _ = select.select(slow, [], [], LONG)
        assert is_closed(ended)
        assert not others


def upload(server: str, size: int, fields: str = "") -> str:
    """A body's head and all of it but the last byte."""
    text = head(server, f"Content-Length: {size}") + fields + "\r\n"
    return text + "a" * (size - 1)


def test_unfinished_bodies_have_a_bound_and_the_signed_ones_their_own(
    recorder: Recorder,
) -> None:
    limits = {"free_body_bytes": 1000, "unsigned_bytes": 300_000, "head_bytes": 20_000}
    with (
        capture_logs() as lines,
        bounded(ApiEndpoint(recorder.answer), **limits) as server,
        ExitStack() as stack,
    ):
        held = [
            stack.enter_context(connected(server, upload(server, 150_000)))
            for _ in range(2)
        ]
        time.sleep(0.2)
        with connected(server, upload(server, 150_000)) as client:
            response = read(client)
            assert (response.status, response.headers["retry-after"]) == (503, "1")
            assert is_a_whole_answer(response, lines)
        assert is_answered(server)
        with connected(server, upload(server, 150_000, SIGNED) + "a") as client:
            assert read(client).status == 200
        for client in held:
            client.sendall(b"a")
            assert read(client).status == 200
        # Both are done, so there is room again.
        with connected(server, upload(server, 150_000) + "a") as client:
            assert read(client).status == 200
    assert [len(raw.body) for raw in recorder.asked] == [8, *[150_000] * 4]


def test_a_body_that_takes_long_gives_way_to_one_that_comes_at_once(
    recorder: Recorder,
) -> None:
    limits = {"free_body_bytes": 1000, "unsigned_bytes": 200_000, "head_bytes": 20_000}
    with (
        capture_logs() as lines,
        bounded(ApiEndpoint(recorder.answer), **limits) as server,
        connected(server, upload(server, 150_000)) as slow,
    ):
        time.sleep(1.1)
        with connected(server, upload(server, 150_000) + "a") as client:
            assert read(client).status == 200
        response = read(slow)
        assert response.status == 503
        assert is_a_whole_answer(response, lines)


def test_anyone_who_goes_away_leaves_nothing_behind(recorder: Recorder) -> None:
    limits = {"free_body_bytes": 1000, "unsigned_bytes": 200_000, "head_bytes": 20_000}
    with bounded(ApiEndpoint(recorder.answer), **limits) as server:
        for _ in range(4):
            with connected(server, upload(server, 150_000)):
                time.sleep(0.1)
            time.sleep(0.1)
        with connected(server, upload(server, 150_000) + "a") as client:
            assert read(client).status == 200


@cases("start, status")
def test_every_target_and_framing_has_a_whole_answer(
    server: str, start: str, status: int
) -> None:
    with capture_logs() as lines, connected(server) as client:
        text = head(server, "Connection: close", start=start.format(server))
        client.sendall(f"{text}\r\n".encode())
        response = read(client)
        assert response.status == status
        body = response.body
        request_id = response.headers["x-amzn-requestid"]
        assert (request_id.encode() in body) == (status in {400, 421})
        assert response.headers["cache-control"] == "no-store"
        (line,) = [each for each in lines if each["event"] == "request"]
        assert (line["status"], line["request_id"]) == (status, request_id)
        assert "?" not in line["path"]


@cases("body")
def test_a_broken_body_has_a_whole_answer(
    server: str, seen: Recorder, body: str
) -> None:
    with capture_logs() as lines, connected(server) as client:
        text = head(server, "Transfer-Encoding: chunked") + "\r\n"
        client.sendall(text.encode())
        time.sleep(0.05)
        client.sendall(body.encode())
        response = read(client)
        assert response.status == 400
        assert is_a_whole_answer(response, lines)
    assert not seen.asked


def test_a_body_in_countless_pieces_is_refused(server: str, seen: Recorder) -> None:
    text = head(server, "Transfer-Encoding: chunked") + "\r\n"
    with connected(server) as client:
        client.sendall((text + "1\r\na\r\n" * 5_000 + "0\r\n\r\n").encode())
        assert read(client).status == 413
    assert not seen.asked
    with connected(server) as client:
        client.sendall((text + "1\r\na\r\n" * 4_999 + "0\r\n\r\n").encode())
        assert read(client).status == 200
    assert seen.asked[0].body == b"a" * 4_999


def test_requests_behind_each_other_are_answered_in_order(
    server: str, seen: Recorder
) -> None:
    text = head(server, "Content-Length: 8") + "\r\nAction="
    with connected(server, "".join(f"{text}{n}" for n in range(5))) as client:
        told = b""
        while told.count(b"<ok/>\n") < 5:
            told += client.recv(65_536)
    assert told.count(b"HTTP/1.1 200 OK\r\n") == 5
    assert [raw.body for raw in seen.asked] == [b"Action=%d" % n for n in range(5)]


def test_one_read_makes_bounded_work(server: str, seen: Recorder) -> None:
    with (
        connected(server, (head(server) + "\r\n") * 1000) as client,
        suppress(ConnectionResetError),
    ):
        while client.recv(65_536):
            pass
    assert len(seen.asked) <= Limits().pipelined + 1
    assert is_answered(server)


def test_an_error_behind_a_request_does_not_spoil_its_answer(server: str) -> None:
    text = head(server, "Content-Length: 8") + "\r\nAction=AGARBAGE\r\n\r\n"
    with connected(server, text) as client:
        response = read(client)
        assert (response.status, response.body) == (200, b"<ok/>\n")
        assert is_closed(client)


@pytest.mark.parametrize("framing", ["Content-Length: 8", "Transfer-Encoding: chunked"])
def test_a_wish_to_upgrade_is_passed_over(
    server: str, seen: Recorder, framing: str
) -> None:
    """Java's client has it, with every first request in clear text."""
    fields = ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", framing]
    body = "Action=A" if "8" in framing else "8\r\nAction=A\r\n0\r\n\r\n"
    with connected(server) as client:
        for _ in range(2):
            client.sendall(f"{head(server, *fields)}\r\n{body[:4]}".encode())
            time.sleep(0.05)
            client.sendall(body[4:].encode())
            assert read(client).body == b"<ok/>\n"
    assert [raw.body for raw in seen.asked] == [b"Action=A"] * 2
    assert b"upgrade" not in dict(seen.asked[0].headers)


@pytest.fixture
def no_more_files(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    def pretend(soft: int) -> None:
        monkeypatch.setattr(
            "broker.edges.bounds.resource.getrlimit", lambda _: (soft, soft)
        )

    return pretend


@pytest.mark.parametrize(("files", "most"), [(1024, 768), (64, 32), (100_000, 1024)])
def test_connections_stay_below_the_limit_of_open_files(
    no_more_files: Callable[[int], None], files: int, most: int
) -> None:
    class Loop:
        def call_later(self, *_: object) -> None: ...
        def time(self) -> float:
            return 0.0

    class Waiting:
        is_reading_body = False
        reading_since = 0.0
        gone = False

        def give_up(self) -> None:
            self.gone = True

    no_more_files(files)
    watch = Watch(Limits(), Loop())  # type: ignore[arg-type] # what it needs of one
    all_of_them = [Waiting() for _ in range(most + 10)]
    for entry in all_of_them:
        assert watch.admit(entry)  # type: ignore[arg-type] # what it needs of one
    assert [item.gone for item in all_of_them] == [True] * 10 + [False] * most
