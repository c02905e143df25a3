"""``broker webhook`` over TLS, and what a program in a changed pod can do."""

import http.client
import json
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.broker import ACCOUNT, REGION, running_broker
from tests.support.certificates import issue
from tests.support.machine_agent import plain_environment, until
from tests.support.oidc_issuer import serving
from tests.support.servers import find_free_port
from tests.support.tls import tls_before
from tests.support.webhook import (
    Cluster,
    RunningWebhook,
    running_cluster,
    running_webhook,
    served_by,
)

REVIEWS = Path(__file__).parents[1] / "unit" / "webhook" / "reviews"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/Reports"
SUBJECT = "system:serviceaccount:shop:reports"
NAMED = {"eks.amazonaws.com/role-arn": ROLE}
REVIEW = json.loads((REVIEWS / "deployment.json").read_text())
BODY = json.dumps(REVIEW).encode()
PORT = find_free_port()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(tmp_path_factory.mktemp("cluster")) as found:
        found.annotations["shop/reports"] = NAMED
        yield found


@pytest.fixture(scope="module")
def webhook(
    tmp_path_factory: pytest.TempPathFactory, cluster: Cluster
) -> Iterator[RunningWebhook]:
    words = (f"--sts-endpoint=https://localhost:{PORT}", f"--region={REGION}")
    folder = tmp_path_factory.mktemp("webhook")
    with running_webhook(folder, cluster, *words) as found:
        yield found


def test_a_program_in_the_pod_has_the_role(
    webhook: RunningWebhook, tmp_path: Path
) -> None:
    """boto3 with only the pod's variables; the file is where the volume would be."""
    pod = webhook.admit(REVIEW)
    (container,) = pod["spec"]["containers"]
    (source,) = pod["spec"]["volumes"][-1]["projected"]["sources"]
    audience = source["serviceAccountToken"]["audience"]
    mount = container["volumeMounts"][-1]
    assert mount["name"] == pod["spec"]["volumes"][-1]["name"]
    variables = {
        one["name"]: one["value"].replace(mount["mountPath"], str(tmp_path))
        for one in container["env"]
    }
    with serving() as server:
        host = server.host_and_path
        (tmp_path / source["serviceAccountToken"]["path"]).write_text(
            server.issuer.token(claims={"sub": SUBJECT, "aud": audience})
        )
        with (
            running_broker(tmp_path / "broker", internal_issuers=host) as broker,
            tls_before(tmp_path, PORT, broker.port) as authority,
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
            code = (
                "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])"
            )
            done = subprocess.run(
                [sys.executable, "-c", code],
                env=plain_environment(**variables, AWS_CA_BUNDLE=str(authority)),
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
    assert "assumed-role/Reports/" in done.stdout, done.stderr


def test_a_pod_of_another_account_stays_as_it_is(webhook: RunningWebhook) -> None:
    other = json.loads(BODY)
    other["request"]["object"]["spec"]["serviceAccountName"] = "nobody"
    assert webhook.admit(other) == other["request"]["object"]


def test_when_the_cluster_does_not_say_the_failure_policy_decides(
    webhook: RunningWebhook, cluster: Cluster
) -> None:
    other = json.loads(BODY)
    other["request"]["namespace"] = "elsewhere"
    body = json.dumps(other).encode()
    cluster.status = 403
    try:
        assert webhook.ask("POST", "/mutate", body)[0] == 503
    finally:
        cluster.status = 0
    assert webhook.ask("POST", "/mutate", body)[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/healthz", b"", 200),
        ("GET", "/mutate", b"", 405),
        ("POST", "/", BODY, 404),
        ("POST", "/mutate", b"{}", 400),
        ("POST", "/mutate", b"[" * 100_000, 400),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_other_requests(
    webhook: RunningWebhook, method: str, path: str, body: bytes, status: int
) -> None:
    assert webhook.ask(method, path, body)[0] == status


def test_a_large_pod_is_read_and_a_larger_one_is_not(webhook: RunningWebhook) -> None:
    large = json.loads(BODY)
    metadata = large["request"]["object"]["metadata"]
    metadata["annotations"] = {"note": "x" * 3_000_000}
    assert webhook.admit(large)["metadata"] == metadata
    # The server may close before all of it is sent.
    try:
        status, _ = webhook.ask("POST", "/mutate", b" " * 5_000_000)
    except OSError:
        status = 413
    assert status == 413
    assert webhook.ask("GET", "/healthz")[0] == 200


def test_bodies_that_never_end_are_bounded_together(webhook: RunningWebhook) -> None:
    """A client with most of a body sent gets no more memory than for eight."""
    context = ssl.create_default_context(cadata=webhook.authority.pem)
    held = []
    try:
        for _ in range(16):
            one = http.client.HTTPSConnection(
                "localhost", webhook.port, context=context, timeout=30
            )
            held.append(one)
            one.putrequest("POST", "/mutate")
            one.putheader("Content-Length", "4194304")
            one.endheaders()
            try:
                one.send(b" " * 4_000_000)
            except OSError:
                continue
        status = Path(f"/proc/{webhook.process.pid}/status").read_text()
        (line,) = [each for each in status.splitlines() if each.startswith("VmHWM:")]
        assert int(line.split()[1]) / 1024 < 160
    finally:
        for one in held:
            one.close()
    until(lambda: webhook.ask("POST", "/mutate", BODY)[0] == 200)


def test_a_new_certificate_is_served_without_a_restart(
    webhook: RunningWebhook,
) -> None:
    """A certificate that does not fit its key changes nothing."""
    tls = webhook.folder / "tls"
    other = issue("other", is_authority=True)
    (tls / "tls.crt").write_text(other.pem)
    until(lambda: "the old certificate stays" in webhook.log)
    assert webhook.ask("GET", "/healthz")[0] == 200
    new = issue("new", is_authority=True)
    served_by(new, tls)
    until(lambda: "read the certificate again" in webhook.log)
    webhook.authority = new
    assert webhook.ask("GET", "/healthz")[0] == 200
