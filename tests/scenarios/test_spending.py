"""Tokens of an account's issuer open other programs, which are not changed for it.

Each recipe is done as its page says, on the real program. Then what it says is refused.
"""

import json
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import jwt
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.support.broker import ACCOUNT, Key, RunningBroker, running_broker
from tests.support.ceph import radosgw
from tests.support.servers import find_free_port
from tests.support.walk import Walk, read_steps, walking

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "docs" / "recipes"
PROGRAMS = ROOT / ".venv-programs" / "bin"
STS = "https://broker.example.com"
OTHERS = f"""
Accounts:
  "{ACCOUNT}":
    Users:
      - UserName: nightly
        Policies:
          - PolicyName: Roles
            PolicyDocument:
              Version: 2012-10-17
              Statement: {{Effect: Allow, Action: sts:AssumeRole, Resource: "*"}}
    Roles:
      - RoleName: Other
        AssumeRolePolicyDocument:
          Version: 2012-10-17
          Statement:
            Effect: Allow
            Principal: {{AWS: "arn:aws:iam::{ACCOUNT}:root"}}
            Action: sts:AssumeRole
        Policies:
          - PolicyName: Tokens
            PolicyDocument: &tokens
              Version: 2012-10-17
              Statement:
                {{Effect: Allow, Action: sts:GetWebIdentityToken, Resource: "*"}}
"""

pytestmark = pytest.mark.long


@dataclass
class Job:
    """A shell that follows a page, with a broker in place of the page's."""

    here: Walk
    broker: RunningBroker
    root: Key
    page: Path
    nightly: Key | None = None

    def follow(self, *sections: str) -> None:
        self.here.do(read_steps(self.page, *sections))

    def prepare(self) -> None:
        """Do the broker's part, and take up the role's credentials."""
        self.follow("At the broker")
        (self.broker.folder / "others.yaml").write_text(OTHERS)
        self.broker.command("apply", str(self.broker.folder / "others.yaml"))
        iam = self.broker.client("iam", self.root)
        made = iam.create_access_key(UserName="nightly")["AccessKey"]
        self.nightly = Key.of(made)
        key = self.assume("Reports")
        self.here.run(
            f"export AWS_ACCESS_KEY_ID={key.access_key_id}"
            f" AWS_SECRET_ACCESS_KEY={key.secret_access_key}"
            f" AWS_SESSION_TOKEN={key.session_token}"
        )

    def assume(self, role: str) -> Key:
        answer = self.broker.client("sts", self.nightly).assume_role(
            RoleArn=f"arn:aws:iam::{ACCOUNT}:role/{role}", RoleSessionName="nightly"
        )
        return Key.of(answer["Credentials"])

    def token(self, role: str, audience: str, algorithm: str = "RS256") -> str:
        answer = self.broker.client("sts", self.assume(role)).get_web_identity_token(
            Audience=[audience], SigningAlgorithm=algorithm
        )
        return str(answer["WebIdentityToken"])

    def widen(self) -> None:
        """Let the role ask for any audience, once it was seen that it may not."""
        with pytest.raises(ClientError, match="AccessDenied"):
            self.token("Reports", "another")
        self.broker.client("iam", self.root).put_role_policy(
            RoleName="Reports",
            PolicyName="Wide",
            PolicyDocument=json.dumps(
                {
                    "Version": "2012-10-17",
                    "Statement": {
                        "Effect": "Allow",
                        "Action": "sts:GetWebIdentityToken",
                        "Resource": "*",
                    },
                }
            ),
        )
        time.sleep(1.1)  # a change counts within a second


@contextmanager
def doing(
    page: str,
    folder: Path,
    *,
    instead: Mapping[str, str],
    servers: Mapping[str, str] = {},
    environment: Mapping[str, str] = {},
) -> Iterator[Job]:
    with running_broker(folder / "broker") as broker:
        work = folder / "work"
        work.mkdir()
        path = f"{PROGRAMS}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        issuer = {
            STS: broker.url,
            STS.removeprefix("https://"): broker.url.removeprefix("http://"),
        }
        params = {**broker.environment, "AWS_PAGER": "", "PATH": path, **environment}
        walk = Walk(work, params, instead={**issuer, **instead}, servers=servers)
        root = broker.create_account()
        with walking(walk, shares_network=True) as here:
            yield Job(here, broker, root, RECIPES / page)


def client_of(service: str, url: str, key: Key | None = None) -> Any:
    """A client of another store's S3 or STS."""
    params: dict[str, Any] = {"retries": {"total_max_attempts": 1}}
    if key is None:
        return boto3.client(
            service,
            endpoint_url=url,
            region_name="us-east-1",
            config=Config(signature_version=UNSIGNED, **params),
        )
    return boto3.client(
        service,
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=key.access_key_id,
        aws_secret_access_key=key.secret_access_key,
        aws_session_token=key.session_token,
        config=Config(**params),
    )


def exchange(url: str, role: str, token: str) -> Key:
    """Credentials of a role of the store's for a token."""
    answer = client_of("sts", url).assume_role_with_web_identity(
        RoleArn=role, RoleSessionName="test", WebIdentityToken=token
    )
    return Key.of(answer["Credentials"])


def refused(call: Callable[..., object], *text: str, **named: str) -> tuple[int, str]:
    """The status and message of a refusal."""
    with pytest.raises(ClientError) as caught:
        call(*text, **named)
    answer = caught.value.response
    status = answer["ResponseMetadata"]["HTTPStatusCode"]
    return status, answer.get("Error", {}).get("Message", "")


