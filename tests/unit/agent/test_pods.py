"""What the agent keeps for pods, and for how long."""

import asyncio
import base64
import json
import threading
from collections.abc import Awaitable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from broker.agent import pods as module
from broker.agent.broker_api import BrokerAwayError, BrokerRefusedError
from broker.agent.configuration import (
    Address,
    ConfigurationError,
    PodAssociation,
    PodSettings,
    load_settings,
)
from broker.agent.http_server import Answer, Request
from broker.agent.pods import PodEndpoint

ROLE = "arn:aws:iam::111122223333:role/Reports"
SETTINGS = PodSettings(
    listen=(Address("127.0.0.1", 80),),
    cluster="shop",
    region="us-east-1",
    associations=(PodAssociation(namespace="a", service_account="b", role_arn=ROLE),),
)


class Broker:
    """Gives credentials for an hour, unless something else is wanted."""

    def __init__(self) -> None:
        self.time = datetime(2026, 11, 27, tzinfo=UTC)
        self.asked: list[Mapping[str, str]] = []
        self.error: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.called = threading.Event()

    def now(self) -> datetime:
        return self.time

    def call(self, _action: str, given: Mapping[str, str], **_more: Any) -> Any:
        self.asked.append(given)
        self.called.set()
        assert self.gate.wait(20)
        if self.error is not None:
            raise self.error
        expires = self.time + timedelta(hours=1)
        return {
            "AssumedRoleUser": {"Arn": "arn:x", "AssumedRoleId": "AROA:x"},
            "Credentials": {
                "AccessKeyId": f"ASIA{len(self.asked)}",
                "SecretAccessKey": "secret",
                "SessionToken": "token",
                "Expiration": expires.timestamp(),
            },
        }


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def endpoint(broker: Broker) -> Iterator[PodEndpoint]:
    made = PodEndpoint(SETTINGS, broker)  # type: ignore[arg-type]
    yield made
    broker.gate.set()
    made.close()


def token(broker: Broker, number: int = 0, **claims: object) -> str:
    given = {
        "sub": "system:serviceaccount:a:b",
        "aud": "x",
        "exp": (broker.time + timedelta(days=1)).timestamp(),
        "jti": str(number),
        **claims,
    }
    body = base64.urlsafe_b64encode(json.dumps(given).encode()).decode().rstrip("=")
    return f"e30.{body}.c2ln"


async def ask(
    endpoint: PodEndpoint, shown: str, peer: str = "10.0.0.1"
) -> tuple[int, dict[str, Any]]:
    headers = {"host": "127.0.0.1", "authorization": shown}
    request = Request("GET", "/v1/credentials", headers, peer=peer)
    found = endpoint.answer(request)
    answer = await found if isinstance(found, Awaitable) else found
    assert isinstance(answer, Answer)
    return answer.status, json.loads(answer.body)


async def test_half_of_the_time_is_answered_from_memory(
    endpoint: PodEndpoint, broker: Broker
) -> None:
    shown = token(broker)
    assert (await ask(endpoint, shown))[1]["AccessKeyId"] == "ASIA1"
    broker.time += timedelta(minutes=29)
    assert (await ask(endpoint, shown))[1]["AccessKeyId"] == "ASIA1"
    broker.time += timedelta(minutes=2)
    assert (await ask(endpoint, shown))[1]["AccessKeyId"] == "ASIA2"


async def test_an_outage_is_bridged_while_credentials_last(
    endpoint: PodEndpoint, broker: Broker
) -> None:
    shown = token(broker)
    await ask(endpoint, shown)
    broker.error = BrokerAwayError("away")
    broker.time += timedelta(minutes=59)
    assert (await ask(endpoint, shown))[1]["AccessKeyId"] == "ASIA1"
    broker.time += timedelta(minutes=1)
    assert (await ask(endpoint, shown))[0] == 503
    assert (await ask(endpoint, token(broker, 1)))[0] == 503


async def test_a_refusal_ends_what_is_kept(
    endpoint: PodEndpoint, broker: Broker
) -> None:
    """The role is not the pod's any more: its credentials are not given out again."""
    shown = token(broker)
    await ask(endpoint, shown)
    broker.error = BrokerRefusedError("AccessDenied", "no")
    broker.time += timedelta(minutes=31)
    status, answer = await ask(endpoint, shown)
    assert (status, answer["code"]) == (400, "AccessDeniedException")


async def test_an_expired_token_gets_nothing_from_memory(
    endpoint: PodEndpoint, broker: Broker
) -> None:
    shown = token(broker, exp=(broker.time + timedelta(minutes=10)).timestamp())
    assert (await ask(endpoint, shown))[0] == 200
    broker.time += timedelta(minutes=10)
    status, answer = await ask(endpoint, shown)
    assert (status, answer["code"]) == (400, "ExpiredTokenException")


