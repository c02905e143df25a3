"""The README's line for each way of running the broker, as a shell reads it.

No Docker, cluster or systemd is here: programs that stand for them note what they are
told, or do as much of it as can be done.
"""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.scenarios.test_first_hour import choose
from tests.support.programs import installed
from tests.support.servers import find_free_port
from tests.unit.test_compose import copy_compose_file

ROOT = Path(__file__).parents[2]
BROKER = Path(sys.executable).parent / "broker"
LINK = re.compile(r"https?://\S+/first-password\?token=\S+")
ROW = re.compile(r"^\| (?:\[)?([^]|]+?)(?:\]\([^)]*\))? \| `(.*?)`.* \|$", re.MULTILINE)
PAGE = ROOT / "docs" / "running" / "compose.md"

NOTES = """#!/bin/sh
exec {python} -c 'import json, sys; print(json.dumps(sys.argv[1:]))' {name} "$@" >>{notes}
"""
PYTHON = """#!/bin/sh
[ "$1 $2" = "-m venv" ] && mkdir -p "$3/bin" && cd "$3/bin" || exit 1
printf '#!/bin/sh\\n[ "$1" = install ] && [ -f "$2/pyproject.toml" ]\\n' >pip
printf '#!/bin/sh\\nexec {broker} "$@" --port {port}\\n' >broker
chmod +x pip broker
"""
COMPOSE = """#!/bin/sh
[ "$1" = compose ] && shift
case "$1" in
up) exec docker-compose config --quiet ;;
exec) set -a; . ./.env; shift 3; exec {broker} "$@" ;;
*) exit 1 ;;
esac
"""
HELM = """#!/bin/sh
[ "$1" = install ] && shift && exec {helm} template "$@"
"""


def section() -> str:
    text = (ROOT / "README.md").read_text("utf-8")
    return text.partition("### One line for each way")[2].partition("\n## ")[0]


LINES = dict(ROW.findall(section()))
"""By the first column."""

PYTHONS, CONTAINER, STORES, CLUSTER, SYSTEMD = (
    "from Python",
    "in a container",
    "with PostgreSQL and Redis",
    "on Kubernetes",
    "by systemd",
)


def environment(folder: Path, **programs: str) -> dict[str, str]:
    """With programs of these texts in front of the others."""
    place = folder / "programs"
    place.mkdir()
    for name, text in programs.items():
        (place / name).write_text(text)
        (place / name).chmod(0o755)
    return {
        "PATH": f"{place}:{os.environ['PATH']}",
        "HOME": str(folder),
        "BROKER_DATA_DIR": str(folder / "data"),
    }


def noted(folder: Path, line: str, program: str) -> list[list[str]]:
    """What a line tells a program that carries nothing out."""
    notes = folder / "notes"
    text = NOTES.format(python=sys.executable, name=program, notes=notes)
    subprocess.run(
        line,
        shell=True,
        check=True,
        env=environment(folder, **{program: text}),
        cwd=ROOT,
    )
    return [json.loads(each)[1:] for each in notes.read_text().splitlines()]


def test_each_way_has_a_line_and_each_line_its_test() -> None:
    assert list(LINES) == [PYTHONS, CONTAINER, STORES, CLUSTER, SYSTEMD]


def test_from_python_the_line_ends_with_a_link_that_leads_in(tmp_path: Path) -> None:
    port = find_free_port()
    text = PYTHON.format(broker=BROKER, port=port)
    url = f"http://127.0.0.1:{port}"
    with subprocess.Popen(
        LINES[PYTHONS],
        shell=True,
        cwd=ROOT,
        env={**environment(tmp_path, python3=text), "BROKER_PUBLIC_URL": url},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as running:
        try:
            assert running.stdout is not None
            # The port is open before the link is printed.
            (link,) = next(filter(None, map(LINK.findall, running.stdout)))
            assert choose(link).status_code == 303
        finally:
            os.killpg(running.pid, signal.SIGTERM)


def test_the_container_has_the_volume_and_the_port_of_the_image(tmp_path: Path) -> None:
    build, run = noted(tmp_path, LINES[CONTAINER], "docker")
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert build == ["build", "-t", (image := build[2]), "."]
    assert (run[0], run[-1]) == ("run", image)
    (volume,) = json.loads(re.findall(r"^VOLUME (.*)$", dockerfile, re.MULTILINE)[0])
    (port,) = re.findall(r"^EXPOSE (\d+)$", dockerfile, re.MULTILINE)
    assert f"broker:{volume}" in run
    assert f"127.0.0.1:{port}:{port}" in run
    command = re.findall(r"^CMD (\[.*\])$", dockerfile, re.MULTILINE)[-1]
    assert "--init" in json.loads(command)


def steps() -> str:
    """The commands of the page, to the link."""
    blocks = re.findall(r"```console\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    return "\n".join(
        line.removeprefix("$ ") for block in blocks for line in block.splitlines()
    )


@pytest.mark.parametrize("script", [LINES[STORES], steps()], ids=["line", "page"])
def test_with_stores_the_commands_end_with_a_link(tmp_path: Path, script: str) -> None:
    folder = tmp_path / "clone"
    folder.mkdir()
    copy_compose_file(folder)
    done = subprocess.run(
        ["bash", "-euc", script],
        cwd=folder,
        env=environment(tmp_path, docker=COMPOSE.format(broker=BROKER)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    url = (folder / ".env").read_text().strip().removeprefix("BROKER_PUBLIC_URL=")
    (link,) = LINK.findall(done.stdout)
    assert link.startswith(f"{url}/signin/")
    secrets = folder / "secrets"
    assert secrets.stat().st_mode & 0o777 == 0o700
    handed = yaml.safe_load((folder / "compose.yaml").read_text())["secrets"].values()
    made = {path.name: path.read_text() for path in secrets.iterdir()}
    assert {Path(secret["file"]).name for secret in handed} == set(made)
    assert made["postgres_password"] in made["broker_database_url"]
    assert made["redis_password"] in made["broker_redis_url"]


@pytest.mark.long
def test_on_kubernetes_helm_takes_the_line(tmp_path: Path) -> None:
    done = subprocess.run(
        LINES[CLUSTER],
        shell=True,
        cwd=ROOT,
        env=environment(tmp_path, helm=HELM.format(helm=installed("helm"))),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    made = [each for each in yaml.safe_load_all(done.stdout) if each]
    (pods,) = [each for each in made if each["kind"] == "StatefulSet"]
    (container,) = pods["spec"]["template"]["spec"]["containers"]
    assert container["image"].startswith("IMAGE:")
    assert container["args"][-1] == "--init"


def test_systemd_enables_the_sample(tmp_path: Path) -> None:
    (words,) = noted(tmp_path, LINES[SYSTEMD], "systemctl")
    unit = ROOT / "samples" / "systemd" / f"{words[-1]}.service"
    assert words[:-1] == ["enable", "--now"]
    assert "[Install]" in unit.read_text()
