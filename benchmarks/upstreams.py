"""What another engine behind a role costs, and one that hangs.

The upstream is a server here that answers at once. A mint is asked there directly, and
through the broker; the difference of the medians is the broker's own time: the proof,
the rules, the reservation, the token and the record. Then other roles' exchanges are
counted while as many sign-ins as an upstream may have wait for one that says nothing.
"""

import http.client
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from benchmarks import requests
from benchmarks.load import Row, measure
from broker.proofs.upstream_client import IN_FLIGHT_MAX
from tests.scenarios.installation import ADMIN, READER, Installation
from tests.support.broker import ACCOUNT
from tests.support.oidc_issuer import serving
from tests.support.storage import STORAGES, broker_on
from tests.support.upstream import ROLE, FakeSts, fake_sts

GOAL_MS = 1.5
_CALLS = 400
_TOKENS = 4_000
_ROUNDS = 3


def run() -> Iterator[Row]:
    """Both figures, for each storage."""
    for storage in STORAGES:
        with tempfile.TemporaryDirectory() as name:
            yield from _rows(storage, Path(name))


def _rows(storage: str, folder: Path) -> Iterator[Row]:
    with (
        serving("/idp") as issuer,
        fake_sts(keeps_connections=True) as quick,
        fake_sts() as hung,
    ):
        reached = ",".join(f"127.0.0.1:{each.port}" for each in (issuer, quick, hung))
        with broker_on(
            storage,
            folder,
            fsync=True,
            forked=False,
            internal_issuers=reached,
            rate_limit="0",
        ) as broker:
            front = Installation(broker, issuer)
            front.iam.enable_outbound_web_identity_federation()
            _set(front, "hung", hung, "Admin")
            time.sleep(1.2)
            own = statistics.median(_times(broker.url, _exchanges(front, READER)))
            yield from _rates(front, hung, storage, folder)
            _set(front, "quick", quick, "Reader")
            time.sleep(1.2)
            yield _overhead(front, quick, storage, own)


def _set(front: Installation, name: str, there: FakeSts, role: str) -> None:
    file = front.broker.folder / f"{name}.json"
    file.write_text(json.dumps({"Endpoint": there.url, "Roles": {role: ROLE}}))
    front.broker.command("upstreams", "set", name, "--account", ACCOUNT, str(file))


def _exchanges(front: Installation, role: str) -> Iterator[str]:
    for line in requests.web_identity(front.issuer.issuer, _CALLS):
        yield line.replace(urlencode({"": READER})[1:], urlencode({"": role})[1:])


def _times(url: str, bodies: Iterable[str]) -> list[float]:
    """Milliseconds of each call, one after the other on one connection."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc)
    results = []
    for body in list(bodies):
        began = time.perf_counter()
        connection.request("POST", "/", body, _FORM)
        answer = connection.getresponse()
        said = answer.read()
        results.append(1000 * (time.perf_counter() - began))
        if answer.status != http.client.OK:
            raise RuntimeError(said.decode())
    connection.close()
    return results


_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def _overhead(front: Installation, there: FakeSts, storage: str, own: float) -> Row:
    direct = statistics.median(_times(there.url, _exchanges(front, READER)))
    behind = statistics.median(_times(front.broker.url, _exchanges(front, READER)))
    return (
        f"{storage}: a mint over the upstream's own time, median",
        (
            f"{behind - direct:.2f} ms (goal: {GOAL_MS} ms); {own:.2f} ms where the"
            " broker mints itself"
        ),
    )


def _rates(
    front: Installation, hung: FakeSts, storage: str, folder: Path
) -> Iterator[Row]:
    def rate() -> float:
        lines = requests.web_identity(front.issuer.issuer, _TOKENS)
        return measure(front.broker.url, lines, folder).per_second

    rate()  # it is warm from here on
    pairs = []
    for _ in range(_ROUNDS):
        alone = rate()
        with waiting(front, hung):
            pairs.append(rate() / alone)
    yield (
        f"{storage}: other roles' rate while {IN_FLIGHT_MAX} wait for one that hangs",
        f"{statistics.median(pairs):.1%} (goal: 95%)",
    )


@contextmanager
def waiting(front: Installation, hung: FakeSts) -> Iterator[None]:
    """While the block runs, as many sign-ins wait as may."""
    while hung.arrived.acquire(blocking=False):
        pass
    hung.hold()

    def wait(body: str) -> None:
        connection = http.client.HTTPConnection(urlsplit(front.broker.url).netloc)
        connection.request("POST", "/", body, _FORM)
        connection.getresponse().read()
        connection.close()

    bodies = list(_exchanges(front, ADMIN))[:IN_FLIGHT_MAX]
    threads = [threading.Thread(target=wait, args=(each,)) for each in bodies]
    for thread in threads:
        thread.start()
    for _ in threads:
        if not hung.arrived.acquire(timeout=9):
            raise RuntimeError("the broker does not ask")
    try:
        yield
    finally:
        hung.go_on()
        for thread in threads:
            thread.join()
