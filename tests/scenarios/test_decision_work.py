"""Costly decisions of one account keep no other account's service waiting."""

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.broker import ACCOUNT, RunningBroker, running_broker
from tests.support.decisions import HOST
from tests.support.greedy import GreedyServer, greedy_server
from tests.support.policies import allow
from tests.support.storage import STORAGES, broker_on

OTHER = "210987654321"
REQUESTS = 24
SECONDS = 5
WAIT_MAX = 1.0
"""Seconds: what section 6 of the design promises honest callers during a flood."""

MOST_TIMES = 8
"""The longest wait for a server that computes as much, and does nothing else."""

RATE_LIMIT = "100"
"""A share that the flood passes on a busy machine, too: a tenth of each second."""

TRIES = 5
"""Seconds, of the many that the work would take."""

ANSWERS_MAX = 4
"""To each of the requests in turn, if none is refused before."""

COSTLY = allow(
    "execute-api:Invoke",
    Condition={"StringLike": {"orders:text": [f"*x{n}*" for n in range(16)]}},
)
"""With `VALUES`, nearly as much work as a decision may take."""

VALUES = [str(n) for n in range(1000)]


class Tenant:
    """An account with a service, and a user whose policies take long to compare."""

    def __init__(self, broker: RunningBroker, account: str, *documents: str) -> None:
        self._port = broker.port
        iam = broker.client("iam", broker.create_account(account))
        iam.create_user(UserName="one")
        for number, document in enumerate(documents):
            made = iam.create_policy(PolicyName=f"P{number}", PolicyDocument=document)
            iam.attach_user_policy(UserName="one", PolicyArn=made["Policy"]["Arn"])
        broker.command(
            "services", "set", "orders", "--account", account, "--host", HOST
        )
        made = broker.command("services", "token", "orders", "--account", account)
        self._token: str = json.loads(made)["Token"]
        self._user = f"arn:aws:iam::{account}:user/one"
        self._api = f"arn:aws:execute-api:us-east-1:{account}:orders/$default"

    def ask(
        self, resources: int, values: list[str], to: http.client.HTTPConnection
    ) -> None:
        asked = {
            "Principal": self._user,
            "Actions": ["execute-api:Invoke"],
            "Resources": [
                f"{self._api}/GET/{'a' * 20}{number}" for number in range(resources)
            ],
            "Context": {"orders:text": values},
        }
        headers = {"X-Broker-Service-Token": self._token}
        to.request("POST", "/decisions", json.dumps(asked), headers)

    def answer(
        self, resources: int = 1, values: list[str] | None = None
    ) -> tuple[int, Any]:
        connection = self.connect()
        try:
            self.ask(resources, values or ["a"], connection)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)


@pytest.fixture(scope="module", params=STORAGES)
def broker(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningBroker]:
    folder: Path = tmp_path_factory.mktemp("broker")
    with broker_on(request.param, folder, workers=2, rate_limit=RATE_LIMIT) as made:
        yield made


@pytest.fixture(scope="module")
def tenants(broker: RunningBroker) -> tuple[Tenant, Tenant]:
    costly = Tenant(broker, ACCOUNT, COSTLY)
    other = Tenant(broker, OTHER, allow("execute-api:Invoke", "*"))
    assert costly.answer(values=[])[0] == other.answer()[0] == 200
    return costly, other


def longest_waits(
    tenant: Tenant, beside: GreedyServer, is_over: Callable[[], bool]
) -> tuple[float, float]:
    """Of requests that are all answered, and of exchanges beside."""
    waits, exchanges = [], []
    until = time.monotonic() + SECONDS
    while time.monotonic() < until or not is_over():
        began = time.monotonic()
        status, answer = tenant.answer()
        waits.append(time.monotonic() - began)
        assert status == 200
        assert answer["Allowed"]
        exchanges += beside.time_exchanges(0.05)
    return max(waits), max(exchanges)


def test_costly_decisions_of_one_account_delay_no_other(
    tenants: tuple[Tenant, Tenant],
) -> None:
    costly, other = tenants
    ended, refused = threading.Event(), threading.Event()

    def flood() -> list[tuple[int, Any]]:
        answers: list[tuple[int, Any]] = []
        while not ended.is_set() and len(answers) < ANSWERS_MAX:
            status, answer = costly.answer(100, VALUES)
            answers.append((status, answer))
            if status != 200:
                refused.set()
        return answers

    with greedy_server() as beside, ThreadPoolExecutor(REQUESTS) as pool:
        flooding = [pool.submit(flood) for _ in range(REQUESTS)]

        def is_over() -> bool:
            return refused.is_set() or all(future.done() for future in flooding)

        try:
            longest, ideal = longest_waits(other, beside, is_over)
        finally:
            ended.set()
    codes = Counter(
        answer.get("message", status)
        for future in flooding
        for status, answer in future.result()
    )
    assert set(codes) <= {200, "Rate exceeded"}
    assert codes["Rate exceeded"]
    assert longest < max(WAIT_MAX, MOST_TIMES * ideal)
    for _ in range(ANSWERS_MAX):
        status, answer = costly.answer(1, VALUES)
        if status == 200:
            break
    assert status == 200
    assert not answer["Allowed"]


def is_idle(broker: RunningBroker) -> bool:
    before = broker.processor_seconds
    time.sleep(1)
    return broker.processor_seconds - before < 0.15


def test_nobody_works_for_a_client_that_left(tmp_path: Path) -> None:
    with running_broker(tmp_path, workers=2, rate_limit="0") as broker:
        costly = Tenant(broker, ACCOUNT, COSTLY)
        assert costly.answer(values=[])[0] == 200
        with ExitStack() as stack:
            for _ in range(REQUESTS):
                connection = stack.enter_context(closing(costly.connect()))
                costly.ask(100, VALUES, connection)
        assert any(is_idle(broker) for _ in range(TRIES))
