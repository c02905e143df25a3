"""What is asked of the broker, held, and made of its answers."""

import hashlib
import os
import ssl
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from broker.client import BrokerAway, DecisionClient
from broker.client.answers import Refusal
from broker.client.request import AmbiguousRequest, Request
from broker.protocols.sigv4.errors import MISMATCH
from tests.support.fake_broker import FakeBroker, decided
from tests.support.rows import cases, rows
from tests.support.servers import find_free_port
from tests.support.tls import tls_before

EMPTY = hashlib.sha256(b"").hexdigest()
REQUEST = Request(
    "GET", b"/orders/7?a=b", ((b"host", b"x"),), EMPTY, "203.0.113.7", secure=True
)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_whole_request_is_told(broker: FakeBroker) -> None:
    answer = broker.client().decide(REQUEST)
    assert answer.refusal is None
    assert answer.principal is not None
    assert answer.principal.arn.endswith("user/alice")
    assert dict(answer.principal.tags) == {"team": "blue"}
    assert broker.questions == [
        {
            "Request": {
                "Method": "GET",
                "Target": "/orders/7?a=b",
                "Headers": [["host", "x"]],
                "BodySha256": EMPTY,
                "SourceIp": "203.0.113.7",
                "SecureTransport": True,
            }
        }
    ]


def test_an_allowed_request_is_held_for_half_a_second(broker: FakeBroker) -> None:
    clock = Clock()
    client = broker.client(clock=clock)
    client.decide(REQUEST)
    broker.reply = decided(allowed=False)
    clock.now += 0.49
    assert client.decide(REQUEST).refusal is None
    clock.now += 0.02
    assert client.decide(REQUEST).refusal is not None
    assert len(broker.questions) == 2


def test_the_time_counts_from_the_question(broker: FakeBroker) -> None:
    clock = Clock()
    client = broker.client(clock=clock)
    ask = client._connections.post

    def slow(question: bytes) -> bytes:
        answered = ask(question)
        clock.now += 0.6
        return answered

    client._connections.post = slow  # type: ignore[method-assign]
    client.decide(REQUEST)
    client.decide(REQUEST)
    assert len(broker.questions) == 2


@cases("changed", ids=lambda changed: next(iter(changed)))
def test_only_the_same_request_is_held(
    broker: FakeBroker, changed: dict[str, Any]
) -> None:
    client = broker.client(clock=Clock())
    client.decide(REQUEST)
    client.decide(REQUEST._replace(**changed))
    assert len(broker.questions) == 2


def test_a_refusal_is_not_held(broker: FakeBroker) -> None:
    client = broker.client(clock=Clock())
    broker.reply = decided(allowed=False)
    client.decide(REQUEST)
    broker.reply = decided()
    assert client.decide(REQUEST).refusal is None


def test_what_is_held_has_a_bound(broker: FakeBroker) -> None:
    clock = Clock()
    client = broker.client(clock=clock)
    answer = client.decide(REQUEST)
    for number in range(2000):
        client._hold(REQUEST._replace(target=b"/%d" % number), answer, clock.now)
    assert len(client._held) == 1024
    clock.now += 1
    client._hold(REQUEST, answer, clock.now)
    assert len(client._held) == 1


def test_nothing_is_held_longer_than_a_revocation_may_take() -> None:
    with pytest.raises(ValueError, match=r"0\.5 s"):
        DecisionClient("https://broker.example", "token", held_seconds=0.6)


@rows("origin")
def test_an_origin_is_an_origin(origin: str) -> None:
    with pytest.raises(ValueError, match="origin"):
        DecisionClient(origin, "token")


@pytest.mark.parametrize(
    "token",
    ["", " \n", "sec\nret", "sec\0ret", "secr\N{LATIN SMALL LETTER E WITH ACUTE}t"],
)
def test_an_invalid_token_is_refused_and_not_shown(token: str) -> None:
    with pytest.raises(ValueError, match="token") as refused:
        DecisionClient("https://broker.example", token)
    assert "sec" not in str(refused.value)


def test_a_token_may_be_a_line_of_a_file(broker: FakeBroker) -> None:
    client = DecisionClient(broker.url, "token\n")
    assert client.decide(REQUEST).refusal is None
    client.close()


