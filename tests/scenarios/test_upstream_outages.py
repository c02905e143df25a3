"""Proofs behind an upstream's credentials: kills, races, outages, wrong answers, moto."""

import json
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import BotoCoreError, ClientError
from moto.server import ThreadedMotoServer

from tests.scenarios.installation import ADMIN, READER, Installation, policy, trust
from tests.support import saml_idp
from tests.support.broker import ACCOUNT, REGION, Key, running_broker
from tests.support.machine_agent import until
from tests.support.oidc_issuer import serving
from tests.support.servers import find_free_port, start_postgresql, start_redis
from tests.support.storage import STORAGES, broker_on
from tests.support.upstream import (
    AWS_ACCOUNT,
    ROLE,
    FakeSts,
    fake_sts,
    granted,
    key_id,
    nameless,
)

SECRET = "a-secret-of-the-upstream"
AWS_KEYS = key_id(0)[:12]
OTHER = "210987654321"
"""Another tenant."""

NOT_NOW = b"<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>"


@dataclass
class World:
    front: Installation
    there: FakeSts

    def sessions(self) -> set[str]:
        """The key ids that the audit records of role sessions name."""
        printed = self.front.broker.command("audit", "--json", "--limit", "1000")
        return {
            entry["session"]["access_key_id"]
            for entry in map(json.loads, printed.splitlines())
            if entry.get("session")
        }


def set_upstream(
    front: Installation,
    endpoint: str,
    role: str = ROLE,
    account: str = ACCOUNT,
    **more: object,
) -> None:
    file = front.broker.folder / "upstream.json"
    definition = {"Endpoint": endpoint, "Method": "AssumeRole", **more}
    file.write_text(json.dumps({**definition, "Roles": {"Reader": role}}))
    command = front.broker.command
    named = ("upstreams", "set", "aws", "--account", account)
    command(*named, str(file))
    command(*named, "--access-key-id", "AKIAEXAMPLE", stdin=f"{SECRET}\n")
    time.sleep(1.2)  # until every worker knows


@contextmanager
def world_on(storage: str, folder: Path, workers: int) -> Iterator[World]:
    with serving("/idp") as issuer, fake_sts() as there:
        reached = f"127.0.0.1:{issuer.port},127.0.0.1:{there.port}"
        with broker_on(
            storage, folder, workers=workers, internal_issuers=reached
        ) as broker:
            front = Installation(broker, issuer)
            set_upstream(front, there.url)
            yield World(front, there)


@pytest.fixture(scope="module", params=STORAGES)
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    workers = 1 if request.param == "embedded" else 2
    folder = tmp_path_factory.mktemp("broker")
    with world_on(request.param, folder, workers) as made:
        yield made


def outcome(world: World, response: str) -> str:
    """What one exchange ends with, on a connection of its own."""
    client = world.front.broker.client("sts")
    try:
        answer = client.assume_role_with_saml(
            RoleArn=READER,
            PrincipalArn=f"arn:aws:iam::{ACCOUNT}:saml-provider/Corp",
            SAMLAssertion=response,
        )
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    except BotoCoreError:
        return "cut"
    finally:
        client.close()
    return str(answer["Credentials"]["AccessKeyId"])


def test_many_at_once_spend_a_proof_once(world: World) -> None:
    response, before = world.front.assertion(), world.there.asked
    with ThreadPoolExecutor(12) as pool:
        counter = Counter(pool.map(lambda _: outcome(world, response), range(12)))
    assert counter["InvalidIdentityToken"] == 11, counter
    assert world.there.asked == before + 1
    (minted,) = set(counter) - {"InvalidIdentityToken"}
    assert minted in world.sessions()


def test_what_is_refused_is_good_on_every_worker(world: World) -> None:
    response = world.front.assertion()
    world.there.status, world.there.body = 403, NOT_NOW
    try:
        results = {outcome(world, response) for _ in range(8)}
    finally:
        world.there.status, world.there.body = 200, None
    assert results == {"UpstreamRefused"}
    assert outcome(world, response).startswith(AWS_KEYS)
    assert outcome(world, response) == "InvalidIdentityToken"


def test_a_kill_while_the_upstream_is_asked_spends_the_proof(world: World) -> None:
    """And leaves nothing else: no record of a session that nobody has."""
    front, there = world.front, world.there
    before = world.sessions()
    responses = [front.assertion() for _ in range(3)]
    while there.arrived.acquire(blocking=False):
        pass
    there.hold()
    try:
        with ThreadPoolExecutor(3) as pool:
            asking = [pool.submit(outcome, world, each) for each in responses]
            for _ in responses:
                assert there.arrived.acquire(timeout=20)
            front.broker.kill()
            assert {each.result() for each in asking} == {"cut"}
    finally:
        there.go_on()
    front.broker.start()
    assert world.sessions() == before
    asked = there.asked
    for each in responses:
        assert outcome(world, each) == "InvalidIdentityToken"
    assert there.asked == asked
    assert outcome(world, front.assertion()).startswith(AWS_KEYS)


