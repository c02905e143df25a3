"""The Dockerfile without Docker: its instructions, in order, on top of this machine.

This machine's root file system stands for the base image, with Debian's Python, and a
layer over it takes what instructions write; they have no network, only the packages of
the locks. The result is then run as an orchestrator would: as its user, without
capabilities, with a read-only root.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = Path("/usr/bin/python3")
OFFLINE = ("unshare", "--net")
LOCKS = ("requirements.lock", "requirements-build.lock", "requirements-docs.lock")
LAYER_BYTES_MAX = 70_000_000
"""Compressed, so that the image stays below 120 MB: the base has less than 50."""


@dataclass
class Stage:
    """A layer over this machine's root, and what instructions said of it."""

    folder: Path
    title: str
    settings: dict[str, str] = field(
        default_factory=lambda: {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"}
    )
    workdir: str = "/"
    user: str = "0"
    volumes: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    check: list[str] = field(default_factory=list)

    @property
    def layer(self) -> Path:
        return self.folder / "upper"

    def at(self, path: str) -> Path:
        """Where the layer has a path of the stage."""
        return self.layer / path.lstrip("/")

    def inside(self, command: list[str]) -> list[str]:
        """A command that runs another one with this stage as its root."""
        variables = [f"{name}={value}" for name, value in self.settings.items()]
        script = (
            f"mount -t overlay overlay -o lowerdir=/,upperdir={self.layer},"
            f"workdir={self.folder}/work {self.folder}/root"
            f" && cd {self.folder}/root && mount --bind /dev dev && mount -t proc proc proc"
            ' && exec chroot . env -i "$@"'
        )
        place = ["sh", "-c", f'cd {shlex.quote(self.workdir)} && exec "$@"', "sh"]
        return [
            *(*OFFLINE, "--mount", "--propagation", "private", "bash", "-ec", script),
            *("bash", *variables, *place, *command),
        ]

    def run(self, *command: str) -> None:
        done = subprocess.run(
            self.inside(list(command)), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


def build(folder: Path) -> Stage:
    """The last stage of the Dockerfile, built."""
    stages: list[Stage] = []
    context = folder / "context"
    subprocess.run(["git", "clone", "--quiet", ROOT, context], check=True)
    for name, rest in instructions():
        if name == "FROM":
            title = rest.partition(" AS ")[2]
            stages.append(new_stage(folder / f"stage-{len(stages)}", title))
        elif name == "RUN":
            stages[-1].run("sh", "-c", rest)
        elif name == "COPY":
            copy(stages[-1], rest, context, stages)
        else:
            note(stages, name, rest)
    return stages[-1]


def note(stages: list[Stage], name: str, rest: str) -> None:
    """What an instruction says of the stage itself."""
    if name in {"ARG", "EXPOSE"}:
        return
    stage = stages[-1]
    if name == "WORKDIR":
        stage.workdir = rest
        stage.at(rest).mkdir(parents=True, exist_ok=True)
    elif name == "ENV":
        for pair in shlex.split(rest):
            key, _, value = pair.partition("=")
            stage.settings[key] = value.replace("$PATH", stage.settings["PATH"])
    elif name == "HEALTHCHECK":
        stage.check = words(rest.partition("CMD ")[2])
    else:
        known = {"USER": "user", "VOLUME": "volumes", "CMD": "command"}
        assert name in known, f"{name} is not known here"
        setattr(stage, known[name], rest if name == "USER" else words(rest))


def new_stage(folder: Path, title: str) -> Stage:
    for name in ("upper", "work", "root"):
        (folder / name).mkdir(parents=True)
    programs = folder / "upper" / "usr" / "local" / "bin"
    programs.mkdir(parents=True)
    (programs / "python").symlink_to(PYTHON)
    stage = Stage(folder, title)
    wheels = str(folder.parent / "wheels")
    stage.settings |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": wheels}
    return stage


def download(wheels: Path) -> None:
    """Get the packages that the instructions install, for the stages' Python."""
    venv = wheels.with_name("pip")
    subprocess.run([PYTHON, "-m", "venv", venv], check=True)
    words = [venv / "bin" / "pip", "download", "-q", "-d", wheels, "--no-deps"]
    for lock in LOCKS:
        values = ["--only-binary=:all:", "--require-hashes", "-r", ROOT / lock]
        subprocess.run([*words, *values], check=True)


def copy(stage: Stage, rest: str, context: Path, stages: list[Stage]) -> None:
    *sources, target = rest.split()
    origin = context
    if sources[0].startswith("--from="):
        title = sources.pop(0).removeprefix("--from=")
        (origin,) = (each.layer for each in stages if each.title == title)
    place = stage.at(str(Path(stage.workdir) / target))
    for source in sources:
        path = origin / source.lstrip("/")
        if path.is_dir():
            shutil.copytree(path, place, symlinks=True, dirs_exist_ok=True)
        else:
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, place)


def instructions() -> Iterator[tuple[str, str]]:
    text = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text())
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, _, rest = line.partition(" ")
            yield name, rest.strip()


