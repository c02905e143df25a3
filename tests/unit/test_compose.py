import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_compose_file_is_sound() -> None:
    environment = {**os.environ, "BROKER_PUBLIC_URL": "https://broker.example.com"}
    done = subprocess.run(
        ["docker-compose", "-f", "compose.yaml", "config", "-q"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
