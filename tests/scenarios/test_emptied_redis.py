"""An emptied Redis ends no terminal that signed in, and nothing spent comes back."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import httpx2 as httpx
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.scenarios import test_login
from tests.scenarios.installation import Installation
from tests.scenarios.test_portal import ALICE, PROMISED_SECONDS, Browser
from tests.support.aws_cli import aws_cli_2
from tests.support.broker import ACCOUNT, REGION, running_broker
from tests.support.oidc_issuer import serving
from tests.support.servers import (
    PostgresqlServer,
    RedisServer,
    start_postgresql,
    start_redis,
)
from tests.support.sso_login import Home

DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
GRANT = "InvalidGrantException"


class Place:
    """Two workers, and how to empty their cache."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation

    @property
    def url(self) -> str:
        return self.installation.broker.url

    def empty(self) -> None:
        """The embedded cache is in the database's file."""
        file = self.installation.broker.folder / "data" / "broker.db"
        with closing(sqlite3.connect(file, isolation_level=None)) as connection:
            connection.execute("DELETE FROM cache_entries")
            connection.execute("DELETE FROM cache_sessions")


class Outside(Place):
    """On servers that the test may stop."""

    def __init__(
        self,
        installation: Installation,
        redis: RedisServer,
        postgresql: PostgresqlServer,
    ) -> None:
        super().__init__(installation)
        self.redis = redis
        self.postgresql = postgresql

    def empty(self) -> None:
        self.redis.command("FLUSHALL")


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    with (
        serving("/idp") as issuer,
        start_redis() as redis,
        start_postgresql() as postgresql,
        running_broker(
            tmp_path_factory.mktemp("outside"),
            workers=2,
            internal_issuers=f"127.0.0.1:{issuer.port}",
            redis_url=redis.url,
            database_url=postgresql.create_database("broker"),
        ) as broker,
    ):
        yield Outside(Installation(broker, issuer), redis, postgresql)


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with (
        serving("/idp") as issuer,
        running_broker(
            tmp_path_factory.mktemp("embedded"),
            workers=2,
            internal_issuers=f"127.0.0.1:{issuer.port}",
        ) as broker,
    ):
        yield Place(Installation(broker, issuer))


@pytest.fixture(params=["outside", "embedded"])
def place(request: pytest.FixtureRequest) -> Place:
    stored_place: Place = request.getfixturevalue(request.param)
    return stored_place


class Terminal:
    """What `aws sso login` and the SDKs call, by botocore."""

    def __init__(self, url: str) -> None:
        self.url = url
        config = Config(signature_version=UNSIGNED, retries={"total_max_attempts": 1})
        self.oidc, self.sso = (
            boto3.client(
                name, region_name=REGION, endpoint_url=f"{url}/{name}", config=config
            )
            for name in ("sso-oidc", "sso")
        )
        made = self.oidc.register_client(
            clientName="terminal",
            clientType="public",
            scopes=["sso:account:access"],
            grantTypes=[DEVICE, "refresh_token"],
        )
        self.client = {name: made[name] for name in ("clientId", "clientSecret")}

    def close(self) -> None:
        self.oidc.close()
        self.sso.close()

    def begin(self) -> Any:
        return self.oidc.start_device_authorization(
            **self.client, startUrl=f"{self.url}/portal/{ACCOUNT}"
        )

    def poll(self, device: Any) -> Any:
        return self.oidc.create_token(
            **self.client, grantType=DEVICE, deviceCode=device["deviceCode"]
        )

    def renew(self, tokens: Any) -> Any:
        return self.oidc.create_token(
            **self.client,
            grantType="refresh_token",
            refreshToken=tokens["refreshToken"],
        )

    def role(self, tokens: Any) -> Any:
        return self.sso.get_role_credentials(
            roleName="Reader", accountId=ACCOUNT, accessToken=tokens["accessToken"]
        )["roleCredentials"]


def refusal(ask: Callable[[Any], Any], params: Any) -> str:
    with pytest.raises(ClientError) as refused:
        ask(params)
    return str(refused.value.response["Error"]["Code"])


def again(ask: Callable[[Any], Any], params: Any) -> Any:
    """What is answered once the stores are there: within a second or so."""
    deadline = time.monotonic() + 20
    while True:
        try:
            return ask(params)
        except ClientError as error:
            code = error.response["ResponseMetadata"]["HTTPStatusCode"]
            if code < 500 or time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@pytest.fixture
def browser(place: Place) -> Iterator[Browser]:
    made = Browser(place.installation)
    with made.http:
        made.sign_in()
        yield made


@pytest.fixture
def terminal(place: Place) -> Iterator[Terminal]:
    with closing(Terminal(place.url)) as made:
        yield made


def let_in(browser: Browser, terminal: Terminal) -> tuple[Any, Any]:
    device = terminal.begin()
    browser.allow(device["verificationUriComplete"])
    return device, terminal.poll(device)


