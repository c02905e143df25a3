"""What survives when something dies: nothing half-minted, nothing spent twice."""

import contextlib
import json
import threading
import time
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from tests.scenarios.installation import READER, Installation, policy, trust
from tests.support.broker import ACCOUNT, Key, running_broker
from tests.support.oidc_issuer import serving
from tests.support.refusals import refused
from tests.support.servers import (
    PostgresqlServer,
    RedisServer,
    start_postgresql,
    start_redis,
)


@dataclass
class Outside:
    """A broker on servers that the test may stop."""

    installation: Installation
    redis: RedisServer
    postgresql: PostgresqlServer


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Outside]:
    with (
        serving("/idp") as issuer,
        start_redis() as redis,
        start_postgresql(fsync=True) as postgresql,
        running_broker(
            tmp_path,
            internal_issuers=f"127.0.0.1:{issuer.port}",
            redis_url=redis.url,
            database_url=postgresql.create_database("broker"),
        ) as broker,
    ):
        yield Outside(Installation(broker, issuer), redis, postgresql)


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Installation]:
    with (
        serving("/idp") as issuer,
        running_broker(tmp_path, internal_issuers=f"127.0.0.1:{issuer.port}") as broker,
    ):
        yield Installation(broker, issuer)


def kill_under_load(installation: Installation) -> None:
    """Kill the broker while eight clients spend assertions; see what is left."""
    assertions = [installation.assertion() for _ in range(160)]
    answered = spend_until_killed(installation, assertions)
    installation.broker.start()
    minted = recorded_sessions(installation)
    for answer in answered.values():
        assert answer["Credentials"]["AccessKeyId"] in minted
        assert installation.identity(answer)["Account"]
    # A commit may have been durable when its answer was lost: then its session is
    # on record, and there is no other way for an assertion to be spent.
    spent = sum(not can_be_spent(installation, each) for each in assertions)
    assert spent == len(minted)


def spend_until_killed(
    installation: Installation, assertions: list[str]
) -> dict[str, dict[str, Any]]:
    answered: dict[str, dict[str, Any]] = {}
    begun = threading.Semaphore(0)

    def spend(mine: list[str]) -> None:
        for assertion in mine:
            try:
                answered[assertion] = installation.saml(assertion)
            except Exception:  # noqa: BLE001  # a kill can cut an answer anywhere
                return
            begun.release()

    clients = [
        threading.Thread(target=spend, args=(assertions[n::8],)) for n in range(8)
    ]
    for client in clients:
        client.start()
    for _ in range(24):
        assert begun.acquire(timeout=30)
    installation.broker.kill()
    for client in clients:
        client.join()
    return answered


def recorded_sessions(installation: Installation) -> set[str]:
    printed = installation.broker.command("audit", "--json", "--limit", "1000")
    return {
        entry["session"]["access_key_id"]
        for entry in map(json.loads, printed.splitlines())
        if entry.get("session") and entry["action"].endswith("AssumeRoleWithSAML")
    }


def can_be_spent(installation: Installation, assertion: str) -> bool:
    try:
        installation.saml(assertion)
    except ClientError as error:
        return error.response["Error"]["Code"] != "InvalidIdentityToken"
    return True


def test_a_kill_under_load_leaves_nothing_half_minted(embedded: Installation) -> None:
    kill_under_load(embedded)


def test_a_kill_under_load_leaves_nothing_half_minted_outside(outside: Outside) -> None:
    kill_under_load(outside.installation)


def test_an_emptied_redis_lets_nothing_be_spent_again(outside: Outside) -> None:
    installation = outside.installation
    assertion = installation.assertion()
    answer = installation.saml(assertion)
    outside.redis.command("FLUSHALL")
    assert refused(installation.saml, assertion).code == "InvalidIdentityToken"
    assert installation.identity(answer)["Account"]


