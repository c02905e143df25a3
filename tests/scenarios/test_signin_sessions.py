"""Sign-In's sessions, as boto3 asks for them: listed, looked at, and revoked."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.scenarios.test_login import ANALYST, Person, Terminal, finish
from tests.support.aws_cli import aws_cli_2
from tests.support.broker import ACCOUNT, REGION, Key, RunningBroker, running_broker
from tests.support.demo import RunningDemo, running_demo
from tests.support.rows import rows

EVERY = f"arn:aws:iam::{ACCOUNT}:*"
TRUST = {
    "Version": "2012-10-17",
    "Statement": {
        "Effect": "Allow",
        "Principal": {"AWS": ACCOUNT},
        "Action": "sts:AssumeRole",
    },
}


def client_of(url: str, service: str, key: Key) -> Any:
    """A client whose requests reach the broker though AWS's own ignore its address."""
    client = boto3.client(
        service,
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id=key.access_key_id,
        aws_secret_access_key=key.secret_access_key,
        aws_session_token=key.session_token,
        config=Config(retries={"total_max_attempts": 1}),
    )

    def lead_here(request: Any, **_: Any) -> None:
        parts, here = urlsplit(request.url), urlsplit(url)
        request.url = parts._replace(scheme=here.scheme, netloc=here.netloc).geturl()

    if service == "signin":
        client.meta.events.register("before-sign.signin", lead_here)
    return client


def refusal(call: Any, **params: Any) -> tuple[str, str, int]:
    """What a call is refused with: code, OAuth's word, status."""
    with pytest.raises(ClientError) as refused:
        call(**params)
    answer = refused.value.response
    return (
        answer["Error"]["Code"],
        answer["error"],
        answer["ResponseMetadata"]["HTTPStatusCode"],
    )


class World:
    """An account with two roles, and users who assume them."""

    def __init__(self, broker: RunningBroker) -> None:
        self.broker = broker
        self.root = broker.create_account()
        self.iam = self.client("iam", self.root)
        for role in ("Reader", "Writer"):
            self.iam.create_role(
                RoleName=role, AssumeRolePolicyDocument=json.dumps(TRUST)
            )

    def client(self, service: str, key: Key) -> Any:
        return client_of(self.broker.url, service, key)

    def signin(self, key: Key | None = None) -> Any:
        return self.client("signin", key or self.root)

    def user(self, name: str, *statements: dict[str, Any]) -> Key:
        self.iam.create_user(UserName=name, Path="/people/")
        assume = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}
        self.iam.put_user_policy(
            UserName=name,
            PolicyName="Own",
            PolicyDocument=json.dumps(
                {"Version": "2012-10-17", "Statement": [assume, *statements]}
            ),
        )
        made = self.iam.create_access_key(UserName=name)
        return Key.of(made["AccessKey"])

    def assume(self, key: Key, role: str, name: str = "job") -> Key:
        sts = self.client("sts", key)
        arn = f"arn:aws:iam::{ACCOUNT}:role/{role}"
        answer = sts.assume_role(RoleArn=arn, RoleSessionName=name)
        return Key.of(answer["Credentials"])

    def arns(self, key: Key | None = None, **params: Any) -> list[str]:
        pages = self.signin(key).get_paginator("list_sessions").paginate(**params)
        return [item["sessionArn"] for page in pages for item in page["items"]]

    def own_arn(self, key: Key) -> str:
        """The session's own: the first of what it came from itself."""
        (arn,) = self.arns(key)
        return arn

    def is_live(self, key: Key) -> bool:
        sts = self.client("sts", key)
        try:
            sts.get_caller_identity()
        except ClientError as error:
            if error.response["Error"]["Code"] != "ExpiredToken":
                raise
            return False
        return True

    def await_end(self, key: Key) -> None:
        deadline = time.monotonic() + 30
        while self.is_live(key):
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_broker(tmp_path_factory.mktemp("broker")) as broker:
        yield World(broker)


