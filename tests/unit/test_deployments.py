"""The files that run a broker elsewhere are sound, as far as that can be seen here."""

import base64
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from broker.actions.models import _VERSIONS
from broker.agent.configuration import load_settings
from broker.runtime.clock import SystemClock
from broker.settings import Settings
from tests.support.admission import SAMPLE as POD_ROLES
from tests.support.admission import Policy, service_account
from tests.support.iam import make_keyring
from tests.support.programs import installed

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "samples"
UNITS = {
    SAMPLES / "systemd" / "broker.service": "/opt/broker/bin/broker",
    SAMPLES / "systemd" / "broker-agent.service": "/opt/broker-agent/bin/broker",
    SAMPLES / "systemd" / "broker-agent.socket": "/usr/sbin/ip",
    SAMPLES / "protected" / "postgresql" / "database-logins.service": (
        "/opt/database-logins/bin/python"
    ),
}
CHART = ROOT / "charts" / "federation-broker"
MANIFESTS = ROOT / "samples" / "kubernetes" / "broker.yaml"
PROGRAMS = ROOT / ".venv-programs" / "bin"
SETTINGS = {f"BROKER_{name.upper()}" for name in Settings.model_fields}


def dockerfile() -> list[str]:
    """The instructions of the image's last stage."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    return text[text.rindex("\nFROM ") :].splitlines()


def test_the_image_does_not_run_as_root() -> None:
    # A name cannot be checked by Kubernetes' runAsNonRoot.
    (user,) = [line.split()[1] for line in dockerfile() if line.startswith("USER ")]
    assert int(user) > 0


def test_the_image_writes_to_volumes_only() -> None:
    """So its root file system can be read-only."""
    (volumes,) = [line for line in dockerfile() if line.startswith("VOLUME ")]
    data = re.search(r"BROKER_DATA_DIR=(\S+)", " ".join(dockerfile()))
    assert data is not None
    assert f'"{data[1]}"' in volumes
    assert "PYTHONDONTWRITEBYTECODE=1" in " ".join(dockerfile())


def test_the_image_has_the_models_that_are_read() -> None:
    kept = set(re.findall(r"! -name (\S+)", (ROOT / "Dockerfile").read_text()))
    # The credentials of an `aws login` sign upstreams' calls, too.
    assert kept == {*_VERSIONS, "signin"} - {"broker"}


def test_the_image_says_whether_it_is_healthy() -> None:
    (check,) = [line for line in dockerfile() if line.startswith("HEALTHCHECK ")]
    assert "/readyz" in check


@pytest.mark.parametrize("sample", UNITS, ids=lambda path: path.name)
def test_systemd_accepts_the_unit(sample: Path, tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd is not installed")
    unit = tmp_path / sample.name
    # Neither the program nor the user is on this machine.
    for each in sample.parent.glob(f"{sample.stem}.*"):  # units that need each other
        text = each.read_text().replace(UNITS[each], "/bin/true")
        (tmp_path / each.name).write_text(
            re.sub(
                "^(User|Group)=broker(-agent)?$", r"\1=daemon", text, flags=re.MULTILINE
            )
        )
    done = subprocess.run(
        [program, "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    problems = [line for line in done.stderr.splitlines() if sample.name in line]
    assert problems == []


def test_commands_run_as_the_service_does(tmp_path: Path) -> None:
    for name in ("systemd-run", "sudo"):
        fake = tmp_path / name
        fake.write_text(f'#!/bin/sh\necho "{name}" "$@"\n')
        fake.chmod(0o755)
    (tmp_path / "id").symlink_to("/bin/echo")  # "-u": not root
    path = f"{tmp_path}:{os.environ['PATH']}"

    def run() -> str:
        words = [SAMPLES / "systemd" / "broker", "audit", "--json", "a b"]
        return subprocess.run(
            words, env={"PATH": path}, capture_output=True, text=True, check=True
        ).stdout

    assert run() == f"sudo -- {SAMPLES}/systemd/broker audit --json a b\n"
    (tmp_path / "id").unlink()
    (tmp_path / "id").write_text("#!/bin/sh\necho 0\n")
    (tmp_path / "id").chmod(0o755)
    told = run()
    assert told.startswith("systemd-run --pipe ")
    assert told.endswith(" /opt/broker/bin/broker audit --json a b\n")
    unit = (SAMPLES / "systemd" / "broker.service").read_text()
    for name, option in (
        *(("User", "property=User"), ("Group", "property=Group")),
        *(("EnvironmentFile", "property=EnvironmentFile"), ("Environment", "setenv")),
        ("UMask", "property=UMask"),
    ):
        (value,) = re.findall(f"^{name}=(.*)$", unit, flags=re.MULTILINE)
        assert f" --{option}={value} " in told


@pytest.mark.parametrize("name", ["agent.toml", "sidecar.toml"])
def test_the_agent_understands_its_samples(name: str) -> None:
    settings = load_settings(SAMPLES / "machines" / name)
    assert settings.identity.is_instance


def pod_with_an_agent() -> tuple[str, dict[str, Any]]:
    """The agent's settings and the pod in docs/pods.md."""
    page = (ROOT / "docs" / "pods.md").read_text()
    ((settings, pod),) = re.findall(
        r"```toml\n(.*?)```.*?```yaml\n(.*?)```", page, flags=re.DOTALL
    )
    return settings, yaml.safe_load(pod)