def test_what_is_revoked_while_the_upstream_is_asked_gets_nothing(world: World) -> None:
    """Nothing here would end what the upstream gave."""
    front, there = world.front, world.there
    before, response = world.sessions(), front.assertion()
    while there.arrived.acquire(blocking=False):
        pass
    there.hold()
    try:
        with ThreadPoolExecutor(1) as pool:
            asking = pool.submit(outcome, world, response)
            assert there.arrived.acquire(timeout=20)
            front.broker.command("sessions", "revoke", READER)
            time.sleep(1.2)  # until every worker knows
            there.go_on()
            assert asking.result() == "AccessDenied"
    finally:
        there.go_on()
    # It is on record all the same, since it lives on there.
    (made,) = world.sessions() - before
    view = json.loads(front.broker.command("sessions", "show", made))
    assert (view["state"], view["upstream"]) == ("revoked", "aws")
    assert outcome(world, response) == "InvalidIdentityToken"
    assert outcome(world, front.assertion()).startswith(AWS_KEYS)


@contextmanager
def other_tenant(world: World) -> Iterator[dict[str, str]]:
    """Access key IDs of another account, which has an upstream, too."""
    broker = world.front.broker
    root = broker.create_account(OTHER)
    iam = broker.client("iam", root)
    iam.create_role(
        RoleName="Reader",
        AssumeRolePolicyDocument=trust(({"AWS": OTHER}, "sts:AssumeRole", None)),
    )
    iam.create_user(UserName="bob")
    iam.put_user_policy(
        UserName="bob", PolicyName="assume", PolicyDocument=policy("sts:*")
    )
    made = iam.create_access_key(UserName="bob")["AccessKey"]
    sts = broker.client("sts", Key(made["AccessKeyId"], made["SecretAccessKey"]))
    session = sts.get_session_token()["Credentials"]
    set_upstream(world.front, world.there.url, account=OTHER)
    match = sts.assume_role(
        RoleArn=f"arn:aws:iam::{OTHER}:role/Reader", RoleSessionName="bob"
    )
    try:
        yield {
            "key": made["AccessKeyId"],
            "session": session["AccessKeyId"],
            "upstream": match["Credentials"]["AccessKeyId"],
        }
    finally:
        broker.command("account", "delete", OTHER, "--yes")


def test_an_upstream_takes_no_id_of_somebody_else(world: World) -> None:
    front, there = world.front, world.there
    own = front.saml(front.assertion(ADMIN), RoleArn=ADMIN)["Credentials"]
    with other_tenant(world) as others:
        taken = {
            **others,
            "unused": key_id(1, OTHER),
            "own session": own["AccessKeyId"],
            "own key": front.root.access_key_id,
        }
        before = world.sessions()
        for what, entry in taken.items():
            there.body = granted().replace(key_id(1).encode(), entry.encode())
            response = front.assertion()
            try:
                assert outcome(world, response) == "UpstreamOutcomeUnknown", what
            finally:
                there.body = None
            assert outcome(world, response) == "InvalidIdentityToken", what
        assert world.sessions() == before
        text = front.broker.command("sessions", "show", others["upstream"])
        assert json.loads(text)["account"] == OTHER
    assert outcome(world, front.assertion()).startswith(AWS_KEYS)


def test_an_id_of_aws_may_have_the_number_of_an_account_here(world: World) -> None:
    """Of an account that is in AWS and here, where a role here leads to it."""
    front = world.front
    front.broker.create_account(AWS_ACCOUNT)
    try:
        time.sleep(1.2)  # until every worker knows
        assert outcome(world, front.assertion()).startswith(AWS_KEYS)
    finally:
        front.broker.command("account", "delete", AWS_ACCOUNT, "--yes")


@pytest.mark.parametrize("whose", ["another session's", "another role's"])
def test_what_an_upstream_says_of_another_is_given_to_nobody(
    world: World, whose: str
) -> None:
    body, session = granted(), b"ReadOnly/{RoleSessionName}"
    other = b"ReadOnly/bob" if whose == "another session's" else b"Admin/" + session[9:]
    world.there.body = body.replace(session, other)
    response, before = world.front.assertion(), world.sessions()
    try:
        assert outcome(world, response) == "UpstreamOutcomeUnknown"
    finally:
        world.there.body = None
    assert outcome(world, response) == "InvalidIdentityToken"
    assert world.sessions() == before


