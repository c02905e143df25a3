"""What nothing uses answers as an unknown address does, until something uses it."""

from contextlib import closing
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlencode

import pytest

from broker.edges.doors import DOORS, MACHINES
from tests.support.broker import ACCOUNT, RunningBroker
from tests.support.doors import OPENERS, open_doors
from tests.support.storage import STORAGES, broker_on
from tests.support.waiting import until


def ask(broker: RunningBroker, path: str) -> tuple[int, str]:
    """The answer to a stranger, on a connection of its own: any worker's."""
    below = f"{path}/{ACCOUNT}" if path == "/scim" else path
    return post(broker, below, "{}", "application/json")


def register(broker: RunningBroker, **fields: str) -> str:
    form = urlencode({"Version": "2026-11-27", **fields})
    _, text = post(broker, "/", form, "application/x-www-form-urlencoded")
    return text.replace(fields["Action"], "ACTION").partition("<RequestId")[0]


def post(broker: RunningBroker, path: str, body: str, kind: str) -> tuple[int, str]:
    connection = HTTPConnection("127.0.0.1", broker.port, timeout=60)
    with closing(connection):
        connection.request("POST", path, body, {"content-type": kind})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


@pytest.mark.parametrize(("storage", "workers"), [*zip(STORAGES, (1, 2), strict=True)])
async def test_a_door_opens_on_every_worker_when_something_is_behind_it(
    storage: str, workers: int, tmp_path: Any
) -> None:
    with broker_on(storage, tmp_path, workers=workers) as broker:
        broker.create_account()
        unknown = ask(broker, "/no-such-address")
        unknown_action = register(broker, Action="NoSuchAction")

        def known(name: str) -> set[bool]:
            (door,) = (point for point in DOORS if point.name == name)
            if door is MACHINES:
                told = register(broker, Action="RegisterInstance", JoinToken="x")
                return {told != unknown_action}
            return {ask(broker, path) != unknown for path in door.paths}

        assert [name for name in OPENERS if known(name) != {False}] == []
        told = broker.command("doctor", "--json")
        assert told.count("closed until there is") == len(DOORS)
        for name in OPENERS:
            open_doors(broker, name)
            await until(lambda name=name: known(name) == {True})  # type: ignore[misc] # mypy's
            assert all(known(name) == {True} for _ in range(4))
            later = [*OPENERS][[*OPENERS].index(name) + 1 :]
            assert [text for text in later if known(text) != {False}] == []
        assert broker.command("doctor", "--json").count("open, since") == len(DOORS)
