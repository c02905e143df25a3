import subprocess
import sys
from importlib.metadata import version


def test_the_version_is_the_packages() -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "broker", "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.strip() == f"broker {version('federation-broker')}"