def test_without_redis_credentials_verify_and_mints_go_on(outside: Outside) -> None:
    installation = outside.installation
    earlier = installation.web_identity()
    outside.redis.stop()
    assert installation.identity(earlier)["Account"]
    assertion = installation.assertion()
    answer = installation.saml(assertion)
    assert installation.identity(answer)["Account"]
    assert refused(installation.saml, assertion).code == "InvalidIdentityToken"
    outside.redis.start()
    assert installation.identity(installation.web_identity())["Account"]


def test_without_the_database_credentials_verify_and_mints_wait(
    outside: Outside,
) -> None:
    installation = outside.installation
    earlier = installation.web_identity()
    client = installation.broker.client("sts", Key.of(earlier["Credentials"]))
    assert client.get_caller_identity()["Account"]
    assertion = installation.assertion()
    outside.postgresql.stop()
    assert client.get_caller_identity()["Account"]
    assert refused(installation.saml, assertion).code == "ServiceUnavailable"
    outside.postgresql.start()
    answer = _retried(installation, assertion)
    assert installation.identity(answer)["Account"]


@pytest.fixture
def two_workers(tmp_path: Path) -> Iterator[Outside]:
    with (
        serving("/idp") as issuer,
        start_redis() as redis,
        start_postgresql(fsync=True) as postgresql,
        running_broker(
            tmp_path,
            workers=2,
            internal_issuers=f"127.0.0.1:{issuer.port}",
            redis_url=redis.url,
            database_url=postgresql.create_database("broker"),
        ) as broker,
    ):
        yield Outside(Installation(broker, issuer), redis, postgresql)


def test_credentials_verify_without_the_database_although_iam_just_changed(
    two_workers: Outside,
) -> None:
    """The other worker has seen that there is a change, and cannot read it any more."""
    installation = two_workers.installation
    user = make_user(installation)
    keys = [Key.of(installation.web_identity()["Credentials"]), user]
    keys.append(Key.of(every_mint(installation, user)["AssumeRole"]()["Credentials"]))

    def ask_everybody() -> None:
        for key in keys * 8:
            # A client of its own is a connection of its own, to either worker.
            client = installation.broker.client("sts", key)
            assert client.get_caller_identity()["Account"] == ACCOUNT
            client.close()

    ask_everybody()
    for leave in (two_workers.postgresql.freeze, two_workers.postgresql.stop):
        with changing_all_the_time(installation):
            leave()
            for _ in range(3):
                ask_everybody()
            two_workers.postgresql.thaw()
        if leave == two_workers.postgresql.freeze:
            _retried(installation, installation.assertion())


def test_without_the_database_no_worker_says_that_the_ledger_is_ready(
    two_workers: Outside,
) -> None:
    """Also not the one that had nothing to record meanwhile."""
    broker = two_workers.installation.broker

    def ledger() -> str:
        with urllib.request.urlopen(f"{broker.url}/readyz", timeout=5) as answer:
            return str(json.load(answer)["components"]["ledger"])

    two_workers.postgresql.stop()
    refused(two_workers.installation.saml, two_workers.installation.assertion())
    time.sleep(2)  # until then the last answer of the database counts
    assert {ledger() for _ in range(40)} == {"unavailable"}
    two_workers.postgresql.start()
    _retried(two_workers.installation, two_workers.installation.assertion())
    time.sleep(2)  # until what waited is written
    assert {ledger() for _ in range(40)} == {"ready"}


@contextlib.contextmanager
def changing_all_the_time(installation: Installation) -> Iterator[None]:
    """IAM changes, one after the other, from before the block to its end."""
    changed, ended = threading.Event(), threading.Event()

    def change() -> None:
        iam = installation.broker.client("iam", installation.root)
        while not ended.is_set():
            try:
                iam.create_user(UserName=f"changing-{uuid.uuid4().hex}")
            except (BotoCoreError, ClientError):
                return
            changed.set()

    changing = threading.Thread(target=change)
    changing.start()
    assert changed.wait(30)
    try:
        yield
    finally:
        ended.set()
        changing.join()


def _retried(installation: Installation, assertion: str) -> dict[str, Any]:
    """The mint once the database is back; a 503 spends nothing."""
    for attempt in range(200):
        try:
            return installation.saml(assertion)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            assert code == "ServiceUnavailable", (attempt, code)
            threading.Event().wait(0.1)
    raise AssertionError("the broker did not come back")


