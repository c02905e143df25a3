"""The package needs nothing but the standard library."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
PROGRAM = """
import sys
import broker.client
others = {
    name
    for name in sys.modules
    if name.partition(".")[0] not in sys.stdlib_module_names
    and name not in {"broker", "__main__"}
    and not name.startswith("broker.client")
}
assert not others, others
"""


def test_it_runs_without_any_other_package() -> None:
    done = subprocess.run(
        [sys.executable, "-S", "-c", PROGRAM],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr.decode()


def test_a_program_that_is_gone_says_where_it_is() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "broker.client.database_logins", "--broker", "x"],
        cwd=ROOT,
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "samples/protected/postgresql/database_logins.py" in line
    assert (ROOT / "samples/protected/postgresql/database_logins.py").exists()