DENIED = Refusal(
    403,
    "AccessDenied",
    "User: arn:aws:iam::111122223333:user/alice is not authorized to perform:"
    " orders:GetOrder on resource: arn:x",
    "r-1",
)
EXPIRED = {"Code": "ExpiredToken", "Message": "expired"}
UNKNOWN = {"Code": "InvalidClientTokenId", "Message": "no such key"}
AMBIGUOUS = {"Code": "ValidationError", "Message": "The path has a semicolon."}
NO_ROUTE = {"Code": "AccessDenied", "Message": "no action"}
NOBODY: dict[str, Any] = {
    "Allowed": False,
    "Decisions": [],
    "Principal": None,
    "ContentSha256": None,  # nothing was verified
}


@pytest.mark.parametrize(
    ("reply", "refusal"),
    [
        (decided(allowed=False), DENIED),
        (decided(Allowed="yes"), None),
        (decided(Principal=None), None),
        (decided(allowed=False, Principal=None), None),
        (
            decided(**NOBODY, Refusal=EXPIRED),
            Refusal(401, "ExpiredToken", "expired", "r-1"),
        ),
        (
            decided(**NOBODY, Refusal=UNKNOWN),
            Refusal(401, "SignatureDoesNotMatch", MISMATCH, "r-1"),
        ),
        (
            decided(**NOBODY, Refusal=AMBIGUOUS),
            Refusal(403, "ValidationError", "The path has a semicolon.", "r-1"),
        ),
        (
            decided(allowed=False, Decisions=[], Refusal=NO_ROUTE),
            Refusal(403, "AccessDenied", "no action", "r-1"),
        ),
        (decided(Refusal=EXPIRED), Refusal(403, "ExpiredToken", "expired", "r-1")),
    ],
)
def test_anything_but_a_plain_yes_is_a_refusal(
    broker: FakeBroker, reply: dict[str, Any], refusal: Refusal | None
) -> None:
    broker.reply = reply
    stored_refusal = broker.client().decide(REQUEST).refusal
    assert stored_refusal is not None
    if refusal is None:
        refusal = Refusal(403, "AccessDenied", "The request is not allowed.", "r-1")
    assert stored_refusal == refusal


@pytest.mark.parametrize(
    ("status", "reply"),
    [
        (500, b"{}"),
        (403, b'{"message":"the token does not count"}'),
        (302, decided()),
        (201, decided()),
        (200, b""),
        (200, b"[]"),
        (200, b'"Allowed"'),
        (200, b"[" * 100_000),
        (200, {"Allowed": True}),
        (200, decided(Principal={"Arn": "x"})),
        (200, decided(Principal="alice")),
        (200, decided(ContentSha256="0" * 64)),
        (200, b" " * 1_000_001),
    ],
)
def test_a_malformed_answer_lets_nothing_through(
    broker: FakeBroker, status: int, reply: Any
) -> None:
    broker.status, broker.reply = status, reply
    with pytest.raises(BrokerAway):
        broker.client().decide(REQUEST)


def test_declarations_of_the_definition_count(broker: FakeBroker) -> None:
    broker.reply = decided(ContentSha256="UNSIGNED-PAYLOAD")
    assert broker.client().decide(REQUEST).refusal is None


def test_what_the_broker_cannot_read_is_the_clients_fault(broker: FakeBroker) -> None:
    broker.status, broker.reply = 400, b'{"message":"Request.Method: no"}'
    with pytest.raises(AmbiguousRequest):
        broker.client().decide(REQUEST)


def test_a_broker_behind_tls_is_asked_only_if_its_certificate_is_trusted(
    broker: FakeBroker, tmp_path: Path
) -> None:
    port = find_free_port()
    with tls_before(tmp_path, port, broker.server_port) as authority:
        trusting = ssl.create_default_context(cafile=authority)
        for tls, host, asked in (
            (trusting, "localhost", 1),
            (trusting, "127.0.0.1", 0),
            (None, "localhost", 0),
        ):
            broker.questions.clear()
            client = DecisionClient(f"https://{host}:{port}", "token", tls=tls)
            with nullcontext() if asked else pytest.raises(BrokerAway):
                client.decide(REQUEST)
            client.close()
            assert len(broker.questions) == asked


