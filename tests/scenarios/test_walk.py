"""The README and the first pages, as a newcomer follows them: in a clean folder.

`make test` skips what installs packages; `make long` does that, too, from a clone.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.walk import Step, Walk, read_steps, walking

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
READY = "http://127.0.0.1:8080/readyz"
SERVERS = {
    **dict.fromkeys(("make demo", "broker demo", "broker serve"), READY),
    "nginx -p": "http://127.0.0.1:9001/healthz",
    "uvicorn --app-dir": "http://127.0.0.1:9000/healthz",
}
INSTALLS = (
    "python3 -m venv",
    "pip install",
    "make demo",
    "make test",
    "git clone",
    "cd ",
)


def newcomer(folder: Path) -> dict[str, str]:
    """The environment of someone who has set nothing."""
    return {
        # Debian has nginx where only root looks.
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin",
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def steps_of(page: Path) -> list[Step]:
    steps = read_steps(page)
    assert steps, "a page without commands"
    return steps


@pytest.mark.long
@pytest.mark.parametrize(
    "page", ["guide/getting-started.md", "coming-from/localstack.md"]
)
def test_a_page_of_the_beginning(page: str, tmp_path: Path) -> None:
    walk = Walk(tmp_path, newcomer(tmp_path), servers=SERVERS, skipped=INSTALLS)
    with walking(walk) as here:
        here.do(steps_of(DOCS / page))


@pytest.mark.timeout(300)  # it starts five servers
@pytest.mark.parametrize("page", ["README.md", "docs/guide/protect.md"])
def test_the_first_pages(page: str, tmp_path: Path) -> None:
    """With the demo started as `make demo` does once everything is installed."""
    shutil.copytree(ROOT / "samples", tmp_path / "samples")
    walk = Walk(
        tmp_path,
        newcomer(tmp_path),
        # A machine that does much else may be late.
        instead={"make demo": "broker demo", "sleep 1;": "sleep 3;"},
        servers=SERVERS,
        skipped=(*INSTALLS, ". .venv"),
    )
    with walking(walk) as here:
        here.do(steps_of(ROOT / page))


@pytest.mark.long
@pytest.mark.timeout(1200)  # it downloads everything
@pytest.mark.parametrize("page", ["README.md", "docs/guide/getting-started.md"])
def test_a_clone(page: str, tmp_path: Path) -> None:
    """With nothing installed, and everything fetched as the page says."""
    clone = tmp_path / "federation-broker"
    subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
    params = newcomer(tmp_path)
    params |= {name: value for name, value in os.environ.items() if name[:4] == "PIP_"}
    walk = Walk(
        clone, params, servers=SERVERS, skipped=("make test", "git clone", "cd ")
    )
    with walking(walk, shares_network=True) as here:
        here.do(steps_of(ROOT / page))
