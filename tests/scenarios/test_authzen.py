"""AuthZEN's certification scenario at the socket, with two workers."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support import authzen
from tests.support.broker import RunningBroker, running_broker
from tests.support.machine_agent import broker_client

_SECONDS = 30


@dataclass
class World:
    """A broker with the scenario's fixture."""

    broker: RunningBroker
    token: str

    def post(self, url: str, body: object, **headers: str) -> tuple[int, Any, Any]:
        """Status, headers, and the answer; a text if it is not JSON."""
        request = urllib.request.Request(
            url,
            data=json.dumps(body).encode(),
            headers={
                "Content-Type": "application/json",
                "Authorization": f"Bearer {self.token}",
                **headers,
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
                return answer.status, answer.headers, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers, error.read().decode()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_broker(tmp_path_factory.mktemp("broker"), workers=2) as broker:
        root = broker.create_account()
        iam, api = broker.client("iam", root), broker_client(broker, root)
        api.put_service(
            ServiceName="records", Definition=json.dumps(authzen.DEFINITION)
        )
        for name in authzen.USERS:
            tags = [{"Key": k, "Value": v} for k, v in authzen.TAGS[name].items()]
            iam.create_user(UserName=name, Tags=tags)
            iam.put_user_policy(
                UserName=name, PolicyName="Own", PolicyDocument=authzen.policy(name)
            )
        token = api.create_service_token(ServiceName="records")["Token"]
        yield World(broker, token)


def test_the_scenario(world: World) -> None:
    url = f"{world.broker.url}/.well-known/authzen-configuration"
    with urllib.request.urlopen(url, timeout=_SECONDS) as answer:
        described = json.loads(answer.read())
    assert described["policy_decision_point"] == world.broker.url
    for _ in range(2):  # whichever worker answers
        for asked, expected in authzen.DECISIONS:
            status, headers, answer = world.post(
                described["access_evaluation_endpoint"],
                asked,
                **{"X-Request-ID": "bfe9eb29"},
            )
            assert (status, headers["X-Request-ID"]) == (200, "bfe9eb29")
            assert answer["decision"] is expected, asked
    batch = {"evaluations": [asked for asked, _ in authzen.DECISIONS]}
    _, _, answer = world.post(described["access_evaluations_endpoint"], batch)
    decided = [evaluation["decision"] for evaluation in answer["evaluations"]]
    assert decided == [expected for _, expected in authzen.DECISIONS]
    for malformed in authzen.MALFORMED:
        url = described["access_evaluation_endpoint"]
        assert world.post(url, malformed)[0] == 400, malformed


def test_without_the_token_nothing_is_told(world: World) -> None:
    for path in ("evaluation", "evaluations"):
        url = f"{world.broker.url}/access/v1/{path}"
        status, headers, text = world.post(url, {}, Authorization="Bearer x")
        assert (status, headers["WWW-Authenticate"]) == (401, "Bearer")
        assert "security token" in text


def test_a_removed_search_says_what_to_use_instead(world: World) -> None:
    for sought in ("subject", "resource", "action"):
        url = f"{world.broker.url}/access/v1/search/{sought}"
        status, headers, text = world.post(url, {})
        assert (status, headers["Content-Type"]) == (410, "text/plain; charset=utf-8")
        assert "/access/v1/evaluations" in text
