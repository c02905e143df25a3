"""The documentation, built as `make docs` builds it."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-docs" / "bin" / "python"
COMMAND = ("-m", "sphinx", "-q", "-W", "-n", "-E", "--keep-going")


def build_site(folder: Path) -> Path:
    """The site's folder; any warning fails."""
    if not PYTHON.exists():
        assert os.environ.get("CI") != "true", "run .ci/setup docs"
        pytest.skip("run .ci/setup docs")
    site = folder / "site"
    done = subprocess.run(
        [PYTHON, *COMMAND, "-d", folder / "doctrees", ROOT / "docs", site],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return site
