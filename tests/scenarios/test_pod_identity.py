"""``broker agent pods``: pods and AWS's agent get a role for a pod's token."""

import http.client
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.support.broker import ACCOUNT, REGION, RunningBroker, running_broker
from tests.support.machine_agent import plain_environment, until
from tests.support.oidc_issuer import IssuerServer, serving
from tests.support.servers import find_free_port

AUDIENCE = "pods.eks.amazonaws.com"
SUBJECT = "system:serviceaccount:shop:reports"
POD = {"namespace": "shop", "pod": {"name": "reports-6f9b8", "uid": "1"}}
WHO = (
    "import boto3, sys;"
    "print(boto3.client('sts', endpoint_url=sys.argv[1], region_name='eu-west-3')"
    ".get_caller_identity()['Arn'])"
)


@dataclass
class World:
    broker: RunningBroker
    issuer: IssuerServer
    folder: Path
    port: int
    process: subprocess.Popen[bytes]

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.folder / "agent.log").read_text()

    def token(self, **claims: Any) -> str:
        given = {"sub": SUBJECT, "aud": [AUDIENCE], "kubernetes.io": POD, **claims}
        return self.issuer.issuer.token(claims=given)

    def write(self, role: str) -> None:
        (self.folder / "agent.toml").write_text(
            f'endpoint = "{self.broker.url}"\nregion = "{REGION}"\n'
            f'[pods]\nlisten = ["127.0.0.1:{self.port}"]\ncluster = "shop"\n'
            '[[pods.associations]]\nnamespace = "shop"\nservice_account = "reports"\n'
            f'role_arn = "arn:aws:iam::{ACCOUNT}:role/{role}"\n'
            '[[pods.associations]]\nnamespace = "shop"\nservice_account = "other"\n'
            f'role_arn = "arn:aws:iam::{ACCOUNT}:role/{role}"\n'
        )

    def get(self, token: str, **headers: str) -> tuple[int, dict[str, Any]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(
                "GET", "/v1/credentials", headers={"Authorization": token, **headers}
            )
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def eks_auth(self) -> Any:
        return boto3.client(
            "eks-auth",
            endpoint_url=self.origin,
            region_name=REGION,
            aws_access_key_id="node",
            aws_secret_access_key="node",
            config=Config(retries={"total_max_attempts": 1}),
        )

    def minted(self) -> int:
        """How often the broker was asked."""
        records = self.broker.command(
            "audit", "--action", "sts:AssumeRoleWithWebIdentity", "--json"
        )
        return len(str(records).splitlines())


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("pods")
    with serving() as issuer:
        host = issuer.host_and_path
        with running_broker(folder / "broker", internal_issuers=host) as broker:
            iam = broker.client("iam", broker.create_account())
            iam.create_open_id_connect_provider(
                Url=issuer.issuer.url, ClientIDList=[AUDIENCE]
            )
            provider = f"arn:aws:iam::{ACCOUNT}:oidc-provider/{host}"
            trust = {
                "Effect": "Allow",
                "Principal": {"Federated": provider},
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Condition": {"StringEquals": {f"{host}:sub": SUBJECT}},
            }
            for name in ("Reports", "Archive"):
                iam.create_role(
                    RoleName=name,
                    AssumeRolePolicyDocument=json.dumps(
                        {"Version": "2012-10-17", "Statement": trust}
                    ),
                )
            config = folder / "agent.toml"
            with (folder / "agent.log").open("wb") as log:
                made = World(broker, issuer, folder, find_free_port(), None)  # type: ignore[arg-type]
                made.write("Reports")
                made.process = subprocess.Popen(
                    [
                        *(sys.executable, "-m", "broker", "agent", "pods"),
                        *("--config", str(config)),
                    ],
                    stdout=log,
                    stderr=log,
                    env=plain_environment(),
                )
            try:
                deadline = time.monotonic() + 30
                while "serving" not in made.log:
                    assert made.process.poll() is None, made.log
                    assert time.monotonic() < deadline
                    time.sleep(0.01)
                yield made
            finally:
                made.process.terminate()
                assert made.process.wait(20) == 0


def test_a_pod_has_its_role(world: World, tmp_path: Path) -> None:
    """boto3, with what Kubernetes and the manifest give it."""
    file = tmp_path / "token"
    file.write_text(world.token())
    done = subprocess.run(
        [sys.executable, "-c", WHO, world.broker.url],
        env=plain_environment(
            AWS_CONTAINER_CREDENTIALS_FULL_URI=f"{world.origin}/v1/credentials",
            AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=str(file),
        ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    session = f"arn:aws:sts::{ACCOUNT}:assumed-role/Reports/eks-shop-reports-6f9b8"
    assert done.stdout.strip() == session, done.stderr


def test_the_agent_of_aws_asks_for_it(world: World) -> None:
    found = world.eks_auth().assume_role_for_pod_identity(
        clusterName="shop", token=world.token()
    )
    assert found["subject"] == {"namespace": "shop", "serviceAccount": "reports"}
    assert found["audience"] == AUDIENCE
    assert found["assumedRoleUser"]["arn"].endswith("/Reports/eks-shop-reports-6f9b8")
    assert (
        ":podidentityassociation/shop/a-"
        in (found["podIdentityAssociation"]["associationArn"])
    )
    held = found["credentials"]
    assert held["expiration"] - datetime.now(UTC) > timedelta(minutes=50)
    sts = boto3.client(
        "sts",
        endpoint_url=world.broker.url,
        region_name=REGION,
        aws_access_key_id=held["accessKeyId"],
        aws_secret_access_key=held["secretAccessKey"],
        aws_session_token=held["sessionToken"],
    )
    assert sts.get_caller_identity()["Arn"] == found["assumedRoleUser"]["arn"]


def test_a_token_is_exchanged_once(world: World) -> None:
    token = world.token(jti="once")
    first = world.get(token)
    assert first[0] == 200
    assert [world.get(token) for _ in range(5)] == [first] * 5
    other = world.get(world.token(jti="twice"))
    assert other[1]["AccessKeyId"] != first[1]["AccessKeyId"]


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"sub": "system:serviceaccount:shop:nobody"}, "ResourceNotFoundException"),
        # It has an association, but the role's trust policy does not name it.
        ({"sub": "system:serviceaccount:shop:other"}, "AccessDeniedException"),
        ({"aud": ["sts.amazonaws.com"]}, "InvalidParameter|AccessDeniedException"),
        ({"exp": 1_000_000_000}, "ExpiredTokenException"),
        ({"sub": "reports"}, "InvalidTokenException"),
    ],
    ids=str,
)
def test_who_gets_nothing(world: World, claims: dict[str, Any], code: str) -> None:
    with pytest.raises(ClientError) as refused:
        world.eks_auth().assume_role_for_pod_identity(
            clusterName="shop", token=world.token(**claims)
        )
    assert refused.value.response["Error"]["Code"] in code.split("|")


