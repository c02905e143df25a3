"""One account sends the costliest inputs there are, and no other waits for it.

Another's GetCallerIdentity takes 50 ms at most in 99 of 100 calls, and never above 250
ms, and ``/healthz`` 20 ms. Where a busy machine lets processes wait for a processor, it
is some times what a server takes beside that computes as much, and does nothing else.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.broker import RunningBroker, running_broker
from tests.support.greedy import GreedyServer, greedy_server
from tests.support.worst import (
    INPUTS,
    Bystander,
    Culprit,
    ask,
    attacking,
    connect,
    percentile,
)

SECONDS = 4.0
"""Of each attack, which has a second to begin."""

MOST_AT_99, MOST, MOST_OF_A_PROBE_AT_99 = 0.05, 0.25, 0.02
"""Seconds."""

MOST_TIMES = 8
"""What the greedy server takes beside, as the same share of its answers."""


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    folder: Path = tmp_path_factory.mktemp("broker")
    options = ("--private-socket", str(folder / "p.sock"))
    with running_broker(folder, options=options) as broker:
        yield broker


@pytest.fixture(scope="module")
def bystander(broker: RunningBroker) -> Bystander:
    return Bystander(broker, broker.create_account("210987654321"))


@pytest.fixture(scope="module")
def beside() -> Iterator[GreedyServer]:
    with greedy_server() as server:
        yield server


def check_waits(taken: tuple[list[float], ...], statuses: Counter[str]) -> None:
    calls, probes, exchanges = taken
    shares = (
        (calls, 0.99, MOST_AT_99),
        (calls, 1.0, MOST),
        (probes, 0.99, MOST_OF_A_PROBE_AT_99),
    )
    for values, share, most in shares:
        waited, ideal = percentile(values, share), percentile(exchanges, share)
        assert waited < max(most, MOST_TIMES * ideal), (statuses, share, len(values))


@pytest.mark.parametrize(("number", "name"), [*enumerate(INPUTS)], ids=str)
def test_the_costliest_inputs_of_one_account_delay_no_other(
    broker: RunningBroker,
    bystander: Bystander,
    beside: GreedyServer,
    number: int,
    name: str,
) -> None:
    culprit = Culprit(broker, f"11111111111{number}")
    for sent in INPUTS[name](culprit, 10**6):
        with closing(connect(broker, sent)) as connection:
            status, body = ask(connection, sent)
        assert status < 500, body
    with attacking(culprit, INPUTS[name]) as statuses:
        bystander.time_calls(1, beside)
        taken = bystander.time_calls(SECONDS, beside)
    assert statuses.keys() <= {"200", "400", "403", "Throttling"}
    check_waits(taken, statuses)


def test_who_asks_for_too_much_at_once_is_refused_alone(
    broker: RunningBroker, bystander: Bystander, beside: GreedyServer
) -> None:
    culprit = Culprit(broker, "222222222222")
    (name,) = [name for name in INPUTS if "769 kB" in name]
    with attacking(culprit, INPUTS[name], connections=40) as statuses:
        taken = bystander.time_calls(SECONDS, beside)
    assert statuses["Throttling"]
    check_waits(taken, statuses)