def test_the_agent_in_a_pod_and_its_program_fit_together(tmp_path: Path) -> None:
    text, pod = pod_with_an_agent()
    path = tmp_path / "agent.toml"
    path.write_text(text)
    settings = load_settings(path)
    (agent,), (program,) = pod["spec"]["initContainers"], pod["spec"]["containers"]
    mounts = {mount["name"]: mount["mountPath"] for mount in agent["volumeMounts"]}
    assert str(settings.identity.web_identity_token_file) == (
        f"{mounts['broker-token']}/token"
    )
    variables = {entry["name"]: entry["value"] for entry in program["env"]}
    file = variables["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"]
    assert file == str(settings.container.token_file) == f"{mounts['shared']}/token"
    uri = variables["AWS_CONTAINER_CREDENTIALS_FULL_URI"]
    assert uri == f"http://{settings.container.listen[0]}/"
    assert [mount["mountPath"] for mount in program["volumeMounts"]] == [
        mounts["shared"]
    ]
    assert {volume["name"] for volume in pod["spec"]["volumes"]} == set(mounts)


def test_the_socket_gives_the_agent_what_it_listens_for() -> None:
    unit = (SAMPLES / "systemd" / "broker-agent.socket").read_text()
    assert "FileDescriptorName=metadata" in unit
    service = (SAMPLES / "systemd" / "broker-agent.service").read_text()
    assert "Requires=broker-agent.socket" in service


