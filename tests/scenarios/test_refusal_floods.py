"""Strangers cannot fill the audit log, from however many addresses they come."""

import http.client
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from broker.audit.flood import RECORDS_PER_MINUTE
from tests.support.broker import ACCOUNT, RunningBroker
from tests.support.decisions import HOST
from tests.support.doors import open_doors
from tests.support.rows import of_file
from tests.support.storage import STORAGES, broker_on

WORKERS = 2
CLIENTS = 8
EACH = 200
RECORDS_MAX = WORKERS * RECORDS_PER_MINUTE * 2
"""The flood may be in two minutes."""

SIGNED = (
    "AWS4-HMAC-SHA256 Credential=AKIA/20260101/us-east-1/iam/aws4_request,"
    " SignedHeaders=host, Signature=00"
)
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def form(**text: str) -> str:
    return urlencode(text)


DOORS = of_file(__file__, "DOORS")


@pytest.fixture(
    scope="module",
    params=[STORAGES[0], pytest.param(STORAGES[1], marks=pytest.mark.long)],
)
def broker(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningBroker]:
    folder: Path = tmp_path_factory.mktemp("broker")
    with broker_on(
        request.param, folder, workers=WORKERS, trusted_proxies="127.0.0.1/32"
    ) as made:
        made.create_account()
        open_doors(made, "sessions of Roles Anywhere")
        made.command("services", "set", "orders", "--account", ACCOUNT, "--host", HOST)
        yield made


def records(broker: RunningBroker) -> list[dict[str, Any]]:
    printed = broker.command("audit", "--json", "--limit", "100000")
    return [json.loads(line) for line in printed.splitlines()]


@pytest.mark.parametrize("door", DOORS)
def test_a_flood_of_refusals_leaves_a_bounded_number_of_records(
    broker: RunningBroker, door: str
) -> None:
    path, body, headers = DOORS[door]
    before = {record["event_id"] for record in records(broker)}

    def flood(client: int) -> set[int]:
        statuses = set()
        for number in range(EACH):
            connection = http.client.HTTPConnection(
                "127.0.0.1", broker.port, timeout=60
            )
            address = f"10.{client}.{number % 250}.{number // 250}"
            sent = {**headers, "X-Forwarded-For": address}
            connection.request("POST", path, body, sent)
            statuses.add(connection.getresponse().status)
            connection.close()
        return statuses

    with ThreadPoolExecutor(CLIENTS) as pool:
        statuses = set.union(*pool.map(flood, range(CLIENTS)))
    deadline = time.monotonic() + 15
    while True:
        made = [entry for entry in records(broker) if entry["event_id"] not in before]
        counts = [entry for entry in made if entry["action"] == "broker:CountFailures"]
        counted = sum(count["parameters"]["Failures"] for count in counts)
        single = len(made) - len(counts)
        if single + counted == CLIENTS * EACH or time.monotonic() > deadline:
            break
        time.sleep(0.5)
    assert 400 <= min(statuses) <= max(statuses) < 500
    assert single + counted == CLIENTS * EACH
    assert single <= RECORDS_MAX
    assert len(counts) < RECORDS_MAX
