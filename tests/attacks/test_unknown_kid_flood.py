"""OIDC-18: tokens that name keys nobody published, thrown at several workers.

Counted where it costs: at the issuer.
"""

import contextlib
import json
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx2 as httpx
import pytest

from broker.proofs.issuer_keys import COOL_DOWN_SECONDS
from tests.support.broker import ACCOUNT, RunningBroker, running_broker
from tests.support.oidc_issuer import IssuerServer, make_key, serving
from tests.support.servers import start_redis

ROLE = f"arn:aws:iam::{ACCOUNT}:role/Worker"
WORKERS = 3
FLOOD = 120


@dataclass
class World:
    broker: RunningBroker
    server: IssuerServer
    other: IssuerServer
    began: float = 0.0

    @property
    def allowed(self) -> int:
        """One fetch, and one more for each cool-down since the first request."""
        return 1 + int((time.monotonic() - self.began) / COOL_DOWN_SECONDS)

    def exchange(self, client: httpx.Client, token: str) -> httpx.Response:
        self.began = self.began or time.monotonic()
        return client.post(
            self.broker.url,
            data={
                "Action": "AssumeRoleWithWebIdentity",
                "Version": "2011-06-15",
                "RoleArn": ROLE,
                "RoleSessionName": "flood",
                "WebIdentityToken": token,
            },
        )

    def flood(self, server: IssuerServer) -> Counter[int]:
        """Unknown keys on many connections, so that every worker has its share."""
        key = make_key("RS256", 9)

        def shower(first: int) -> Counter[int]:
            answers: Counter[int] = Counter()
            for number in range(first, FLOOD, 8):
                token = server.issuer.token(kid=f"made-up-{number}", key=key)
                with httpx.Client(trust_env=False, timeout=60) as client:
                    answers[self.exchange(client, token).status_code] += 1
            return answers

        with ThreadPoolExecutor(8) as pool:
            return sum(pool.map(shower, range(8)), Counter())


@pytest.fixture(
    params=[pytest.param("embedded", marks=pytest.mark.long), "redis"], scope="module"
)
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(serving()) for _ in range(2)]
        settings = {
            "internal_issuers": ",".join(server.host_and_path for server in servers)
        }
        if request.param == "redis":
            settings["redis_url"] = stack.enter_context(start_redis()).url
        folder = tmp_path_factory.mktemp("flood")
        broker = stack.enter_context(_broker(folder, settings))
        iam = broker.client("iam", broker.create_account())
        arns = [
            iam.create_open_id_connect_provider(
                Url=server.issuer.url, ClientIDList=["client-1"]
            )["OpenIDConnectProviderArn"]
            for server in servers
        ]
        trust = {
            "Version": "2012-10-17",
            "Statement": {
                "Effect": "Allow",
                "Principal": {"Federated": arns},
                "Action": "sts:AssumeRoleWithWebIdentity",
            },
        }
        iam.create_role(RoleName="Worker", AssumeRolePolicyDocument=json.dumps(trust))
        for server in servers:
            server.hits.clear()
        yield World(broker, servers[0], servers[1])


def _broker(
    folder: Path, settings: dict[str, str]
) -> contextlib.AbstractContextManager[RunningBroker]:
    return running_broker(folder, workers=WORKERS, start=True, **settings)


def test_a_flood_costs_the_issuer_one_fetch_in_a_cool_down(world: World) -> None:
    assert world.flood(world.server) == {400: FLOOD}
    assert 1 <= world.server.hits[world.server.jwks_path] <= world.allowed
    assert 1 <= world.server.hits[world.server.discovery_path] <= world.allowed
    with httpx.Client(trust_env=False, timeout=60) as client:
        answer = world.exchange(client, world.server.issuer.token())
    assert answer.status_code == 200
    assert world.server.hits[world.server.jwks_path] <= world.allowed


def test_good_tokens_get_in_meanwhile(world: World) -> None:
    with (
        ThreadPoolExecutor(1) as beside,
        httpx.Client(trust_env=False, timeout=60) as client,
    ):
        flood = beside.submit(world.flood, world.server)
        answers = Counter[int]()
        while not flood.done() or not answers:
            token = world.server.issuer.token()
            answers[world.exchange(client, token).status_code] += 1
        assert flood.result() == {400: FLOOD}
    assert set(answers) == {200}
    assert world.server.hits[world.server.jwks_path] <= world.allowed


def test_so_does_a_flood_for_an_issuer_that_is_down(world: World) -> None:
    world.other.down = True
    assert world.flood(world.other) == {400: FLOOD}
    assert 1 <= world.other.hits.total() <= world.allowed