def test_compose_accepts_the_sidecar(tmp_path: Path) -> None:
    for file in (SAMPLES / "machines").iterdir():
        shutil.copy(file, tmp_path)
    (tmp_path / "join-token").touch()
    done = subprocess.run(
        ["docker-compose", "config", "-q"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = yaml.safe_load((tmp_path / "compose.yaml").read_text())["services"]
    settings = load_settings(tmp_path / "sidecar.toml")
    shared = str(settings.container.token_file).rpartition("/")[0]
    assert f"token:{shared}" in told["agent"]["volumes"]
    assert f"state:{settings.state_dir}" in told["agent"]["volumes"]
    uri = told["workload"]["environment"]["AWS_CONTAINER_CREDENTIALS_FULL_URI"]
    assert uri == f"http://{settings.container.listen[0]}/"


def manifests() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(MANIFESTS.read_text()))


def container() -> dict[str, Any]:
    (results,) = [each for each in manifests() if each["kind"] == "StatefulSet"]
    (only,) = results["spec"]["template"]["spec"]["containers"]
    return {**only, "pod": results["spec"]["template"]["spec"]}


def test_the_manifests_set_what_exists() -> None:
    (settings,) = [each for each in manifests() if each["kind"] == "ConfigMap"]
    assert set(settings["data"]) <= SETTINGS


def test_pods_have_no_rights_to_spare() -> None:
    made = container()
    assert made["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert made["pod"]["securityContext"]["runAsNonRoot"] is True
    assert made["pod"]["automountServiceAccountToken"] is False


def test_what_pods_write_is_on_volumes() -> None:
    (settings,) = [each for each in manifests() if each["kind"] == "ConfigMap"]
    made = container()
    mounted = {mount["mountPath"] for mount in made["volumeMounts"]}
    data = settings["data"]
    assert data["BROKER_DATA_DIR"] in mounted
    assert str(Path(data["BROKER_KEYRING_FILE"]).parent) in mounted
    assert {"/tmp", "/run/secrets"} <= mounted
    volumes = {each["name"] for each in made["pod"]["volumes"]} | {"data"}
    assert {mount["name"] for mount in made["volumeMounts"]} == volumes


def rendered(*values: str) -> str:
    """What Helm makes of the chart, without a cluster."""
    command = [str(installed("helm")), "template", "broker", str(CHART), *values]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.long
def test_the_manifests_are_the_chart_rendered() -> None:
    text = rendered("-f", str(CHART / "values-postgresql.yaml"))
    assert MANIFESTS.read_text().partition("---\n")[2] == text.removeprefix("---\n")


@pytest.mark.long
def test_the_chart_makes_a_master_key_for_a_new_database(tmp_path: Path) -> None:
    text = rendered("--set", "publicUrl=https://broker.example.com")
    (secret,) = [o for o in yaml.safe_load_all(text) if o["kind"] == "Secret"]
    assert secret["immutable"] is True
    path = tmp_path / "keyring.json"
    path.write_bytes(base64.b64decode(secret["data"]["keyring.json"]))
    path.chmod(0o400)
    make_keyring(path, SystemClock())
    (tmp_path / "all.yaml").write_text(text)
    validate(tmp_path / "all.yaml")
    with pytest.raises(subprocess.CalledProcessError) as refused:
        rendered("--set", "publicUrl=https://broker.example.com,replicas=2")
    assert "several replicas need stores" in refused.value.stderr


EVERYTHING = {
    "publicUrl": "https://broker.example.com",
    "imagePullSecrets": [{"name": "registry"}],
    "authorities": "corp-ca",
    "directories": "corp-directories",
    "organisations": "corp-organisations",
    "volumes": [{"name": "more", "configMap": {"name": "more"}}],
    "volumeMounts": [{"name": "more", "mountPath": "/etc/more", "readOnly": True}],
    "metrics": {"namespace": "monitoring", "network": "10.244.7.0/24"},
    "serviceAccount": {"annotations": {"example.com/role": "broker"}},
    "nodeSelector": {"pool": "identity"},
    "tolerations": [{"key": "identity", "operator": "Exists", "effect": "NoSchedule"}],
    "affinity": {
        "podAntiAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": [
                {
                    "topologyKey": "kubernetes.io/hostname",
                    "labelSelector": {
                        "matchLabels": {"app.kubernetes.io/name": "broker"}
                    },
                }
            ]
        }
    },
}


@pytest.mark.long
def test_the_chart_puts_files_and_pods_where_its_values_say(tmp_path: Path) -> None:
    values = tmp_path / "values.yaml"
    values.write_text(yaml.safe_dump(EVERYTHING))
    text = rendered("-f", str(values))
    (tmp_path / "all.yaml").write_text(text)
    validate(tmp_path / "all.yaml")
    made = {each["kind"]: each for each in yaml.safe_load_all(text)}
    pod = made["StatefulSet"]["spec"]["template"]["spec"]
    for name in ("imagePullSecrets", "nodeSelector", "tolerations", "affinity"):
        assert pod[name] == EVERYTHING[name]
    (only,) = pod["containers"]
    mounts = {mount["mountPath"]: mount["name"] for mount in only["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    for setting, kind in (
        ("BROKER_CA_FILE", "configMap"),
        ("BROKER_DIRECTORIES_FILE", "secret"),
        ("BROKER_ORGANISATIONS_FILE", "secret"),
    ):
        folder = str(Path(made["ConfigMap"]["data"][setting]).parent)
        assert kind in volumes[mounts[folder]]
    assert volumes["directories"]["secret"]["defaultMode"] == 0o440
    assert mounts["/etc/more"] == "more"
    assert pod["serviceAccountName"] == made["ServiceAccount"]["metadata"]["name"]
    annotations = made["ServiceAccount"]["metadata"]["annotations"]
    assert annotations == {"example.com/role": "broker"}
    sources = made["NetworkPolicy"]["spec"]["ingress"][0]["from"]
    assert all(source["podSelector"]["matchLabels"] for source in sources)
    own = rendered("-f", str(values), "--set", "serviceAccount.name=mine")
    assert "kind: ServiceAccount" not in own
    assert "serviceAccountName: mine" in own


@pytest.mark.long
def test_metrics_are_not_for_all_pods() -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        rendered(
            "--set",
            "publicUrl=https://broker.example.com,metrics.network=10.244.0.0/16",
        )
    assert "must be narrower" in refused.value.stderr


def reference(schema: dict[str, Any], values: Any, path: str = "") -> list[str]:
    """A row for each value that the chart has, by its schema and its defaults."""
    lines = []
    for name, entry in schema["properties"].items():
        place = f"{path}.{name}" if path else name
        if "description" in entry:
            text = json.dumps(values[name], ensure_ascii=False)
            lines.append(f"| `{place}` | `{text}` | {entry['description']} |")
        elif "properties" in entry:
            lines += reference(entry, values[name], place)
        else:
            assert place == "global", place
    return lines


def values_page() -> str:
    """``docs/running/chart-values.md``."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    lines = [
        "# Values of the chart",
        "",
        "What `helm install` takes, from the chart's schema, which refuses everything else.",
        "[On Kubernetes](kubernetes.md) shows how to use it.",
        "",
        "| Value | Default | Meaning |",
        "|---|---|---|",
        *reference(schema, values),
    ]
    return "\n".join(lines) + "\n"


VALUES_PAGE = ROOT / "docs" / "running" / "chart-values.md"


def test_the_page_has_every_value_of_the_chart() -> None:
    """Written by ``python -m tests.unit.test_deployments``."""
    assert VALUES_PAGE.read_text("utf-8") == values_page()


def test_only_proxies_reach_the_pods() -> None:
    (policy,) = [each for each in manifests() if each["kind"] == "NetworkPolicy"]
    spec, pod = policy["spec"], container()["pod"]
    assert spec["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "broker"}
    assert spec["policyTypes"] == ["Ingress"]
    (allowed,) = spec["ingress"]
    for entry in allowed["from"]:
        assert entry["namespaceSelector"]["matchLabels"]
        assert entry["podSelector"]["matchLabels"]
    assert pod["enableServiceLinks"] is False


def found(name: str) -> str:
    program = PROGRAMS / name
    if not program.exists():
        assert os.environ.get("CI") != "true", f"{name} is missing: .ci/setup long"
        pytest.skip(f"{name} is not installed: .ci/setup long")
    return str(program)


def validate(*files: Path) -> None:
    done = subprocess.run(
        [found("kubernetes-validate"), "--strict", "--quiet", *map(str, files)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.long
def test_kubernetes_knows_every_member_of_the_manifests(tmp_path: Path) -> None:
    _, pod = pod_with_an_agent()
    made = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "reports"}, **pod}
    (tmp_path / "pod.json").write_text(json.dumps(made))
    validate(MANIFESTS, POD_ROLES, tmp_path / "pod.json")


@pytest.mark.long
def test_a_pod_with_a_role_is_one(tmp_path: Path) -> None:
    policy = Policy.of_kind("MutatingAdmissionPolicy")
    role = {"role-arn": "arn:aws:iam::123456789012:role/Reports"}
    container = {"name": "main", "image": "i"}
    kinds = {"containers": [container], "initContainers": [{**container, "name": "x"}]}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web"},
        "spec": kinds,
    }
    made = policy.mutate(pod, service_account("default", role))
    assert made != pod
    (tmp_path / "pod.json").write_text(json.dumps(made))
    validate(tmp_path / "pod.json")


@pytest.mark.long
def test_hadolint_finds_nothing() -> None:
    done = subprocess.run(
        [found("hadolint"), str(ROOT / "Dockerfile")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


if __name__ == "__main__":
    VALUES_PAGE.write_text(values_page(), "utf-8")