def every_mint(installation: Installation, user: Key) -> dict[str, Any]:
    """A call of each kind that makes credentials."""
    sts = installation.broker.client("sts", user)
    return {
        "GetSessionToken": sts.get_session_token,
        "GetFederationToken": lambda: sts.get_federation_token(Name="guest"),
        "AssumeRole": lambda: sts.assume_role(RoleArn=WORKER, RoleSessionName="work"),
        "AssumeRoleWithWebIdentity": installation.web_identity,
        "AssumeRoleWithSAML": installation.saml,
    }


WORKER = f"arn:aws:iam::{ACCOUNT}:role/OutageWorker"


def make_user(installation: Installation) -> Key:
    iam = installation.iam
    iam.create_user(UserName="alice")
    iam.put_user_policy(
        UserName="alice", PolicyName="All", PolicyDocument=policy("sts:*")
    )
    iam.create_role(
        RoleName="OutageWorker",
        AssumeRolePolicyDocument=trust(
            ({"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "sts:AssumeRole", None)
        ),
    )
    return Key.of(iam.create_access_key(UserName="alice")["AccessKey"])


def test_every_kind_of_credential_outlives_every_outage(outside: Outside) -> None:
    """Redis away, PostgreSQL away, a restart: nothing that was given is lost."""
    installation = outside.installation
    mints = every_mint(installation, make_user(installation))
    params = {name: mint() for name, mint in mints.items()}

    def all_work() -> None:
        for name, answer in params.items():
            assert installation.identity(answer)["Account"] == ACCOUNT, name

    all_work()
    outside.redis.stop()
    all_work()
    params |= {f"{name} without Redis": mint() for name, mint in mints.items()}
    all_work()
    outside.redis.start()
    outside.postgresql.stop()
    all_work()
    for name, mint in mints.items():
        assert refused(mint).code == "ServiceUnavailable", name
    outside.postgresql.start()
    _retried(installation, installation.assertion())
    params |= {f"{name} afterwards": mint() for name, mint in mints.items()}
    installation.broker.stop()
    installation.broker.start()
    all_work()
    outside.redis.command("FLUSHALL")
    all_work()


@pytest.mark.timeout(300)
def test_the_command_line_meets_every_outage(outside: Outside) -> None:
    """As an operator's script would: each store away once, and a restart."""
    installation, broker = outside.installation, outside.installation.broker

    def aws(answer: dict[str, Any] | None, *words: str) -> dict[str, Any]:
        named = {"AWS_MAX_ATTEMPTS": "1"}
        if answer is not None:
            credentials = answer["Credentials"]
            named |= {
                "AWS_ACCESS_KEY_ID": credentials["AccessKeyId"],
                "AWS_SECRET_ACCESS_KEY": credentials["SecretAccessKey"],
                "AWS_SESSION_TOKEN": credentials["SessionToken"],
            }
        return broker.aws("sts", *words, **named)

    def mint(name: str) -> dict[str, Any]:
        return aws(
            None,
            *("assume-role-with-web-identity", "--role-arn", READER),
            *("--role-session-name", name, "--web-identity-token"),
            installation.issuer.issuer.token(),
        )

    earlier = mint("earlier")
    outside.redis.stop()
    assert aws(earlier, "get-caller-identity")["Arn"].endswith("/earlier")
    without_redis = mint("without-redis")
    outside.redis.start()
    outside.postgresql.stop()
    assert aws(without_redis, "get-caller-identity")["Account"] == ACCOUNT
    with pytest.raises(AssertionError, match=r"\(ServiceUnavailable\)"):
        mint("refused")
    outside.postgresql.start()
    _retried(installation, installation.assertion())
    broker.stop()
    broker.start()
    for answer, name in (
        (earlier, "earlier"),
        (without_redis, "without-redis"),
        (mint("afterwards"), "afterwards"),
    ):
        assert aws(answer, "get-caller-identity")["Arn"].endswith(f"/{name}")
