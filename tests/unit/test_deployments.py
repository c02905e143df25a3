"""The files that run a broker elsewhere are sound, as far as that can be seen here."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from broker.settings import Settings

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "samples"
UNITS = {
    SAMPLES / "systemd" / "broker.service": "/opt/broker/bin/broker",
    SAMPLES / "protected" / "postgresql" / "database-logins.service": (
        "/opt/database-logins/bin/python"
    ),
}
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
    text = sample.read_text().replace(UNITS[sample], "/bin/true")
    unit.write_text(
        re.sub("^(User|Group)=broker$", r"\1=daemon", text, flags=re.MULTILINE)
    )
    done = subprocess.run(
        [program, "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    problems = [line for line in done.stderr.splitlines() if sample.name in line]
    assert problems == []


def manifests() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(MANIFESTS.read_text()))


def container() -> dict[str, Any]:
    (found,) = [each for each in manifests() if each["kind"] == "StatefulSet"]
    (only,) = found["spec"]["template"]["spec"]["containers"]
    return {**only, "pod": found["spec"]["template"]["spec"]}


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


def found(name: str) -> str:
    program = PROGRAMS / name
    if not program.exists():
        assert os.environ.get("CI") != "true", f"{name} is missing: .ci/setup long"
        pytest.skip(f"{name} is not installed: .ci/setup long")
    return str(program)


@pytest.mark.long
def test_kubernetes_knows_every_member_of_the_manifests() -> None:
    done = subprocess.run(
        [found("kubernetes-validate"), "--strict", "--quiet", str(MANIFESTS)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.long
def test_hadolint_finds_nothing() -> None:
    done = subprocess.run(
        [found("hadolint"), str(ROOT / "Dockerfile")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