def test_seaweedfs(tmp_path: Path) -> None:
    ports = {name: find_free_port() for name in ("master", "volume", "filer", "s3")}
    url = f"http://127.0.0.1:{ports['s3']}"
    options = [f"-{name}.port={port}" for name, port in ports.items()]
    options += [f"-{name}.port.grpc={find_free_port()}" for name in ports]
    options += ["-ip=127.0.0.1", "-s3.port.iceberg=0", "-s3.port.lance=0"]
    with doing(
        "seaweedfs.md",
        tmp_path,
        instead={
            "127.0.0.1:8333": f"127.0.0.1:{ports['s3']}",
            # It keeps running for minutes after it was asked to end.
            "weed server": " ".join(
                ["timeout --foreground -k 1 900 weed server", *options]
            ),
        },
        # A volume for objects is available last of all.
        servers={"timeout": f"http://127.0.0.1:{ports['master']}/dir/assign"},
    ) as job:
        job.prepare()
        job.follow("At SeaweedFS")
        job.follow("The job")
        role = "arn:aws:iam::role/ReportWriter"
        for algorithm in ("RS256", "ES384"):
            key = exchange(url, role, job.token("Reports", "seaweedfs", algorithm))
            s3 = client_of("s3", url, key)
            assert s3.get_object(Bucket="reports", Key="today.txt")["Body"].read()
        assert refused(s3.delete_object, Bucket="reports", Key="today.txt")[0] == 403
        assert refused(s3.list_objects_v2, Bucket="other")[0] == 403
        assert refused(s3.create_bucket, Bucket="other")[0] == 403
        job.widen()
        other = job.token("Reports", "another")
        assert "audience" in refused(exchange, url, role, other)[1]
        wrong = job.token("Other", "seaweedfs")
        assert "trust policy" in refused(exchange, url, role, wrong)[1]
        good = job.token("Reports", "seaweedfs")
        head, body, signature = good.split(".")
        forged = f"{head}.{body}.{wrong.rpartition('.')[2]}"
        assert refused(exchange, url, role, forged)[0] in {400, 403}
        assert len(signature) == len(forged.rpartition(".")[2])


def test_openbao(tmp_path: Path) -> None:
    port = find_free_port()
    with doing(
        "openbao.md",
        tmp_path,
        instead={"127.0.0.1:8200": f"127.0.0.1:{port}"},
        servers={"bao server": f"http://127.0.0.1:{port}/v1/sys/health"},
        environment={"VAULT_CLI_NO_COLOR": "1"},
    ) as job:
        job.prepare()
        job.follow("At OpenBao")
        job.follow("The job")

        def log_in(token: str) -> None:
            (job.here.folder / "token").write_text(token)
            job.here.run(
                "BAO_TOKEN= bao write auth/broker/login role=reports jwt=@token"
            )

        job.here.run("bao kv put secret/other/database password=x")
        with pytest.raises(AssertionError, match="permission denied"):
            job.here.run(
                "BAO_TOKEN=$(cat bao-token) bao kv get -field=password"
                " secret/other/database"
            )
        job.widen()
        for algorithm in ("RS256", "ES384"):
            log_in(job.token("Reports", "openbao", algorithm))
        with pytest.raises(AssertionError, match="audience"):
            log_in(job.token("Reports", "another"))
        with pytest.raises(AssertionError, match="principal_tags/team"):
            log_in(job.token("Other", "openbao"))
        # OpenBao knows a key that is published only now.
        job.broker.command("account", "rotate-issuer-keys", ACCOUNT)
        log_in(job.token("Reports", "openbao"))


def test_ceph(tmp_path: Path) -> None:
    with (
        radosgw(tmp_path / "ceph") as gateway,
        doing(
            "ceph.md",
            tmp_path,
            instead={"http://127.0.0.1:7480": gateway.url},
            environment=gateway.environment,
        ) as job,
    ):
        job.prepare()
        job.follow("At the gateway")
        job.follow("The job")
        role = "arn:aws:iam:::role/ReportWriter"
        key = exchange(gateway.url, role, job.token("Reports", "ceph"))
        s3 = client_of("s3", gateway.url, key)
        assert s3.get_object(Bucket="reports", Key="today.txt")["Body"].read()
        assert refused(s3.delete_object, Bucket="reports", Key="today.txt")[0] == 403
        assert refused(s3.create_bucket, Bucket="other")[0] == 403
        job.widen()
        for token in (
            job.token("Reports", "another"),
            job.token("Other", "ceph"),
            # It tries only the first key, as the page says.
            job.token("Reports", "ceph", "ES384"),
        ):
            assert refused(exchange, gateway.url, role, token)[0] == 403
        old = job.token("Reports", "ceph")
        job.broker.command("account", "rotate-issuer-keys", ACCOUNT)
        assert exchange(gateway.url, role, job.token("Reports", "ceph"))
        let_new_keys_sign(job.broker)
        new = job.token("Reports", "ceph")
        assert jwt.get_unverified_header(new)["kid"] == "RSA_1"
        assert exchange(gateway.url, role, new)
        assert refused(exchange, gateway.url, role, old)[0] == 403


def let_new_keys_sign(broker: RunningBroker) -> None:
    """As if ten minutes had passed since the rotation."""
    broker.stop()
    database = broker.folder / "data" / "broker.db"
    with closing(sqlite3.connect(database)) as connection:
        ((text,),) = connection.execute("SELECT options FROM accounts")
        options = json.loads(text)
        for key in options["OutboundWebIdentityFederation"]["keys"]:
            key["signs_from"] -= 600
        connection.execute("UPDATE accounts SET options = ?", (json.dumps(options),))
        connection.commit()
    broker.start()