def response_of(world: World, person: str) -> str:
    """An assertion that somebody signs in with."""
    role = f"{READER},arn:aws:iam::{ACCOUNT}:saml-provider/Corp"
    return world.front.assertion(
        attributes=saml_idp.aws_attributes(role=[role], session_name=person)
    )


def test_one_that_names_sessions_is_refused_each_time_it_names_none(
    world: World,
) -> None:
    assert outcome(world, response_of(world, "alice")).startswith(AWS_KEYS)
    before = world.sessions()
    world.there.body = nameless()
    try:
        for _ in range(3):
            response = response_of(world, "bob")
            assert outcome(world, response) == "UpstreamOutcomeUnknown"
    finally:
        world.there.body = None
    assert world.sessions() == before


def test_a_key_of_one_person_is_no_key_of_another(world: World) -> None:
    """With one that names no sessions, both in the same role."""
    set_upstream(world.front, world.there.url, NamesSessions=False)
    world.there.body = nameless(700_000 + world.there.asked)
    try:
        assert outcome(world, response_of(world, "alice")).startswith(AWS_KEYS)
        # To her, they may be given again.
        assert outcome(world, response_of(world, "alice")).startswith(AWS_KEYS)
        assert outcome(world, response_of(world, "bob")) == "UpstreamOutcomeUnknown"
    finally:
        world.there.body = None
        set_upstream(world.front, world.there.url)


@pytest.mark.parametrize("storage", STORAGES)
def test_a_database_lost_after_the_answer_leaves_the_session_on_record(
    storage: str, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        issuer = stack.enter_context(serving("/idp"))
        there = stack.enter_context(fake_sts())
        options: dict[str, Any] = {}
        if storage != "embedded":
            database = stack.enter_context(start_postgresql())
            options = {
                "redis_url": stack.enter_context(start_redis()).url,
                "database_url": database.create_database("broker"),
                "workers": 2,
            }
        reached = f"127.0.0.1:{issuer.port},127.0.0.1:{there.port}"
        broker = stack.enter_context(
            running_broker(tmp_path, internal_issuers=reached, **options)
        )
        world = World(Installation(broker, issuer), there)
        set_upstream(world.front, there.url)
        response = world.front.assertion()
        there.hold()
        with ThreadPoolExecutor(1) as pool:
            asking = pool.submit(outcome, world, response)
            assert there.arrived.acquire(timeout=20)
            if storage == "embedded":
                writer = sqlite3.connect(broker.folder / "data" / "broker.db")
                writer.execute("BEGIN IMMEDIATE")
            else:
                database.stop()
            there.go_on()
            assert asking.result(60) == "UpstreamOutcomeUnknown"
        if storage == "embedded":
            writer.close()
        else:
            database.start()
        until(lambda: key_id(1) in world.sessions())
        assert outcome(world, response) == "InvalidIdentityToken"
        view = json.loads(broker.command("sessions", "show", key_id(1)))
        assert (view["state"], view["upstream"]) == ("live", "aws")
        broker.command("sessions", "revoke", key_id(1))
        assert outcome(world, world.front.assertion()) == key_id(2)
        assert there.asked == 2


def test_no_secret_of_the_upstream_is_kept(world: World) -> None:
    assert SECRET not in world.front.broker.log
    for file in world.front.broker.folder.rglob("*"):
        if file.is_file():
            assert SECRET.encode() not in file.read_bytes(), file


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    port = find_free_port()
    server = ThreadedMotoServer("127.0.0.1", port, verbose=False)
    server.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.stop()


def test_moto_in_awss_place(moto: str, tmp_path: Path) -> None:
    """Its credentials put and get an object there."""

    def there(service: str, key: Key) -> Any:
        return boto3.client(
            service,
            endpoint_url=moto,
            region_name=REGION,
            aws_access_key_id=key.access_key_id,
            aws_secret_access_key=key.secret_access_key,
            aws_session_token=key.session_token,
        )

    role = "arn:aws:iam::123456789012:role/Writer"
    with serving("/idp") as issuer:
        reached = f"127.0.0.1:{issuer.port},{moto.removeprefix('http://')}"
        with broker_on("embedded", tmp_path, internal_issuers=reached) as broker:
            front = Installation(broker, issuer)
            set_upstream(front, moto, role)
            answer = front.saml()
            assert answer["AssumedRoleUser"]["Arn"].startswith(
                "arn:aws:sts::123456789012:assumed-role/Writer/"
            )
    key = Key.of(answer["Credentials"])
    assert ":assumed-role/Writer/" in there("sts", key).get_caller_identity()["Arn"]
    s3 = there("s3", key)
    s3.create_bucket(
        Bucket="reports", CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    s3.put_object(Bucket="reports", Key="today.txt", Body=b"42")
    assert s3.get_object(Bucket="reports", Key="today.txt")["Body"].read() == b"42"
