"""Good tokens while a stranger sends tokens that name keys nobody published.

The flood is moderate and its rate is stated, for any request costs time. What it costs
beyond that shows beside as many tokens of a published key with a broken signature,
which are refused without a question to anybody. What the issuer is asked is counted
there.
"""

import socket
import statistics
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from urllib.parse import urlencode

from benchmarks import requests
from benchmarks.load import Row, installed, measure
from broker.proofs.issuer_keys import COOL_DOWN_SECONDS
from tests.scenarios.installation import READER, Installation
from tests.support.oidc_issuer import IssuerServer, make_key
from tests.support.storage import STORAGES

FLOOD_PER_SECOND = 200
_CONNECTIONS = 4
_PREPARED = 4_000
_TOKENS = 6_000
_ROUNDS = 5
_SECONDS_ALONE = 10.0
_SECONDS_OF_CONNECTION = 10


def run() -> Iterator[Row]:
    """Good tokens alone, beside harmless ones, and beside the flood, by turns."""
    with tempfile.TemporaryDirectory() as name:
        for storage in STORAGES:
            with installed(Path(name) / storage, storage) as (installation, _):
                yield from _rows(installation, storage, Path(name))


def _rows(installation: Installation, storage: str, folder: Path) -> Iterator[Row]:
    server = installation.issuer
    installation.web_identity()  # its keys are known from here on
    harmless = _prepare(installation, lambda _: _broken(server.issuer.token()))
    stranger = make_key("RS256", 9)
    unknown = _prepare(
        installation,
        lambda number: server.issuer.token(kid=f"made-up-{number}", key=stranger),
    )
    asked = _Asked(server)
    quiet, calm, loud = list[float](), list[float](), list[float]()

    def rate() -> float:
        lines = requests.web_identity(installation.issuer.issuer, _TOKENS)
        return measure(installation.broker.url, lines, folder).per_second

    rate()  # everything is warm from here on
    for _ in range(_ROUNDS):
        quiet.append(rate())
        with sending(installation, harmless):
            calm.append(rate())
        with asked.counting(), sending(installation, unknown):
            loud.append(rate())
    yield f"{storage}: good tokens alone", f"{statistics.median(quiet):.0f}/s"
    yield (
        f"{storage}: beside {FLOOD_PER_SECOND}/s with a broken signature",
        f"{statistics.median(calm):.0f}/s, {_share(calm, quiet)} of alone",
    )
    yield (
        f"{storage}: beside {FLOOD_PER_SECOND}/s with an unknown kid",
        (
            f"{statistics.median(loud):.0f}/s, {_share(loud, quiet)} of alone,"
            f" {_share(loud, calm)} of the same load"
        ),
    )
    yield (
        f"{storage}: the broker's CPU for one of these",
        (
            f"{_cost(installation, harmless):.2f} ms with a broken signature,"
            f" {_cost(installation, unknown):.2f} ms with an unknown kid"
        ),
    )
    yield (
        f"{storage}: key sets that the issuer was asked for",
        f"{asked.times} in {asked.seconds:.0f} s, at most {asked.allowed} allowed",
    )


def _share(some: Sequence[float], others: Sequence[float]) -> str:
    """The median of what neighbours in time have to each other."""
    pairs = zip(some, others, strict=True)
    return f"{statistics.median(entry / other for entry, other in pairs):.0%}"


def _cost(installation: Installation, prepared: Sequence[bytes]) -> float:
    """Milliseconds of the broker's CPU for one of these requests."""
    before = installation.broker.processor_seconds
    with sending(installation, prepared) as answers:
        time.sleep(_SECONDS_ALONE)
    spent = installation.broker.processor_seconds - before
    return 1000 * spent / len(answers)


class _Asked:
    """How often the issuer was asked for its keys, and how often it may be."""

    def __init__(self, server: IssuerServer) -> None:
        self._server = server
        self.times = self.allowed = 0
        self.seconds = 0.0

    @contextmanager
    def counting(self) -> Iterator[None]:
        before = self._server.hits[self._server.jwks_path]
        began = time.monotonic()
        yield
        seconds = time.monotonic() - began
        self.seconds += seconds
        self.times += self._server.hits[self._server.jwks_path] - before
        self.allowed += 1 + int(seconds / COOL_DOWN_SECONDS)


def _broken(token: str) -> str:
    """The token with a signature of the same length that verifies nothing."""
    head, _, signature = token.rpartition(".")
    return f"{head}.{signature[:100]}{'A' * 40}{signature[140:]}"


def _prepare(
    installation: Installation, token_of: Callable[[int], str]
) -> Sequence[bytes]:
    """Whole requests, to be sent as they are."""
    host = installation.broker.url.removeprefix("http://")
    prepared = []
    for number in range(_PREPARED):
        body = urlencode(
            {
                "Action": "AssumeRoleWithWebIdentity",
                "Version": "2011-06-15",
                "RoleArn": READER,
                "RoleSessionName": uuid.uuid4().hex,
                "WebIdentityToken": token_of(number),
            }
        ).encode()
        head = (
            f"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n"
            "Content-Type: application/x-www-form-urlencoded\r\n\r\n"
        )
        prepared.append(head.encode() + body)
    return prepared


@contextmanager
def sending(
    installation: Installation, prepared: Sequence[bytes]
) -> Iterator[list[int]]:
    """While the block runs, these are sent at the flood's rate, over and over.

    What is yielded grows by the status of each answer.

    Raises:
        RuntimeError: one was not refused, or the rate was not reached.
    """
    stop, numbers, lock = threading.Event(), count(), threading.Lock()
    answers: list[int] = []
    began = time.monotonic()

    def send() -> None:
        place = ("127.0.0.1", installation.broker.port)
        with socket.create_connection(place, _SECONDS_OF_CONNECTION) as connection:
            while not stop.is_set():
                with lock:
                    number = next(numbers)
                due = began + number / FLOOD_PER_SECOND
                if stop.wait(max(0.0, due - time.monotonic())):
                    return
                connection.sendall(prepared[number % len(prepared)])
                answers.append(_status(connection))

    threads = [threading.Thread(target=send) for _ in range(_CONNECTIONS)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        seconds = time.monotonic() - began
        stop.set()
        for thread in threads:
            thread.join()
    if set(answers) != {400} or len(answers) < 0.9 * FLOOD_PER_SECOND * seconds:
        raise RuntimeError(f"{len(answers)} in {seconds:.1f} s: {set(answers)}")


def _status(connection: socket.socket) -> int:
    """Read one answer to its end."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65_536)
    head, _, body = received.partition(b"\r\n\r\n")
    length = next(
        int(line.partition(b":")[2])
        for line in head.lower().split(b"\r\n")
        if line.startswith(b"content-length")
    )
    while len(body) < length:
        body += connection.recv(65_536)
    return int(head.split(b" ")[1])
