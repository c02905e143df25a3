"""MinIO itself, which asks the broker as it would ask an OPA server, by the page."""

import json
import os
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from botocore.exceptions import ClientError

from tests.scenarios.test_ceph_hook import code
from tests.scenarios.test_protected import running
from tests.scenarios.test_upstream_stores import store, until_refused
from tests.support.broker import ACCOUNT, Key, RunningBroker, running_broker
from tests.support.programs import installed, program_marks
from tests.support.servers import find_free_port
from tests.support.versitygw import SAMPLE

pytestmark = program_marks("minio")

PAGE = Path(__file__).parents[2] / "docs" / "decision-protocols.md"
(SETTINGS,) = re.findall(r"```sh\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)[-1:]
OBJECTS = ["arn:aws:s3:::reports", "arn:aws:s3:::reports/*"]
REPORT = {"Bucket": "reports", "Key": "q3.csv"}


@dataclass
class World:
    broker: RunningBroker
    iam: Any
    alice: Any
    """MinIO's own user of this name, with a client of S3."""


def is_ready(url: str) -> bool:
    with suppress(urllib.error.URLError):
        urllib.request.urlopen(f"{url}/minio/health/live", timeout=5).close()
        return True
    return False


def permit(iam: Any, *more: dict[str, Any]) -> None:
    allow = {"Effect": "Allow", "Action": "s3:*", "Resource": OBJECTS}
    deny = {"Effect": "Deny", "Action": "s3:DeleteObject", "Resource": OBJECTS}
    document = {"Version": "2012-10-17", "Statement": [allow, deny, *more]}
    iam.put_user_policy(
        UserName="alice", PolicyName="Own", PolicyDocument=json.dumps(document)
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    program, folder = installed("minio"), tmp_path_factory.mktemp("minio")
    port = find_free_port()
    url = f"http://127.0.0.1:{port}"
    definition = yaml.safe_load(SAMPLE.read_text("utf-8"))
    definition["Hosts"] = [f"127.0.0.1:{port}"]
    (folder / "s3-store.yaml").write_text(json.dumps(definition))
    (folder / "objects").mkdir()
    with running_broker(folder) as broker:
        iam = broker.client("iam", broker.create_account())
        where = ("s3", "--account", ACCOUNT)
        broker.command("services", "set", *where, str(folder / "s3-store.yaml"))
        token = json.loads(broker.command("services", "token", *where))["Token"]
        iam.create_user(UserName="alice")
        permit(iam)
        settings = SETTINGS.replace("https://broker.example.com", broker.url)
        # Its root is asked for like any other user.
        alice = Key("alice", "alices-own-secret")
        values = [
            *(
                line.strip().replace('"', "").replace("the token", token)
                for line in settings.strip().splitlines()
            ),
            f"MINIO_ROOT_USER={alice.access_key_id}",
            f"MINIO_ROOT_PASSWORD={alice.secret_access_key}",
            f"HOME={folder}",
            f"PATH={os.environ['PATH']}",
        ]
        serve = ("server", "--address", f"127.0.0.1:{port}", str(folder / "objects"))
        words = ["/usr/bin/env", "-i", *values, str(program), *serve]
        with running(words, folder, lambda: is_ready(url)):
            s3 = store("s3", url, alice)
            s3.create_bucket(Bucket="reports")
            yield World(broker, iam, s3)


def test_the_brokers_policies_decide(world: World) -> None:
    world.alice.put_object(**REPORT, Body=b"rows")
    assert world.alice.get_object(**REPORT)["Body"].read() == b"rows"
    assert code(world.alice.delete_object, **REPORT) == "AccessDenied"
    assert code(world.alice.create_bucket, Bucket="other") == "AccessDenied"
    listed = world.alice.list_objects_v2(Bucket="reports", Prefix="q")
    assert [each["Key"] for each in listed["Contents"]] == ["q3.csv"]


def test_a_request_with_a_version_is_decided(world: World) -> None:
    """MinIO asks for GetObject, whether or not a version is named."""
    world.alice.put_bucket_versioning(
        Bucket="reports", VersioningConfiguration={"Status": "Enabled"}
    )
    versioned = {"Bucket": "reports", "Key": "versioned.csv"}
    first, second = (
        world.alice.put_object(**versioned, Body=body)["VersionId"]
        for body in (b"1", b"2")
    )
    got = world.alice.get_object(**versioned, VersionId=first)
    assert got["Body"].read() == b"1"
    denied = {
        "Effect": "Deny",
        "Action": "s3:GetObject",
        "Resource": OBJECTS,
        "Condition": {"StringEquals": {"s3:versionid": first}},
    }
    permit(world.iam, denied)
    try:
        until_refused(lambda: world.alice.get_object(**versioned, VersionId=first))
        refused = code(world.alice.get_object, **versioned, VersionId=first)
        assert refused == "AccessDenied"
        got = world.alice.get_object(**versioned, VersionId=second)
        assert got["Body"].read() == b"2"
    finally:
        permit(world.iam)


def test_a_deny_on_a_header_counts(world: World) -> None:
    public = {"StringEquals": {"s3:x-amz-acl": "public-read"}}
    denied = {"Effect": "Deny", "Action": "s3:PutObject", "Resource": OBJECTS}
    permit(world.iam, {**denied, "Condition": public})
    put = {"Bucket": "reports", "Key": "public.csv", "Body": b"x"}
    try:
        until_refused(lambda: world.alice.put_object(**put, ACL="public-read"))
        world.alice.put_object(**put)
    finally:
        permit(world.iam)


def test_without_the_broker_nothing_gets_through(world: World) -> None:
    world.alice.put_object(**REPORT, Body=b"rows")
    world.broker.stop()
    try:
        with pytest.raises(ClientError):
            world.alice.get_object(**REPORT)
    finally:
        world.broker.start()
    assert world.alice.get_object(**REPORT)["Body"].read() == b"rows"
