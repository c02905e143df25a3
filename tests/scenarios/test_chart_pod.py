"""The chart's pod as processes of this machine: its files, settings, user and rights.

This machine's root file system stands for the image, with a layer over it that has what
the pod mounts, with links, owners and modes as the kubelet sets them.
"""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
import yaml

from tests.scenarios.test_recipes import RECIPES
from tests.support.servers import find_free_port
from tests.support.slapd import (
    PASSWORD,
    SERVICE_PASSWORD,
    Slapd,
    dn_of,
    group,
    person,
    start_slapd,
)
from tests.unit.test_deployments import ROOT, rendered

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

PAGE = ROOT / "docs" / "running" / "kubernetes.md"
ACCOUNT = "123456789012"
PROVIDER = f"arn:aws:iam::{ACCOUNT}:ldap-provider/corp"
PROGRAM = "/opt/broker/bin/broker"
_TRIES = 600


@dataclass(frozen=True)
class Pod:
    """A pod that runs, and how to run something in it."""

    process: subprocess.Popen[str]
    url: str
    log: Path
    inside: tuple[str, ...]

    def exec(self, *words: str, stdin: str = "") -> str:
        """As `kubectl exec -i`."""
        target = ("nsenter", "-t", str(self.process.pid), "--mount", "--root", "--wd")
        done = subprocess.run(
            [*target, *self.inside, *words],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def mount(
    layer: Path,
    place: str,
    volume: Mapping[str, Any],
    files: dict[str, str],
    group: int,
) -> None:
    """Lay a volume's files as the kubelet does for a pod with this ``fsGroup``."""
    folder = layer / place.lstrip("/")
    data = folder / "..2026_01_01"
    data.mkdir(parents=True)
    (folder / "..data").symlink_to(data.name)
    source = volume.get("secret") or volume["configMap"]
    for name, text in files.items():
        (data / name).write_text(text)
        (data / name).chmod(source.get("defaultMode", 0o644) | 0o440)
        os.chown(data / name, 0, group)
        (folder / name).symlink_to(f"..data/{name}")
    for each in (folder, data):
        os.chown(each, 0, group)


def layer_of(
    folder: Path, spec: Mapping[str, Any], mounted: Mapping[str, dict[str, str]]
) -> None:
    """The layer with all that the container mounts; ``mounted`` by names of objects."""
    security = spec["securityContext"]
    (container,) = spec["containers"]
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    for entry in container["volumeMounts"]:
        volume = volumes.get(entry["name"], {})
        place = folder / entry["mountPath"].lstrip("/")
        if source := volume.get("secret") or volume.get("configMap"):
            name = source.get("secretName") or source["name"]
            mount(
                folder, entry["mountPath"], volume, mounted[name], security["fsGroup"]
            )
            continue
        place.mkdir(parents=True)
        os.chown(place, 0, security["fsGroup"])
        place.chmod(0o2775 if entry["name"] == "data" else 0o1777)
    program = folder / PROGRAM.lstrip("/")
    program.parent.mkdir(parents=True)
    program.symlink_to(Path(sys.executable).parent / "broker")


@contextmanager
def running_pod(
    folder: Path, objects: list[dict[str, Any]], **mounted: dict[str, str]
) -> Iterator[Pod]:
    """The pod of these objects, which have their own Secrets, and of what is ``mounted``."""
    made = {each["kind"]: each for each in objects}
    secret = made["Secret"]
    mounted[secret["metadata"]["name"]] = {
        name: base64.b64decode(text).decode() for name, text in secret["data"].items()
    }
    spec = made["StatefulSet"]["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    for name in ("upper", "work", "root"):
        (folder / name).mkdir()
    layer_of(folder / "upper", spec, mounted)
    user = str(spec["securityContext"]["runAsUser"])
    limits = [
        *("setpriv", "--reuid", user, "--regid", user, "--clear-groups"),
        *("--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"),
    ]
    values = {"PATH": f"{Path(PROGRAM).parent}:/usr/sbin:/usr/bin:/sbin:/bin"}
    values |= made["ConfigMap"]["data"]
    inside = ("env", "-i", *(f"{k}={v}" for k, v in values.items()), *limits)
    words = list(container["args"])
    port = find_free_port()
    words[words.index("--port") + 1] = str(port)
    words[words.index("--host") + 1] = "127.0.0.1"
    # What the image has below /opt is in folders of who runs the tests here.
    opened = {
        str(parent).lstrip("/")
        for each in (ROOT, Path(sys.executable).parent, Path(sys.base_prefix))
        for parent in (each, *each.parents)
    }
    script = (
        f"mount -t overlay overlay -o lowerdir=/,upperdir={folder}/upper,"
        f"workdir={folder}/work {folder}/root && cd {folder}/root"
        f" && chmod o+x {' '.join(sorted(opened - {''}))}"
        " && mount --bind /dev dev && mount -t proc proc proc && mount -o remount,bind,ro ."
        " && for each in var/lib/broker tmp; do"
        f" mount --bind {folder}/upper/$each $each; done"
        ' && exec chroot . "$@"'
    )
    log = folder / "log"
    with (
        log.open("w") as output,
        subprocess.Popen(
            [
                *("unshare", "--mount", "--propagation", "private"),
                *("sh", "-ec", script, "sh", *inside, *words),
            ],
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process,
    ):
        try:
            url = f"http://127.0.0.1:{port}"
            probe = container["readinessProbe"]["httpGet"]["path"]
            wait_until_ready(process, url + probe, log)
            yield Pod(process, url, log, inside)
        finally:
            process.terminate()


def wait_until_ready(process: subprocess.Popen[str], url: str, log: Path) -> None:
    for _ in range(_TRIES):
        assert process.poll() is None, log.read_text()
        try:
            if httpx.get(url).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    pytest.fail(log.read_text())


def files_of_the_page(server: Slapd) -> dict[str, str]:
    """What the page's commands put into the Secret, by the recipe."""
    recipe = (RECIPES / "ldap.md").read_text("utf-8")
    described = re.findall(r"```yaml\n(Directories:.*?)```", recipe, re.DOTALL)[0]
    described = described.replace(
        "ldaps://ldap.example.com", f"ldaps://localhost:{server.tls_port}"
    )
    have = {
        "directories.yaml": described + f'AssumeRoleWithLDAPIdentity: ["{PROVIDER}"]\n',
        "bind-password": SERVICE_PASSWORD,
        "ca.pem": server.ca_file.read_text(),
    }
    page = PAGE.read_text("utf-8").replace("\\\n", " ")
    (command,) = re.findall(r"^kubectl .*corp-directories.*$", page, re.MULTILINE)
    return {name: have[name] for name in re.findall(r"--from-file=(\S+)", command)}


def values_of_the_page() -> list[str]:
    """What the page's upgrades set."""
    page = PAGE.read_text("utf-8").replace("\\\n", " ")
    commands = re.findall(r"^helm upgrade (.*)$", page, re.MULTILINE)
    return re.findall(r"--set=?\S+", " ".join(commands).replace("--set ", "--set="))


def test_people_of_a_directory_sign_in_by_the_chart_alone(tmp_path: Path) -> None:
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("needs root, for a root file system and a user of its own")
    text = rendered(
        "--set", "publicUrl=https://broker.example.com", *values_of_the_page()
    )
    objects = [each for each in yaml.safe_load_all(text) if each]
    recipe = (RECIPES / "ldap.md").read_text("utf-8")
    account = re.findall(r"```yaml\n(Accounts:.*?)```", recipe, re.DOTALL)[0]
    entries = (person("ann"), group("staff", dn_of("ann")))
    with start_slapd(*entries) as server:
        files = files_of_the_page(server)
        authorities = {"ca.pem": server.ca_file.read_text()}
        mounted = {"corp-directories": files, "corp-ca": authorities}
        with running_pod(tmp_path, objects, **mounted) as pod:
            pod.exec("broker", "apply", "-", stdin=account)
            checks = pod.exec("broker", "providers", "test", PROVIDER, "--user", "ann")
            assert "ok   Exactly one entry matches the name" in checks
            assert "ok   A group is mapped to a role" in checks
            form = {"Action": "AssumeRoleWithLDAPIdentity", "Version": "2011-06-15"}
            person_ = {"LDAPUsername": "ann", "LDAPPassword": PASSWORD}
            answer = httpx.post(
                pod.url,
                data={**form, **person_},
                headers={"host": "broker.example.com"},
            )
            assert answer.status_code == 200, answer.text
            assert f"arn:aws:sts::{ACCOUNT}:assumed-role/Staff/ann" in answer.text
            assert "first-password?token=" in pod.log.read_text()
            warnings = [
                line
                for line in pod.log.read_text().splitlines()
                if line.startswith("{") and json.loads(line)["level"] != "info"
            ]
            assert warnings == []
