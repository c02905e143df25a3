import os
import re
import shlex
import subprocess
import time
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.support.servers import find_free_port

ROOT = Path(__file__).parents[2]
PASSWORD = "0123456789abcdef-of-this-test"


def copy_compose_file(folder: Path) -> None:
    """Without the project's name, which Compose 1 (in Debian 12) does not know."""
    text = (ROOT / "compose.yaml").read_text()
    (folder / "compose.yaml").write_text(
        text.replace("\nname: federation-broker\n", "")
    )


def test_the_compose_file_is_sound(tmp_path: Path) -> None:
    copy_compose_file(tmp_path)
    environment = {**os.environ, "BROKER_PUBLIC_URL": "https://broker.example.com"}
    done = subprocess.run(
        ["docker-compose", "config", "-q"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_redis_takes_its_password_unseen(tmp_path: Path) -> None:
    """The command of the compose file, with a real server in place of the image's."""
    port = find_free_port()
    secret = tmp_path / "redis_password"
    secret.write_text(PASSWORD)
    programs = tmp_path / "bin"
    programs.mkdir()
    entrypoint = programs / "docker-entrypoint.sh"
    entrypoint.write_text(
        f'#!/bin/sh\necho "$@" >{tmp_path}/arguments\n'
        f'exec "$@" --port {port} --bind 127.0.0.1\n'
    )
    entrypoint.chmod(0o755)
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    # Compose reads $$ as a dollar sign.
    command = [
        word.replace("$$", "$").replace("/run/secrets/redis_password", str(secret))
        for word in compose["services"]["redis"]["command"]
    ]
    environment = {"PATH": f"{programs}:{os.environ['PATH']}"}
    with subprocess.Popen(command, cwd=tmp_path, env=environment) as server:
        try:
            assert any(ping(port, {}) or time.sleep(0.05) for _ in range(200))
            name = Path(f"/proc/{server.pid}/comm").read_text().strip()
            assert name == "redis-server", "a shell stays in front of the server"
            assert PASSWORD not in (tmp_path / "arguments").read_text()
            assert "NOAUTH" in ping(port, {})
            assert "PONG" in ping(port, {"REDISCLI_AUTH": PASSWORD})
        finally:
            server.terminate()


def ping(port: int, environment: dict[str, str]) -> str:
    return subprocess.run(
        ["redis-cli", "-p", str(port), "ping"],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
    ).stdout


def pinned(lock: str) -> dict[str, str]:
    text = (ROOT / lock).read_text()
    assert all(
        "--hash=sha256:" in entry for entry in re.split(r"\n(?=\S)", text.strip())
    )
    return dict(re.findall(r"^([a-z0-9-]+)==([^\s;]+)", text, re.MULTILINE))


def test_the_build_backend_is_locked() -> None:
    build, dev = pinned("requirements-build.lock"), pinned("requirements-dev.lock")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert set(project["build-system"]["requires"]) <= build.keys()
    assert {name: dev[name] for name in build} == build


@pytest.mark.parametrize("file", ["Dockerfile", ".ci/setup"])
def test_nothing_is_installed_that_no_lock_has(file: str) -> None:
    text = (ROOT / file).read_text().replace("\\\n", " ")
    if locked := re.search(r"^locked=\((.*)\)$", text, re.MULTILINE):
        text = text.replace('"${locked[@]}"', locked[1])
    steps = [
        shlex.split(step.strip().removeprefix("RUN "), comments=True)
        for line in text.splitlines()
        for step in line.split("&&")
        if re.search(r"pip (install|wheel) |\$\{pip\[@\]\}", step)
    ]
    assert len(steps) >= 2
    for step in steps:
        locked = "--require-hashes" in step
        offline = {"--no-index", "--no-deps"} <= set(step)
        assert locked or offline, step
        builds = step[-1] == "."
        assert not builds or "--no-build-isolation" in step, step


def test_base_images_can_be_given_by_digest() -> None:
    images = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert set(images) == {"${PYTHON_IMAGE}"}
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    values = [service.get("image") for service in services.values()]
    values.append(services["broker"]["build"]["args"]["PYTHON_IMAGE"])
    for image in filter(None, values):
        assert re.fullmatch(r"\$\{[A-Z]+_IMAGE:-[a-z0-9.:-]+\}", image), image