@pytest.mark.timeout(180)
def test_a_terminal_and_a_browser_go_on(
    place: Place, browser: Browser, terminal: Terminal
) -> None:
    device, tokens = let_in(browser, terminal)
    waiting, allowed = terminal.begin(), terminal.begin()
    browser.allow(allowed["verificationUriComplete"])
    place.empty()
    assert terminal.role(tokens)["accessKeyId"]
    renewed = terminal.renew(tokens)
    assert terminal.role(renewed)["accessKeyId"]
    assert terminal.role(terminal.poll(allowed))["accessKeyId"]
    # Nothing that was spent is good again.
    place.installation.broker.stop()
    place.installation.broker.start()
    assert refusal(terminal.poll, device) == GRANT
    assert refusal(terminal.poll, allowed) == GRANT
    place.empty()
    assert terminal.renew(renewed)["refreshToken"]
    # A device that still waits is let in after its next poll, by the same browser.
    assert refusal(terminal.poll, waiting) == "AuthorizationPendingException"
    browser.allow(waiting["verificationUriComplete"])
    assert terminal.poll(waiting)["accessToken"]
    page = browser.http.get(f"{place.url}/portal/{ACCOUNT}")
    assert "Your accounts and roles" in page.text


@pytest.mark.timeout(180)
def test_who_signed_out_stays_so(
    place: Place, browser: Browser, terminal: Terminal
) -> None:
    _, tokens = let_in(browser, terminal)
    place.empty()
    terminal.sso.logout(accessToken=tokens["accessToken"])
    place.empty()
    time.sleep(PROMISED_SECONDS)
    assert refusal(terminal.role, tokens) == "UnauthorizedException"
    assert refusal(terminal.renew, tokens) == GRANT
    page = browser.http.get(f"{place.url}/portal/{ACCOUNT}")
    assert "Your accounts and roles" not in page.text


@pytest.mark.parametrize("place", ["outside"], indirect=True)
def test_a_redis_with_an_older_state_brings_nothing_back(
    outside: Outside, browser: Browser, terminal: Terminal
) -> None:
    device, tokens = let_in(browser, terminal)
    open_one = terminal.begin()
    other = Browser(outside.installation)
    with other.http:
        other.sign_in()
        _, signed_out = let_in(other, terminal)
    outside.redis.command("SAVE")
    browser.allow(open_one["verificationUriComplete"])
    terminal.poll(open_one)
    renewed = terminal.renew(tokens)
    terminal.sso.logout(accessToken=signed_out["accessToken"])
    outside.redis.kill()
    outside.redis.start()
    time.sleep(PROMISED_SECONDS)
    assert refusal(terminal.poll, device) == GRANT
    assert refusal(terminal.poll, open_one) == GRANT
    page = browser.http.get(open_one["verificationUriComplete"])
    assert page.status_code == 400
    assert refusal(terminal.renew, signed_out) == GRANT
    assert terminal.renew(renewed)["refreshToken"]


@pytest.mark.parametrize("place", ["outside"], indirect=True)
def test_without_the_database_nothing_is_spent_and_without_redis_terminals_go_on(
    outside: Outside, browser: Browser, terminal: Terminal
) -> None:
    _, tokens = let_in(browser, terminal)
    allowed = terminal.begin()
    browser.allow(allowed["verificationUriComplete"])
    outside.postgresql.stop()
    for ask, params in ((terminal.renew, tokens), (terminal.poll, allowed)):
        assert refusal(ask, params) == "InternalServerException"
    outside.postgresql.start()
    renewed = again(terminal.renew, tokens)
    assert again(terminal.poll, allowed)["accessToken"]
    outside.redis.stop()
    tokens = terminal.renew(renewed)
    assert terminal.role(tokens)["accessKeyId"]
    assert terminal.renew(tokens)["refreshToken"]
    outside.redis.start()


def test_the_aws_cli_goes_on(place: Place, browser: Browser, tmp_path: Path) -> None:
    home = Home(tmp_path, place.url)
    home.log_in(browser)
    place.empty()
    assert home.who() == ALICE
    first = home.token
    first["expiresAt"] = "2020-01-01T00:00:00Z"
    home.keep(first)
    home.forget_credentials()
    assert home.who() == ALICE
    assert home.token["refreshToken"] != first["refreshToken"]


@pytest.mark.timeout(180)
def test_aws_login_goes_on(place: Place, tmp_path: Path) -> None:
    terminal = test_login.Terminal(SimpleNamespace(broker=place.url), tmp_path)  # type: ignore[arg-type]  # all that it reads
    person = Browser(place.installation)
    data = {
        "SAMLResponse": place.installation.assertion(),
        "RelayState": f"{place.url}/console/",
    }
    with person.http:
        person.http.post(place.installation.acs, data=data)
        process, link = terminal.begin()
        answered: httpx.Response = person.submit(person.http.get(link), answer="allow")
        assert answered.status_code == 200
    test_login.finish(process)
    for _ in range(2):
        terminal.age()
        place.empty()
        assert terminal.who(aws_cli_2()).stdout.strip() == ALICE