def test_a_session_is_listed_shown_and_revoked(world: World) -> None:
    dana = world.user("dana")
    job = world.assume(dana, "Reader")
    arn = world.own_arn(job)
    (item,) = world.signin(job).list_sessions()["items"]
    shown = world.signin(job).get_session(sessionArn=arn)
    shown.pop("ResponseMetadata")
    assert {name: shown[name] for name in item} == item
    assert item == {
        "sessionArn": arn,
        "principalArn": f"arn:aws:iam::{ACCOUNT}:role/Reader",
        "role": f"arn:aws:iam::{ACCOUNT}:role/Reader",
        "status": "ACTIVE",
        "issuedAt": item["issuedAt"],
        "expiresAt": item["issuedAt"] + 3600,
    }
    assert shown.keys() - item.keys() == {"issuedInRegion", "userAgent"}
    assert shown["issuedInRegion"] == REGION
    assert shown["userAgent"].startswith("Boto3/")
    gone = f"{arn[:-4]}0000"
    for _ in range(2):  # again succeeds
        answer = world.signin().batch_revoke_sessions(
            principalArn=EVERY, sessionArns=[arn, gone, arn], reason="lost laptop"
        )
        assert answer["revokedSessions"] == [{"sessionArn": arn}]
        assert answer["errors"] == [
            {
                "sessionArn": gone,
                "code": "ResourceNotFoundException",
                "message": "There is no such session.",
            }
        ]
    world.await_end(job)
    after = world.signin().get_session(sessionArn=arn, principalArn=EVERY)
    assert after["status"] == "REVOKED"
    assert arn in world.arns(principalArn=EVERY, status="REVOKED")
    assert arn not in world.arns(principalArn=EVERY, status="ACTIVE")
    records = world.broker.command(
        "audit", "--json", "--action", "signin:BatchRevokeSessions"
    )
    parameters = json.loads(records.splitlines()[0])["parameters"]
    assert parameters == {
        "principalArn": EVERY,
        "sessionArns": [arn, gone, arn],
        "reason": "lost laptop",
    }


def test_what_a_session_came_from_is_said_and_ends_it(world: World) -> None:
    first = world.assume(world.user("chain"), "Reader", "first")
    world.iam.put_role_policy(
        RoleName="Reader",
        PolicyName="Chain",
        PolicyDocument=json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": {
                    "Effect": "Allow",
                    "Action": "sts:AssumeRole",
                    "Resource": "*",
                },
            }
        ),
    )
    second = world.assume(first, "Writer", "second")
    arn = world.own_arn(second)
    origin = world.signin(second).get_session(sessionArn=arn)["originSessionArn"]
    assert sorted(world.arns(first)) == sorted([origin, arn])
    # Only its own: a session does not end what it came from.
    answer = world.signin(second).batch_revoke_sessions(sessionArns=[origin])
    assert [error["sessionArn"] for error in answer["errors"]] == [origin]
    assert world.is_live(first)
    world.signin(first).batch_revoke_sessions(sessionArns=[origin])
    world.await_end(second)
    assert {arn, origin} <= set(world.arns(principalArn=EVERY, status="REVOKED"))


def test_policies_decide_about_the_sessions_of_others(world: World) -> None:
    mine = world.user("plain")
    whose = {
        "ArnEquals": {"signin:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:role/Reader"}
    }
    keeper = world.user(
        "keeper",
        {
            "Effect": "Allow",
            "Action": ["signin:*"],
            "Resource": "*",
            "Condition": whose,
        },
    )
    reading, writing = world.assume(mine, "Reader"), world.assume(mine, "Writer")
    read_arn, write_arn = world.own_arn(reading), world.own_arn(writing)
    denied = ("AccessDeniedException", "INSUFFICIENT_PERMISSIONS", 403)
    for session in (mine, writing):
        signin = world.signin(session)
        assert refusal(signin.list_sessions, principalArn=EVERY) == denied
        asked = {"sessionArn": read_arn, "principalArn": EVERY}
        assert refusal(signin.get_session, **asked) == denied
    # A long-term key needs the permission for its user's own, too.
    assert refusal(world.signin(mine).list_sessions) == denied
    for arn in (read_arn, f"{read_arn[:-4]}0000"):
        revoke = world.signin(mine).batch_revoke_sessions
        assert refusal(revoke, sessionArns=[arn], principalArn=EVERY) == denied
    signin = world.signin(keeper)
    role = f"arn:aws:iam::{ACCOUNT}:role/Reader"
    assert read_arn in world.arns(keeper, principalArn=role)
    assert write_arn not in world.arns(keeper, principalArn=role)
    assert refusal(signin.list_sessions, principalArn=EVERY) == denied
    assert signin.get_session(sessionArn=read_arn, principalArn=EVERY)
    both = [read_arn, write_arn]
    revoke = signin.batch_revoke_sessions
    assert refusal(revoke, sessionArns=both, principalArn=EVERY) == denied
    # What the policy sees is whose the session is, not what was asked for.
    answer = revoke(sessionArns=both, principalArn=role)
    assert answer["revokedSessions"] == [{"sessionArn": read_arn}]
    world.await_end(reading)
    assert world.is_live(writing)
    missing = ("ResourceNotFoundException", "RESOURCE_NOT_FOUND", 404)
    asked = {"sessionArn": write_arn, "principalArn": role}
    assert refusal(signin.get_session, **asked) == missing


