"""versitygw's protocol over the private socket, with two workers."""

import http.client
import json
import socket
import stat
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support import versitygw
from tests.support.broker import ACCOUNT, Key, RunningBroker, running_broker
from tests.support.doors import open_doors
from tests.support.machine_agent import broker_client
from tests.support.unix_http import UnixConnection
from tests.support.versitygw import DEFINITION, Gateway, Refused, allows

OBJECT = "arn:aws:s3:::reports/q3.csv"


@dataclass
class World:
    broker: RunningBroker
    path: Path
    gateway: Gateway
    alice: Key
    iam: Any

    def post(self, operation: str, body: object) -> dict[str, Any]:
        path, content = f"/private/{operation}", json.dumps(body).encode()
        headers = self.gateway.sign(path, content)
        with closing(UnixConnection(self.path)) as connection:
            connection.request("POST", path, content, headers)
            answer = connection.getresponse()
            told = {name.lower(): value for name, value in answer.getheaders()}
            return versitygw.read(answer.status, told, answer.read())

    def may(self, action: str) -> bool:
        answer = self.post(
            "evaluate-policy",
            {
                "accessKeyId": self.alice.access_key_id,
                "actions": [action],
                "resources": [OBJECT],
            },
        )
        versitygw.matrix(answer["decisions"], [OBJECT], [action])
        return allows(answer)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("broker")
    path = folder / "p.sock"
    with socket.socket(socket.AF_UNIX) as stale:  # of a broker that was killed
        stale.bind(str(path))
    options = ("--private-socket", str(path))
    with running_broker(folder, workers=2, options=options) as broker:
        root = broker.create_account()
        iam = broker.client("iam", root)
        broker_client(broker, root).put_service(
            ServiceName="s3", Definition=json.dumps(DEFINITION)
        )
        keys = {}
        for name, actions, resource in (
            (
                "gateway",
                ["broker:Authorize", "broker:DeriveSigningKey"],
                f"arn:aws:broker::{ACCOUNT}:service/s3",
            ),
            ("alice", ["s3:GetObject"], "arn:aws:s3:::reports/*"),
        ):
            iam.create_user(UserName=name)
            statement = {"Effect": "Allow", "Action": actions, "Resource": resource}
            document = {"Version": "2012-10-17", "Statement": statement}
            iam.put_user_policy(
                UserName=name, PolicyName="Own", PolicyDocument=json.dumps(document)
            )
            made = iam.create_access_key(UserName=name)["AccessKey"]
            keys[name] = Key.of(made)
        yield World(broker, path, Gateway(keys["gateway"]), keys["alice"], iam)


def test_a_gateway_works_through_the_socket(world: World) -> None:
    assert stat.S_IMODE(world.path.stat().st_mode) == 0o660
    assert world.post("version", {})["accountId"] == ACCOUNT
    date = world.gateway.now().strftime("%Y%m%d")
    for _ in range(10):  # whichever worker answers
        answer = world.post(
            "derive-signing-key",
            {
                "accessKeyId": world.alice.access_key_id,
                "date": date,
                "region": "us-east-1",
                "service": "s3",
            },
        )
        secret = world.alice.secret_access_key
        key = versitygw.derive(secret, date, "us-east-1", "s3")
        assert versitygw.signing_key(answer) == key
        assert world.may("s3:GetObject")
        assert not world.may("s3:PutObject")


def test_nothing_else_is_served_there(world: World) -> None:
    for path in ("/", "/healthz", "/decisions", "/console", "/private"):
        with closing(UnixConnection(world.path)) as connection:
            connection.request("GET", path)
            assert connection.getresponse().status == 404


def test_the_open_port_tells_nothing(world: World) -> None:
    body = b"{}"
    connection = http.client.HTTPConnection("127.0.0.1", world.broker.port, timeout=30)
    with closing(connection):
        headers = world.gateway.sign("/private/version", body)
        headers |= {"X-Forwarded-Proto": "https"}  # no proxy's word
        connection.request("POST", "/private/version", body, headers)
        answer = connection.getresponse()
        assert answer.status == 403
        assert answer.headers["X-Vgw-Private-Protocol"] == "1"


def test_a_signature_for_this_door_opens_no_other(world: World) -> None:
    body = b"Action=ListUsers&Version=2010-05-08"
    headers = world.gateway.sign("/private/version", body)
    connection = http.client.HTTPConnection("127.0.0.1", world.broker.port, timeout=30)
    with closing(connection):
        connection.request("POST", "/", body, headers)
        answer = connection.getresponse()
        assert answer.status in {403, 421}
    with pytest.raises(ClientError) as caught:
        world.broker.client("iam", world.gateway.key).list_users()
    assert caught.value.response["Error"]["Code"] == "AccessDenied"


def test_the_socket_ends_with_the_broker(tmp_path: Path) -> None:
    for workers in (1, 2):
        path = tmp_path / f"{workers}.sock"
        options = ("--private-socket", str(path))
        folder = tmp_path / str(workers)
        folder.mkdir()
        with running_broker(folder, workers=workers, options=options) as broker:
            assert path.is_socket()
            broker.create_account()
            open_doors(broker, "decisions")
            with closing(UnixConnection(path)) as connection:
                connection.request("POST", "/private/version", b"{}")
                answer = connection.getresponse()
                with pytest.raises(Refused):
                    versitygw.read(
                        answer.status,
                        {n.lower(): v for n, v in answer.getheaders()},
                        answer.read(),
                    )
            if workers == 1:
                broker.kill()
                assert path.is_socket()
                broker.start()
        assert not path.exists()
