"""What was taken away stays so when the database goes away a moment later.

What did not change in the account goes on meanwhile, for ``BROKER_STALE_SECONDS``.
"""

import fcntl
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.installation import SAML_PROVIDER, Installation, policy
from tests.scenarios.test_decisions import API
from tests.support.broker import ACCOUNT, REGION, Key, running_broker
from tests.support.decisions import HOST, sign
from tests.support.oidc_issuer import serving
from tests.support.scim import administration, directory
from tests.support.servers import start_postgresql, start_redis

NAME_ID = "alice"
STALE_SECONDS = 12
READABLE_SECONDS = 5
"""Between the changes and the outage."""

ENOUGH = 10
"""Connections of their own: both workers are asked."""

_SHARED_LOCKS = (8, 120)
"""Those of SQLite's readers and writers in the shared memory: how many, from where."""


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """No one can read or write the file."""
    with Path(f"{database}-shm").open("r+b") as memory:
        fcntl.lockf(memory, fcntl.LOCK_EX, *_SHARED_LOCKS)
        yield


class Outage:
    """An installation with two workers, and how its database goes away."""

    def __init__(self, installation: Installation, begin: Callable[[], object]) -> None:
        self.installation = installation
        self.begin = begin
        broker = installation.broker
        broker.command(
            "services", "set", "orders", "--account", ACCOUNT, "--host", HOST
        )
        made = broker.command("services", "token", "orders", "--account", ACCOUNT)
        self.token = json.loads(made)["Token"]


@pytest.fixture(params=["embedded", "redis+postgresql"])
def outage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Outage]:
    with ExitStack() as stack:
        settings = {"stale_seconds": str(STALE_SECONDS)}
        if request.param == "embedded":
            file = tmp_path / "data" / "broker.db"

            def begin() -> object:
                return stack.enter_context(locked(file))

        else:
            settings["redis_url"] = stack.enter_context(start_redis()).url
            server = stack.enter_context(start_postgresql(fsync=True))
            settings["database_url"] = server.create_database("broker")
            begin = server.stop
        issuer = stack.enter_context(serving("/idp"))
        settings["internal_issuers"] = f"127.0.0.1:{issuer.port}"
        # Both workers are asked as fast as they answer.
        settings["rate_limit"] = "0"
        broker = stack.enter_context(running_broker(tmp_path, workers=2, **settings))
        yield Outage(Installation(broker, issuer), begin)


class Asking:
    """What both workers answer, each question on a connection of its own."""

    def __init__(self, outage: Outage) -> None:
        self._url = outage.installation.broker.url
        self._port = outage.installation.broker.port
        self._token = outage.token

    def identity(self, key: Key) -> Counter[str]:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        signed = sign(
            key,
            "/",
            method="POST",
            body=WHO_AM_I,
            service="sts",
            region=REGION,
            headers=headers,
            url=self._url,
        )
        return self._ask("/", signed.headers, WHO_AM_I)

    def decisions(self, key: Key) -> Counter[str]:
        request = sign(key, "/orders/7", service="execute-api")
        body = json.dumps({"Request": request.described(Body="")}).encode()
        return self._ask("/decisions", {"X-Broker-Service-Token": self._token}, body)

    def _ask(self, path: str, headers: dict[str, str], body: bytes) -> Counter[str]:
        counter: Counter[str] = Counter()
        for _ in range(ENOUGH):
            connection = HTTPConnection("127.0.0.1", self._port, timeout=30)
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            good = answer.status == 200 and b'"Allowed":false' not in answer.read()
            connection.close()
            counter["good" if good else str(answer.status)] += 1
        return counter


WHO_AM_I = b"Action=GetCallerIdentity&Version=2011-06-15"
ALL_GOOD = {"good": ENOUGH}
INVOKE = policy("execute-api:Invoke", f"{API}/*")


def make_user(iam: Any, name: str) -> Key:
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="Orders", PolicyDocument=INVOKE)
    return Key.of(iam.create_access_key(UserName=name)["AccessKey"])


@pytest.mark.timeout(300)
def test_what_was_taken_away_is_not_good_again_without_the_database(
    outage: Outage,
) -> None:
    installation, asking = outage.installation, Asking(outage)
    broker, iam = installation.broker, installation.iam
    iam.put_role_policy(RoleName="Reader", PolicyName="Orders", PolicyDocument=INVOKE)
    deleted, deactivated, denied, kept = (
        make_user(iam, name) for name in ("deleted", "deactivated", "denied", "kept")
    )
    broker.command("providers", "set", SAML_PROVIDER, "ScimSubject=userName")
    api = administration(broker, installation.root)
    scim_token = api.create_scim_token(ProviderArn=SAML_PROVIDER)["Token"]
    with directory(broker, scim_token) as corp:
        person = corp.create_user(NAME_ID)["id"]
        time.sleep(1)
        left = Key.of(installation.saml()["Credentials"])
        revoked, going_on = (
            Key.of(installation.web_identity()["Credentials"]) for _ in range(2)
        )
        taken = [deleted, deactivated, left, revoked]
        for key in (*taken, denied, kept, going_on):
            assert asking.identity(key) == ALL_GOOD
            assert asking.decisions(key) == ALL_GOOD

        iam.delete_access_key(UserName="deleted", AccessKeyId=deleted.access_key_id)
        iam.update_access_key(
            UserName="deactivated",
            AccessKeyId=deactivated.access_key_id,
            Status="Inactive",
        )
        iam.put_user_policy(
            UserName="denied",
            PolicyName="Stop",
            PolicyDocument=policy("execute-api:Invoke", f"{API}/*", "Deny"),
        )
        broker.command("sessions", "revoke", revoked.access_key_id)
        assert corp.deactivate(person).status_code == 200
    time.sleep(READABLE_SECONDS)
    outage.begin()
    gone_at = time.monotonic()

    def elapsed() -> float:
        return time.monotonic() - gone_at

    def go_on(*answers: Counter[str]) -> None:
        """On a slow machine, the time may be over before the last answer."""
        results = set(sum(answers, Counter[str]()))
        assert results == {"good"} or elapsed() > STALE_SECONDS / 2

    for _ in range(2):
        for key in (kept, going_on):
            go_on(asking.identity(key), asking.decisions(key))
        go_on(asking.identity(denied))
        for key in taken:
            assert "good" not in asking.identity(key)
            assert "good" not in asking.decisions(key)
        assert "good" not in asking.decisions(denied)
    time.sleep(max(0, STALE_SECONDS + 1 - elapsed()))
    for key in (*taken, denied, kept, going_on):
        assert "good" not in asking.identity(key)
        assert "good" not in asking.decisions(key)


def test_a_session_that_one_worker_has_served_is_known_to_both(outage: Outage) -> None:
    installation, asking = outage.installation, Asking(outage)
    key = Key.of(installation.web_identity()["Credentials"])
    client = installation.broker.client("sts", key)
    for _ in range(2):  # on one connection
        client.get_caller_identity()
    client.close()
    time.sleep(1)
    outage.begin()
    end = time.monotonic() + STALE_SECONDS / 3
    answers = Counter(ALL_GOOD)
    while time.monotonic() < end:  # what is answered later may be refused
        assert answers == ALL_GOOD
        answers = asking.identity(key)
