"""What the admission policy adds is enough for a program in the pod."""

import json
import subprocess
import sys
from pathlib import Path

from tests.support.admission import Policy, service_account
from tests.support.broker import ACCOUNT, running_broker
from tests.support.machine_agent import plain_environment
from tests.support.oidc_issuer import serving
from tests.support.servers import find_free_port
from tests.support.tls import tls_before

SUBJECT = "system:serviceaccount:shop:reports"
CALLER = "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])"


def test_a_program_in_the_pod_has_the_role(tmp_path: Path) -> None:
    """boto3 with only the pod's variables; the file is where the volume would be."""
    role = {"role-arn": f"arn:aws:iam::{ACCOUNT}:role/Reports"}
    pod = Policy.of_kind("MutatingAdmissionPolicy").mutate(
        {
            "metadata": {"generateName": "reports-"},
            "spec": {
                "serviceAccountName": "reports",
                "containers": [{"name": "main", "image": "i"}],
            },
        },
        service_account("reports", role),
    )
    (container,) = pod["spec"]["containers"]
    (mount,) = container["volumeMounts"]
    (volume,) = pod["spec"]["volumes"]
    (source,) = volume["projected"]["sources"]
    assert mount["name"] == volume["name"]
    audience = source["serviceAccountToken"]["audience"]
    port = find_free_port()
    variables = {
        entry["name"]: entry["value"]
        .replace(mount["mountPath"], str(tmp_path))
        .replace("broker.example.com", f"localhost:{port}")
        for entry in container["env"]
    }
    with serving() as server:
        host = server.host_and_path
        (tmp_path / source["serviceAccountToken"]["path"]).write_text(
            server.issuer.token(claims={"sub": SUBJECT, "aud": audience})
        )
        with (
            running_broker(tmp_path / "broker", internal_issuers=host) as broker,
            tls_before(tmp_path, port, broker.port) as authority,
        ):
            iam = broker.client("iam", broker.create_account())
            iam.create_open_id_connect_provider(
                Url=server.issuer.url, ClientIDList=[audience]
            )
            trust = {
                "Effect": "Allow",
                "Principal": {
                    "Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/{host}"
                },
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Condition": {"StringEquals": {f"{host}:sub": SUBJECT}},
            }
            iam.create_role(
                RoleName="Reports",
                AssumeRolePolicyDocument=json.dumps(
                    {"Version": "2012-10-17", "Statement": trust}
                ),
            )
            done = subprocess.run(
                [sys.executable, "-c", CALLER],
                env=plain_environment(**variables, AWS_CA_BUNDLE=str(authority)),
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
    assert "assumed-role/Reports/" in done.stdout, done.stderr