def test_a_forged_token_gets_nothing(world: World) -> None:
    head, body, signature = world.token().split(".")
    status, answer = world.get(f"{head}.{body}.{signature[::-1]}")
    assert (status, answer["code"]) == (400, "AccessDeniedException")
    for odd in ("", "x", "a.b.c", "." * 100, "a" * 13_000, "é.é.é"):
        status, answer = world.get(odd.encode().decode("latin-1"))
        assert (status, answer["code"]) == (400, "InvalidTokenException")


def test_strangers_get_nothing(world: World) -> None:
    token = world.token()
    for name in ("X-Forwarded-For", "Origin", "Via"):
        assert world.get(token, **{name: "1"})[0] == 400
    assert world.get(token, Host="rebound.example.com")[0] == 400


def test_another_cluster_is_not_here(world: World) -> None:
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        world.eks_auth().assume_role_for_pod_identity(
            clusterName="elsewhere", token=world.token()
        )


def test_a_changed_association_counts_by_itself(world: World) -> None:
    token = world.token(jti="changed")
    assert world.get(token)[1]["RoleArn"].endswith("role/Reports")
    world.write("Archive")
    try:
        until(lambda: world.get(token)[1]["RoleArn"].endswith("role/Archive"))
        (world.folder / "agent.toml").write_text("nonsense")
        until(lambda: "the old settings stay" in world.log)
        assert world.get(token)[1]["RoleArn"].endswith("role/Archive")
    finally:
        world.write("Reports")
        until(lambda: world.get(token)[1]["RoleArn"].endswith("role/Reports"))


def test_a_hangup_reads_the_file_again(world: World) -> None:
    before = world.log.count(" again")
    world.process.send_signal(signal.SIGHUP)
    until(lambda: world.log.count(" again") > before)
    assert world.get(world.token(jti="hangup"))[0] == 200