def test_a_users_own_are_all_that_its_keys_made(world: World) -> None:
    allow = {"Effect": "Allow", "Action": "signin:*", "Resource": "*"}
    key = world.user("owner", allow)
    token = Key.of(world.client("sts", key).get_session_token()["Credentials"])
    job = world.assume(key, "Reader")
    own = world.arns(key)
    assert own == world.arns(key, principalArn=f"arn:aws:iam::{ACCOUNT}:user/owner")
    assert len(own) == 1
    assert world.own_arn(job) not in own
    world.signin(key).batch_revoke_sessions(sessionArns=own)
    world.await_end(token)
    assert world.is_live(job)


def test_lists_are_filtered_and_read_page_by_page(world: World) -> None:
    key = world.user("many")
    jobs = [world.assume(key, "Writer", f"page-{n}") for n in range(5)]
    arns = {world.own_arn(job) for job in jobs}
    role = f"arn:aws:iam::{ACCOUNT}:role/Writer"
    signin = world.signin()
    seen: list[str] = []
    token: dict[str, str] = {}
    for _ in range(50):
        page = signin.list_sessions(principalArn=role, maxResults=2, **token)
        assert len(page["items"]) <= 2
        seen += [item["sessionArn"] for item in page["items"]]
        if "nextToken" not in page:
            break
        token = {"nextToken": page["nextToken"]}
    assert arns <= set(seen)
    assert len(seen) == len(set(seen))
    (newest,) = signin.list_sessions(principalArn=role, maxResults=1)["items"]
    issued = max(
        item["issuedAt"] for item in signin.list_sessions(principalArn=role)["items"]
    )
    assert newest["issuedAt"] <= issued
    assert arns & set(world.arns(principalArn=role, issuedAfter=issued))
    assert not world.arns(principalArn=role, issuedAfter=issued + 1)
    assert arns <= set(world.arns(principalArn=role, issuedBefore=issued + 1))
    assert set(world.arns(principalArn=role, issuedBefore=issued)).isdisjoint(
        world.arns(principalArn=role, issuedAfter=issued)
    )
    assert not world.arns(principalArn=role, clientId="arn:aws:signin:::devtools/none")


@rows("params")
def test_input_that_names_nothing_is_refused(
    world: World, params: dict[str, Any]
) -> None:
    expected = ("ValidationException", "INVALID_REQUEST", 400)
    assert refusal(world.signin().list_sessions, **params) == expected


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDemo]:
    with running_demo(tmp_path_factory.mktemp("signin") / "demo") as running:
        yield running


def test_a_terminals_login_is_a_session_with_a_client(
    demo: RunningDemo, tmp_path: Path
) -> None:
    """Its credentials came from it; it came from the console; renewing is its use."""
    person, terminal = Person(demo), Terminal(demo, tmp_path)
    with person.http:
        process, link = terminal.begin()
        assert person.allow(link).status_code == 200
        finish(process)
        kept = terminal.kept()["accessToken"]
        names = ("accessKeyId", "secretAccessKey", "sessionToken")
        signin = client_of(demo.broker, "signin", Key(*(kept[name] for name in names)))
        client_id = "arn:aws:signin:::devtools/same-device"
        (item,) = signin.list_sessions(clientId=client_id)["items"]
        assert item["clientType"] == "CLI"
        login = signin.get_session(sessionArn=item["sessionArn"])
        assert login["clientId"] == client_id
        assert "lastUsedAt" not in login
        assert login["userAgent"].startswith("aws-cli/2")
        console = signin.get_session(sessionArn=login["originSessionArn"])
        assert "originSessionArn" not in console
        assert "clientId" not in console
        assert console["userAgent"].startswith("python-httpx")
        terminal.age()
        assert terminal.who(aws_cli_2()).stdout.strip() == ANALYST
        used = signin.get_session(sessionArn=item["sessionArn"])
        assert used["lastUsedAt"] >= used["issuedAt"]
        # It ends, with what it gave; the console session does not.
        signin.batch_revoke_sessions(sessionArns=[item["sessionArn"]])
        terminal.age()
        assert terminal.who(aws_cli_2()).returncode != 0
        assert person.http.get(f"{demo.broker}/console/").status_code == 200
