"""The chart, installed by Helm at a real API server, and the manifests beside it."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.scenarios.test_ways_to_run import CLUSTER, LINES
from tests.support.admission import SAMPLE as POD_ROLES
from tests.support.api_server import ApiServer, running_api_server
from tests.support.programs import installed, program_marks
from tests.unit.test_deployments import EVERYTHING, MANIFESTS, ROOT

pytestmark = program_marks("kube_apiserver")

PAGE = ROOT / "docs" / "running" / "kubernetes.md"
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


@pytest.fixture(scope="module")
def server() -> Iterator[ApiServer]:
    with running_api_server() as server:
        yield server


def helm(server: ApiServer, *words: str) -> str:
    command = [str(installed("helm")), *words, *server.helm_options]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def namespace(server: ApiServer, name: str) -> str:
    """A new one, which takes pods of the strictest standard only."""
    made = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": RESTRICTED},
    }
    assert server.apply(made, namespace=name).status_code == 201
    return name


def install(server: ApiServer, where: str, *options: str) -> list[dict[str, Any]]:
    """What the server has of the chart."""
    chart = ROOT / "charts" / "federation-broker"
    helm(server, "install", "broker", str(chart), "-n", where, *options)
    text = helm(server, "get", "manifest", "broker", "-n", where)
    return [
        server.read(each, namespace=where) for each in yaml.safe_load_all(text) if each
    ]


def pod_of(made: list[dict[str, Any]]) -> dict[str, Any]:
    """A pod as the controller would make it of the StatefulSet."""
    (pods,) = [each for each in made if each["kind"] == "StatefulSet"]
    template = pods["spec"]["template"]
    claims = [
        {"name": claim["metadata"]["name"], "emptyDir": {}}
        for claim in pods["spec"]["volumeClaimTemplates"]
    ]
    spec = {**template["spec"], "volumes": [*template["spec"]["volumes"], *claims]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "broker-0", "labels": template["metadata"]["labels"]},
        "spec": spec,
    }


def takes(server: ApiServer, made: dict[str, Any], where: str) -> None:
    """Dry and for good, without a warning, and again."""
    for dry_run in (True, False, False):
        answer = server.apply(made, namespace=where, dry_run=dry_run)
        assert answer.is_success, answer.text
        assert "warning" not in answer.headers, answer.headers["warning"]


def test_the_readmes_line_installs_the_chart(server: ApiServer) -> None:
    line = LINES[CLUSTER]
    program, *words = line.split()
    assert program == "helm"
    assert "broker-0" in helm(server, *words)
    key = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "broker-keyring"}}
    before = server.read(key, namespace="broker")["data"]
    # What the page changes later, with one more revision of the release.
    changed = PAGE.read_text("utf-8").replace("\\\n", "")
    upgrades = re.findall(r"^helm (upgrade .*)$", changed, re.MULTILINE)
    for revision, upgrade in enumerate(upgrades, 2):
        assert f"REVISION: {revision}" in helm(server, *upgrade.split())
    assert server.read(key, namespace="broker")["data"] == before


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("least", {"publicUrl": "https://broker.example.com"}),
        ("all", EVERYTHING),
        (
            "stores",
            {
                "publicUrl": "https://broker.example.com",
                "stores": "broker",
                "replicas": 2,
                "metrics": {"namespace": "monitoring", "network": "10.244.7.0/24"},
            },
        ),
    ],
)
def test_pods_of_the_chart_meet_the_strictest_standard(
    server: ApiServer, name: str, values: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    where = namespace(server, name)
    made = install(server, where, "-f", str(file))
    pod = pod_of(made)
    answer = server.apply(pod, namespace=where, dry_run=True)
    assert answer.is_success, answer.text
    # The standard is held to here: a pod that may gain rights is refused.
    (container,) = pod["spec"]["containers"]
    container["securityContext"]["allowPrivilegeEscalation"] = True
    answer = server.apply(pod, namespace=where, dry_run=True)
    assert (answer.status_code, "restricted" in answer.text) == (403, True)


@pytest.mark.parametrize("file", [MANIFESTS, POD_ROLES], ids=lambda path: path.stem)
def test_samples_are_taken_as_they_are(server: ApiServer, file: Path) -> None:
    where = namespace(server, f"sample-{file.stem}")
    for made in filter(None, yaml.safe_load_all(file.read_text())):
        takes(server, made, where)


def test_what_the_api_does_not_know_is_refused(server: ApiServer) -> None:
    where = namespace(server, "unknown")
    (pods,) = [
        each
        for each in yaml.safe_load_all(MANIFESTS.read_text())
        if each["kind"] == "StatefulSet"
    ]
    pods["spec"]["replica"] = 2
    answer = server.apply(pods, namespace=where)
    assert answer.status_code in {400, 500}
    assert "replica" in answer.text
