import subprocess
import sys
from importlib.metadata import version
from pathlib import Path


def test_the_version_is_the_packages() -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "broker", "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.strip() == f"broker {version('federation-broker')}"


def test_the_demo_takes_another_port_from_make() -> None:
    root = Path(__file__).parents[3]
    planned = subprocess.run(
        ["make", "-n", "demo", "PORT=9000"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "broker demo --port 9000" in planned.stdout