def words(text: str) -> list[str]:
    """An instruction's arguments, as JSON or as words."""
    return list(json.loads(text)) if text.startswith("[") else text.split()


def has_python() -> bool:
    ask = [str(PYTHON), "-c", "import ensurepip, venv"]
    return PYTHON.exists() and subprocess.run(ask, check=False).returncode == 0


@pytest.mark.long
@pytest.mark.timeout(1200)  # it downloads everything
def test_the_image_is_built_offline_and_runs_without_rights(tmp_path: Path) -> None:
    if os.geteuid() != 0 or not has_python():
        pytest.skip("needs root, and Debian's Python with venv")
    scratch = tmp_path / "disk"
    scratch.mkdir()
    download(scratch / "wheels")
    image = build(scratch)
    packed = subprocess.run(
        f"tar -C {image.layer} -c opt var | gzip | wc -c",
        shell=True,
        capture_output=True,
        check=True,
    )
    assert int(packed.stdout) < LAYER_BYTES_MAX
    # As `docker run --read-only --tmpfs /tmp --cap-drop ALL` with its volume.
    volumes = " && ".join(
        f"mkdir -p {scratch}{volume} && cp -a {image.layer}{volume}/. {scratch}{volume}"
        f" && chown -R --reference={image.layer}{volume} {scratch}{volume}"
        f" && mount --bind {scratch}{volume} .{volume}"
        for volume in image.volumes
    )
    limits = [
        *("setpriv", "--reuid", image.user, "--regid", image.user, "--clear-groups"),
        *("--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"),
    ]
    variables = [f"{name}={value}" for name, value in image.settings.items()]
    check, command = shlex.join(image.check), shlex.join(image.command)
    inside = (
        f"cd {image.workdir}; touch /usr/x 2>&1; {command} >/tmp/log 2>&1 & server=$!;"
        f" for _ in $(seq 300); do {check} 2>/dev/null && echo HEALTHY && break;"
        " kill -0 $server || break; sleep 0.2; done; cat /tmp/log;"
        " curl -s $(grep ^http /tmp/log) | grep -o 'name=.new.';"
        " curl -s http://127.0.0.1:8080/docs/ | grep -o '<title>.*</title>';"
        " grep -E '^(Uid|CapEff|NoNewPrivs|VmRSS)' /proc/$server/status;"
        " kill $server; wait $server"
    )
    outside = (
        f"ip link set lo up; mount -t overlay overlay -o lowerdir=/,"
        f"upperdir={image.layer},workdir={image.folder}/work {image.folder}/root"
        f" && cd {image.folder}/root && {volumes} && mount --bind /dev dev"
        " && mount -t proc proc proc && mount -t tmpfs tmpfs tmp"
        " && mount -o remount,bind,ro . && exec chroot ."
        f" env -i {shlex.join(variables)} {shlex.join(limits)} sh -c {shlex.quote(inside)}"
    )
    done = subprocess.run(
        [*OFFLINE, "--mount", "--propagation", "private", "sh", "-ec", outside],
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr
    assert "Read-only file system" in said
    assert "HEALTHY" in said, said
    assert 'name="new"' in said, said
    assert f"Uid:\t{image.user}\t{image.user}" in said, said
    assert "CapEff:\t0000000000000000" in said, said
    assert "<title>Federation broker" in said, said
    assert "other users can read" not in said, said