def test_without_time_there_is_no_answer(broker: FakeBroker) -> None:
    with pytest.raises(BrokerAway):
        broker.client(timeout_seconds=0.0).decide(REQUEST)
    assert broker.questions == []


def test_connections_are_used_again(broker: FakeBroker) -> None:
    client = broker.client(held_seconds=0)
    for _ in range(5):
        client.decide(REQUEST)
    assert broker.connections == 1


def test_few_connections_are_kept(
    broker: FakeBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.client.connections._IDLE_MAX", 0)
    client = broker.client(held_seconds=0)
    for _ in range(3):
        client.decide(REQUEST)
    assert broker.connections == 3


def test_a_connection_that_the_broker_has_closed_is_replaced(
    broker: FakeBroker,
) -> None:
    broker.keeps_open = False
    client = broker.client(held_seconds=0)
    for _ in range(3):
        assert client.decide(REQUEST).refusal is None
    assert broker.connections == 3


def test_a_fork_shares_no_connection(
    broker: FakeBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = broker.client(held_seconds=0)
    client.decide(REQUEST)
    child: Callable[[], int] = lambda: -1  # noqa: E731
    monkeypatch.setattr(os, "getpid", child)
    client.decide(REQUEST)
    client.decide(REQUEST)
    assert broker.connections == 2


def test_a_silent_broker_is_away(broker: FakeBroker) -> None:
    broker.waits.clear()
    client = broker.client(timeout_seconds=0.05)
    with pytest.raises(BrokerAway):
        client.decide(REQUEST)
    # What comes late is not the answer to the next question.
    broker.waits.set()
    broker.reply = decided(allowed=False)
    client._connections._timeout_seconds = 30.0
    assert client.decide(REQUEST).refusal is not None


def test_an_answer_that_is_too_long_is_not_read_on_by_the_next_question(
    broker: FakeBroker,
) -> None:
    client = broker.client()
    broker.reply = b" " * 2_000_000
    with pytest.raises(BrokerAway):
        client.decide(REQUEST)
    broker.reply = decided()
    assert client.decide(REQUEST).refusal is None


async def test_a_silent_broker_is_away_for_the_loop_too(broker: FakeBroker) -> None:
    broker.waits.clear()
    client = broker.client(timeout_seconds=0.05)
    with pytest.raises(BrokerAway):
        await client.decide_soon(REQUEST)
    broker.waits.set()


async def test_a_held_answer_needs_no_thread(broker: FakeBroker) -> None:
    client = broker.client(clock=Clock())
    await client.decide_soon(REQUEST)
    client._threads = None
    assert (await client.decide_soon(REQUEST)).refusal is None
    assert client._threads is None


async def test_a_fork_has_threads_of_its_own(
    broker: FakeBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has none of its parent's, so a question in their pool would wait for ever."""
    client = broker.client(held_seconds=0)
    await client.decide_soon(REQUEST)
    before = client._threads
    assert before is not None
    child: Callable[[], int] = lambda: -1  # noqa: E731
    monkeypatch.setattr(os, "getpid", child)
    await client.decide_soon(REQUEST)
    assert client._threads not in {None, before}
    before.shutdown()


async def test_a_closed_client_has_no_threads_and_can_be_asked_again(
    broker: FakeBroker,
) -> None:
    client = broker.client(held_seconds=0)
    for _ in range(2):
        assert (await client.decide_soon(REQUEST)).refusal is None
        assert client._threads is not None
        threads = list(client._threads._threads)
        client.close()
        assert not any(thread.is_alive() for thread in threads)


def test_why_a_request_is_refused_is_in_the_log(
    broker: FakeBroker, caplog: pytest.LogCaptureFixture
) -> None:
    broker.status, broker.reply = 403, b'{"message":"no such token"}'
    with pytest.raises(BrokerAway):
        broker.client().decide(REQUEST)
    (record,) = [record for record in caplog.records if record.name == "broker.client"]
    assert "403" in record.getMessage()
    assert "no such token" in record.getMessage()
