"""versitygw itself, by the recipe's commands: over a folder, and over another S3 store."""

import json
import re
import shlex
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from botocore.exceptions import ClientError

from tests.scenarios.test_protected import running
from tests.scenarios.test_recipes import RECIPES
from tests.scenarios.test_upstream_stores import store, until_refused
from tests.support.broker import ACCOUNT, Key, RunningBroker, running_broker
from tests.support.programs import installed, program_marks
from tests.support.servers import find_free_port
from tests.support.versitygw import SAMPLE

pytestmark = program_marks("versitygw")

PAGE = (RECIPES / "versitygw.md").read_text("utf-8")
_, GATEWAY, IN_FRONT = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
(PERMISSIONS,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
OBJECTS = ["arn:aws:s3:::reports", "arn:aws:s3:::reports/*"]
# The S3 backend does not start with a CA bundle of its surroundings.
_ENV = ("/usr/bin/env", "-u", "AWS_CA_BUNDLE")
ROLE = f"arn:aws:iam::{ACCOUNT}:role/Writer"


def policy(*statements: dict[str, object]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def words(command: str, **instead: str) -> list[str]:
    """A command of the page, with what is here in place of what is there."""
    for before, after in instead.items():
        assert before in command, before
        command = command.replace(before, after)
    program = str(installed("versitygw"))
    return [*_ENV, program, *shlex.split(command.replace("\\\n", ""))[1:]]


@dataclass
class World:
    broker: RunningBroker
    iam: Any
    url: str
    alice: Key
    root: Any
    """The gateway's own administrator, with a client of S3."""

    def session(self, **order: str) -> Key:
        sts = self.broker.client("sts", self.alice)
        made = sts.assume_role(RoleArn=ROLE, RoleSessionName="alice", **order)
        return Key.of(made["Credentials"])


def answers(url: str) -> bool:
    with suppress(urllib.error.URLError):
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except urllib.error.HTTPError as refused:
            return refused.code == 403
    return False


@contextmanager
def running_gateway(folder: Path, kind: str) -> Iterator[World]:
    """A gateway over a folder (``posix``) or another store (``s3``), and its broker."""
    private, port, behind = folder / "private.sock", find_free_port(), find_free_port()
    definition = yaml.safe_load(SAMPLE.read_text())
    definition["Hosts"] = [f"127.0.0.1:{port}"]
    definition["Region"] = "us-east-1"
    (folder / "s3-store.yaml").write_text(yaml.safe_dump(definition))
    for name in ("objects", "stored"):
        (folder / name).mkdir()
    with ExitStack() as stack:
        options = ("--private-socket", str(private))
        broker = stack.enter_context(running_broker(folder, workers=2, options=options))
        iam = broker.client("iam", broker.create_account())
        broker.command(
            *("services", "set", "s3", "--account", ACCOUNT),
            str(folder / "s3-store.yaml"),
        )
        gateway = make_user(
            iam, "gateway", PERMISSIONS.replace("111122223333", ACCOUNT)
        )
        sts = {"Effect": "Allow", "Action": "sts:*", "Resource": "*"}
        alice = make_user(iam, "alice", policy(sts))
        trust = {
            "Effect": "Allow",
            "Principal": {"AWS": ACCOUNT},
            "Action": "sts:AssumeRole",
        }
        iam.create_role(RoleName="Writer", AssumeRolePolicyDocument=policy(trust))
        public = {"StringEquals": {"s3:x-amz-acl": "public-read"}}
        own = policy(
            {"Effect": "Allow", "Action": "s3:*", "Resource": OBJECTS},
            {"Effect": "Deny", "Action": "s3:DeleteObject", "Resource": OBJECTS},
            {
                "Effect": "Deny",
                "Action": "s3:PutObject",
                "Resource": OBJECTS,
                "Condition": public,
            },
        )
        iam.put_role_policy(RoleName="Writer", PolicyName="Own", PolicyDocument=own)
        start = words(
            GATEWAY,
            LONG_SECRET="a-long-secret",
            **{
                "127.0.0.1:7070": f"127.0.0.1:{port}",
                "/run/broker/private.sock": str(private),
                "AKIA…": gateway.access_key_id,
                "secret …": f"secret {gateway.secret_access_key}",
                "/srv/objects": str(folder / "objects"),
            },
        )
        if kind == "s3":
            key = Key("STOREKEY", "store-secret")
            own_store = f"http://127.0.0.1:{behind}"
            program = [*start[:4], "-a", key.access_key_id, "-s", key.secret_access_key]
            stored = ["-p", f"127.0.0.1:{behind}", "posix", str(folder / "stored")]
            stack.enter_context(
                running([*program, *stored], folder, lambda: answers(own_store))
            )
            store("s3", own_store, key).create_bucket(Bucket="vgwmeta")
            tail = words(
                IN_FRONT,
                STORE_KEY=key.access_key_id,
                STORE_SECRET=key.secret_access_key,
                **{"http://store.internal:9000": own_store},
            )
            start = [*start[: start.index("posix")], *tail[tail.index("s3") :]]
        url = f"http://127.0.0.1:{port}"
        stack.enter_context(running(start, folder, lambda: answers(url)))
        root = store("s3", url, Key("gwroot", "a-long-secret"))
        root.create_bucket(Bucket="reports")
        yield World(broker, iam, url, alice, root)


@pytest.fixture(scope="module", params=["posix", "s3"])
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    with running_gateway(tmp_path_factory.mktemp("gateway"), request.param) as made:
        yield made


def make_user(iam: Any, name: str, document: str) -> Key:
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="Own", PolicyDocument=document)
    return Key.of(iam.create_access_key(UserName=name)["AccessKey"])


def refusal(call: Any, **params: Any) -> str:
    with pytest.raises(ClientError) as refused:
        call(**params)
    return str(refused.value.response["Error"]["Code"])


REPORT = {"Bucket": "reports", "Key": "q3.csv"}


def test_a_roles_policy_decides(world: World) -> None:
    s3 = store("s3", world.url, world.session())
    s3.put_object(**REPORT, Body=b"rows")
    assert s3.get_object(**REPORT)["Body"].read() == b"rows"
    assert refusal(s3.delete_object, **REPORT) == "AccessDenied"
    denied = refusal(s3.put_object, **REPORT, ACL="public-read")
    assert denied == "AccessDenied"
    other = store("s3", world.url, world.alice)
    assert refusal(other.get_object, **REPORT) == "AccessDenied"


def test_a_session_policy_narrows_it(world: World) -> None:
    read = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": OBJECTS}
    s3 = store("s3", world.url, world.session(Policy=policy(read)))
    assert refusal(s3.put_object, **REPORT, Body=b"rows") == "AccessDenied"


def test_a_temporary_key_needs_its_token(world: World) -> None:
    key = world.session()
    without = store("s3", world.url, Key(key.access_key_id, key.secret_access_key))
    wrong = Key(key.access_key_id, key.secret_access_key, "x" + key.session_token[1:])
    assert refusal(without.get_object, **REPORT) == "InvalidAccessKeyId"
    refused = refusal(store("s3", world.url, wrong).get_object, **REPORT)
    assert refused == "InvalidToken"


def test_a_revoked_session_is_refused_at_once(world: World) -> None:
    key = world.session()
    s3 = store("s3", world.url, key)
    s3.put_object(**REPORT, Body=b"rows")
    world.broker.command("sessions", "revoke", key.access_key_id, "--reason", "left")

    until_refused(lambda: s3.get_object(**REPORT))
    assert refusal(s3.get_object, **REPORT) == "InvalidToken"
    kept = store("s3", world.url, world.session())
    assert kept.get_object(**REPORT)["Body"].read() == b"rows"
