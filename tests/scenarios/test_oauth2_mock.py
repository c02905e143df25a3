"""npm's oauth2-mock-server issues tokens of several algorithms; the AWS CLI exchanges."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2 as httpx
import pytest
from botocore.exceptions import ClientError

from tests.support.broker import ACCOUNT, Key, RunningBroker, running_broker
from tests.support.identity_providers import node_program
from tests.support.servers import find_free_port

ROLE = f"arn:aws:iam::{ACCOUNT}:role/Worker"
ALGORITHMS = ("RS256", "PS384", "ES256", "EdDSA")


@dataclass
class World:
    broker: RunningBroker
    root: Key
    ports: dict[str, int]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder: Path = tmp_path_factory.mktemp("broker")
    ports = {algorithm: find_free_port() for algorithm in ALGORITHMS}
    internal = ",".join(f"localhost:{port}" for port in ports.values())
    with running_broker(folder, internal_issuers=internal) as broker:
        root = broker.create_account()
        iam = broker.client("iam", root)
        arns = [
            iam.create_open_id_connect_provider(
                Url=f"http://localhost:{port}", ClientIDList=["worker"]
            )["OpenIDConnectProviderArn"]
            for port in ports.values()
        ]
        trust = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Federated": arn},
                    "Action": "sts:AssumeRoleWithWebIdentity",
                    "Condition": {
                        "StringEquals": {f"{arn.partition('/')[2]}:sub": "johndoe"}
                    },
                }
                for arn in arns
            ],
        }
        iam.create_role(RoleName="Worker", AssumeRolePolicyDocument=json.dumps(trust))
        yield World(broker, root, ports)


def id_token(port: int, client: str = "worker") -> str:
    answer = httpx.post(
        f"http://localhost:{port}/token",
        data={
            "grant_type": "password",
            "username": "someone",
            "client_id": client,
            "scope": "openid",
        },
        trust_env=False,
    )
    token: str = answer.json()["id_token"]
    return token


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_aws_cli_exchanges_a_token(world: World, algorithm: str) -> None:
    port = world.ports[algorithm]
    with node_program("oauth2_mock.mjs", str(port), algorithm):
        token = id_token(port)
        answer = world.broker.aws(
            *("sts", "assume-role-with-web-identity", "--role-arn", ROLE),
            *("--role-session-name", "job", "--web-identity-token", token),
        )
        assert answer["SubjectFromWebIdentityToken"] == "johndoe"
        assert answer["Audience"] == "worker"
        key = Key.of(answer["Credentials"])
        caller = world.broker.client("sts", key).get_caller_identity()
        assert caller["Arn"].endswith("assumed-role/Worker/job")
        head, _, signature = token.split(".")
        for wrong in (
            id_token(port, "somebody-else"),
            f"{head}.{id_token(port).split('.')[1]}.{signature[:-8]}AAAAAAAA",
        ):
            with pytest.raises(ClientError, match="InvalidIdentityToken"):
                world.broker.client("sts").assume_role_with_web_identity(
                    RoleArn=ROLE, RoleSessionName="job", WebIdentityToken=wrong
                )
