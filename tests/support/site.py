"""The documentation, built as `make docs` builds it."""

import os
import subprocess
from fcntl import LOCK_EX, flock
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-docs" / "bin" / "python"
COMMAND = ("-m", "sphinx", "-q", "-W", "-n", "-E", "--keep-going")


def build_site(folders: pytest.TempPathFactory) -> Path:
    """The site's folder, built once for all processes of a run; any warning fails."""
    if not PYTHON.exists():
        assert os.environ.get("CI") != "true", "run .ci/setup docs"
        pytest.skip("run .ci/setup docs")
    folder = folders.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    site, building = folder / "site", folder / "building"
    with (folder / "site.lock").open("w") as lock:
        flock(lock, LOCK_EX)
        if not site.exists():
            done = subprocess.run(
                [PYTHON, *COMMAND, "-d", folder / "doctrees", ROOT / "docs", building],
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            building.rename(site)
    return site
