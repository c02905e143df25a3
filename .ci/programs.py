"""Installs the programs of `tests/programs.toml` in `artefacts/programs`.

Each is pinned by a hash: an archive from Maven by its own, a module of Go by that of
`go.sum`. What a module is built from is pinned by the module's own `go.sum`, or by that
of the folder `built_in` where the module's `go.mod` is good for its own repository only.
Runs on a bare Python 3.11; what is there already is left alone.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PLACE = ROOT / "artefacts" / "programs"


def install(name: str, pin: dict[str, str]) -> None:
    """Put one program into a folder of its name and version.

    Raises:
        ValueError: it is not what was pinned.
        subprocess.CalledProcessError: it could not be fetched or built.
    """
    place = PLACE / f"{name}-{pin['version']}"
    if place.exists():
        return
    sys.stdout.write(f"Installing {pin['name']} {pin['version']}\n")
    sys.stdout.flush()
    PLACE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=PLACE) as made:
        folder = Path(made)
        if "maven" in pin:
            _unpack(pin, folder)
        else:
            _build(name, pin, folder)
        (content,) = folder.iterdir()
        content.rename(place)


def _unpack(pin: dict[str, str], folder: Path) -> None:
    artifact = f"-Dartifact={pin['maven']}:{pin['version']}:zip"
    copied = f"-DoutputDirectory={folder}"
    subprocess.run(["mvn", "-B", "-q", "dependency:copy", artifact, copied], check=True)
    (archive,) = folder.iterdir()
    with archive.open("rb") as file:
        _compare(pin["sha256"], hashlib.file_digest(file, "sha256").hexdigest())
    shutil.unpack_archive(archive, folder)
    archive.unlink()
    (content,) = folder.iterdir()
    for program in content.glob("bin/*.sh"):
        program.chmod(0o755)


def _build(name: str, pin: dict[str, str], folder: Path) -> None:
    # The module's name may hold a version that the program does not say.
    asked = f"{pin['module']}@{pin.get('module_version', 'v' + pin['version'])}"
    told = subprocess.run(
        ["go", "mod", "download", "-json", asked],
        stdout=subprocess.PIPE,
        cwd=folder,
        check=True,
    ).stdout
    module = json.loads(told)
    _compare(pin["sum"], module["Sum"])
    output = folder / name / name
    subprocess.run(
        ["go", "build", "-trimpath", "-o", str(output), pin["package"]],
        cwd=ROOT / pin["built_in"] if "built_in" in pin else module["Dir"],
        env={**os.environ, "GOFLAGS": "-p=1 -buildvcs=false"},
        check=True,
    )


def _compare(pinned: str, found: str) -> None:
    if pinned != found:
        raise ValueError(f"{found} was fetched, and {pinned} is pinned")


def main() -> int:
    """Install all of them, or say which could not be."""
    pins = tomllib.loads((ROOT / "tests" / "programs.toml").read_text("utf-8"))
    missing = 0
    for name, pin in pins.items():
        try:
            install(name, pin)
        except (OSError, ValueError, subprocess.CalledProcessError) as error:
            sys.stderr.write(f"{pin['name']} is not installed: {error}\n")
            missing += 1
    return missing


if __name__ == "__main__":
    sys.exit(main())
