"""Redis comes back from an old snapshot, and a database goes at the moment of a mint."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2 as httpx
import pytest

from tests.scenarios.installation import Installation
from tests.support.broker import running_broker
from tests.support.oidc_issuer import serving
from tests.support.servers import (
    PostgresqlServer,
    RedisServer,
    start_postgresql,
    start_redis,
)

COOKIE = "broker-session"
MANY = 5


@dataclass
class World:
    """Two workers on servers that the test may stop."""

    installation: Installation
    redis: RedisServer
    postgresql: PostgresqlServer

    def signin_token(self) -> str:
        credentials = self.installation.web_identity()["Credentials"]
        session = {
            "sessionId": credentials["AccessKeyId"],
            "sessionKey": credentials["SecretAccessKey"],
            "sessionToken": credentials["SessionToken"],
        }
        answer = _until(
            lambda: self.ask(Action="getSigninToken", Session=json.dumps(session))
        )
        token: str = answer.json()["SigninToken"]
        return token

    def log_in(self, token: str) -> httpx.Response:
        return self.ask(
            Action="login", Destination=f"{self.url}/console/", SigninToken=token
        )

    def sign_out(self, cookie: str) -> httpx.Response:
        return self.ask(cookie, Action="logout")

    def is_in(self, cookie: str) -> bool:
        answer = _until(lambda: self.home(cookie))
        assert answer.status_code in {200, 303, 403}, answer.text
        return answer.status_code == 200

    def home(self, cookie: str) -> httpx.Response:
        return httpx.get(f"{self.url}/console/", headers=_cookie(cookie), timeout=10)

    def ask(self, cookie: str = "", **query: str) -> httpx.Response:
        # A connection each, so that both workers get their share.
        return httpx.get(
            f"{self.url}/federation", params=query, headers=_cookie(cookie), timeout=10
        )

    @property
    def url(self) -> str:
        return self.installation.broker.url


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder: Path = tmp_path_factory.mktemp("older")
    with (
        serving("/idp") as issuer,
        start_redis() as redis,
        start_postgresql() as postgresql,
        running_broker(
            folder,
            workers=2,
            internal_issuers=f"127.0.0.1:{issuer.port}",
            redis_url=redis.url,
            database_url=postgresql.create_database("broker"),
        ) as broker,
    ):
        yield World(Installation(broker, issuer), redis, postgresql)


def test_an_old_snapshot_brings_back_nothing_spent_or_ended(world: World) -> None:
    tokens = [world.signin_token() for _ in range(MANY)]
    unused = world.signin_token()
    cookies = [world.log_in(world.signin_token()).cookies[COOKIE] for _ in range(MANY)]
    staying = world.log_in(world.signin_token()).cookies[COOKIE]
    world.redis.command("SAVE")
    assert [world.log_in(token).status_code for token in tokens] == [302] * MANY
    assert [world.sign_out(cookie).status_code for cookie in cookies] == [303] * MANY
    world.redis.kill()
    world.redis.start()
    assert world.is_in(staying)
    for token in tokens:
        assert _until(lambda token=token: world.log_in(token)).status_code == 400
    assert not any(world.is_in(cookie) for cookie in cookies)
    assert _until(lambda: world.log_in(unused)).status_code == 302


def test_a_database_that_is_away_spends_no_link(world: World) -> None:
    tokens = [world.signin_token() for _ in range(MANY)]
    world.postgresql.stop()
    for token in tokens:
        answer = world.log_in(token)
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
    world.postgresql.start()
    for token in tokens:
        assert _until(lambda token=token: world.log_in(token)).status_code == 302
        assert world.log_in(token).status_code == 400


def _until(ask: Callable[[], httpx.Response]) -> httpx.Response:
    """The first answer that is not a 503: stores come back within a second or so."""

    deadline = time.monotonic() + 20
    while True:
        answer = ask()
        if answer.status_code != 503 or time.monotonic() > deadline:
            return answer
        time.sleep(0.1)


def _cookie(value: str) -> dict[str, str]:
    return {"cookie": f"{COOKIE}={value}"} if value else {}