async def test_a_token_that_is_too_long_is_not_read(
    endpoint: PodEndpoint, broker: Broker
) -> None:
    status, answer = await ask(endpoint, token(broker, pad="x" * 13_000))
    assert (status, answer["code"]) == (400, "InvalidTokenException")
    assert broker.asked == []


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": 10**400},
        {"exp": "soon"},
        {"exp": [1]},
        {"sub": None},
        {"sub": ["system:serviceaccount:a:b"]},
        {"sub": "system:serviceaccount:a"},
        {"sub": "system:serviceaccount:a:b:c"},
        {"kubernetes.io": []},
        {"kubernetes.io": {"pod": "web-1"}},
    ],
    ids=str,
)
async def test_claims_that_are_no_pods(
    endpoint: PodEndpoint, broker: Broker, claims: dict[str, object]
) -> None:
    status, answer = await ask(endpoint, token(broker, **claims))
    assert (status, answer["code"]) == (400, "InvalidTokenException")
    assert broker.asked == []


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"[]", b"7", b"{}", b"\xff", b"[" * 16_000),
        *(b'{"token": null}', b'{"token": ["a"]}', b'{"Token": "a"}'),
    ],
)
async def test_a_request_without_a_token(
    endpoint: PodEndpoint, broker: Broker, body: bytes
) -> None:
    path = "/clusters/shop/assume-role-for-pod-identity"
    found = endpoint.answer(Request("POST", path, {"host": "127.0.0.1"}, body))
    assert isinstance(found, Answer)
    assert found.status == 400
    assert json.loads(found.body)["code"] == "InvalidRequestException"
    assert broker.asked == []


async def test_those_who_ask_together_cause_one_call(
    endpoint: PodEndpoint, broker: Broker
) -> None:
    """One that goes away does not take the answer of the others with it."""
    broker.gate.clear()
    shown = token(broker)
    asking = [asyncio.create_task(ask(endpoint, shown)) for _ in range(10)]
    assert await asyncio.to_thread(broker.called.wait, 20)
    asking.pop(0).cancel()
    broker.gate.set()
    assert {status for status, _ in await asyncio.gather(*asking)} == {200}
    assert len(broker.asked) == 1


async def test_what_is_kept_and_what_waits_is_bounded(
    endpoint: PodEndpoint, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_KEPT_MAX", 2)
    for number in (1, 2, 3, 1):
        await ask(endpoint, token(broker, number))
    assert len(broker.asked) == 4
    monkeypatch.setattr(module, "_WAITING_MAX", 1)
    broker.gate.clear()
    broker.called.clear()
    waiting = asyncio.create_task(ask(endpoint, token(broker, 5)))
    assert await asyncio.to_thread(broker.called.wait, 20)
    assert (await ask(endpoint, token(broker, 6)))[0] == 429
    broker.gate.set()
    assert (await waiting)[0] == 200


async def test_a_pod_that_asks_without_end_locks_no_other_out(
    endpoint: PodEndpoint, broker: Broker
) -> None:
    broker.gate.clear()
    flood = [
        asyncio.create_task(ask(endpoint, token(broker, number)))
        for number in range(200)
    ]
    assert await asyncio.to_thread(broker.called.wait, 20)
    other = asyncio.create_task(ask(endpoint, token(broker, 200), "10.0.0.2"))
    done, _ = await asyncio.wait([other], timeout=0.01)
    assert not done, "it waits for its turn"
    broker.gate.set()
    assert (await other)[0] == 200
    statuses = [status for status, _ in await asyncio.gather(*flood)]
    assert statuses.count(200) == module._WAITING_OF_ONE_MAX
    assert statuses.count(429) == 200 - module._WAITING_OF_ONE_MAX
    assert (await ask(endpoint, token(broker, 199)))[0] == 200, "its turn has come"


async def test_the_session_is_named_after_the_pod(
    endpoint: PodEndpoint, broker: Broker
) -> None:
    name = f"web_{'x' * 300}"
    await ask(endpoint, token(broker, **{"kubernetes.io": {"pod": {"name": name}}}))
    await ask(
        endpoint, token(broker, 1, **{"kubernetes.io": {"pod": {"name": "a/ b"}}})
    )
    names = [given["RoleSessionName"] for given in broker.asked]
    assert names == [f"eks-shop-{name}"[:64], "eks-shop-a--b"]


RIGHT = """
endpoint = "https://broker.example.com"
region = "eu-west-1"
[pods]
listen = ["127.0.0.1:80"]
cluster = "shop"
[[pods.associations]]
namespace = "a"
service_account = "b"
role_arn = "arn:aws:iam::111122223333:role/web"
"""


TWICE = """[[pods.associations]]
namespace = "a"
service_account = "b"
role_arn = "arn:aws:iam::111122223333:role/x"
[[pods.associations]]"""


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('cluster = "shop"', "", "pods.cluster is missing"),
        ('"shop"', '"a/b"', "pods.cluster is missing"),
        ('namespace = "a"', "", "associations.namespace is missing"),
        ('namespace = "a"', 'namespac = "a"', "associations.namespac is unknown"),
        (":role/web", ":user/web", "is not the ARN of a role"),
        ("[[pods.associations]]", "[pods.associations]", "must be a list of tables"),
        ("cluster", "clusters", "missing"),
        (
            "[[pods.associations]]",
            TWICE,
            "has two roles",
        ),
    ],
)
def test_a_mistake_in_the_file(
    tmp_path: Path, before: str, after: str, said: str
) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(RIGHT)
    assert load_settings(path).pods.find_role("a", "b").endswith("/web")
    path.write_text(RIGHT.replace(before, after))
    with pytest.raises(ConfigurationError, match=said):
        load_settings(path)
