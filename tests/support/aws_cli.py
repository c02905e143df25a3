"""The AWS CLI, versions 1 and 2: a process for each command, its imports done once.

They are most of what a command costs: ``aws_cli_server.py`` has imported the CLI (and
nothing of the broker: the CLI brings a botocore of its own) and forks for each.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import cache, lru_cache
from pathlib import Path

from tests.support.kept import UNTIL_THE_END

AWS_CLI_1 = sys.executable
"""Whose Python: the one that comes with the Python packages."""

_AWS_CLI_2 = Path("/usr/bin/aws")
_SERVER = Path(__file__).with_name("aws_cli_server.py")
_latest = UNTIL_THE_END.enter_context(ExitStack())
_one_at_a_time = threading.Lock()


@cache
def find_aws_cli_2() -> str | None:
    """The Python of the AWS CLI of version 2, as Debian packs it; None without it."""
    if not _AWS_CLI_2.exists():
        return None
    told = subprocess.run(
        [_AWS_CLI_2, "--version"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    with _AWS_CLI_2.open("rb") as script:
        first = script.readline().decode(errors="replace")
    is_right = told.stdout.startswith("aws-cli/2") and "python" in first
    return first.removeprefix("#!").strip() if is_right else None


def run_aws_cli(
    words: Sequence[str], environment: Mapping[str, str], *, program: str = AWS_CLI_1
) -> subprocess.CompletedProcess[str]:
    """As :func:`subprocess.run` with ``capture_output`` and ``text``."""
    with tempfile.TemporaryDirectory() as name:
        out, errors = Path(name) / "out", Path(name) / "err"
        order = [list(words), dict(environment), str(out), str(errors)]
        with _one_at_a_time:
            server = _server(program, environment["HOME"])
            assert server.stdin is not None
            assert server.stdout is not None
            print(json.dumps(order), file=server.stdin, flush=True)
            status = int(server.stdout.readline())
        return subprocess.CompletedProcess(
            ["aws", *words], status, out.read_text(), errors.read_text()
        )


@lru_cache(maxsize=1)
def _server(python: str, home: str) -> subprocess.Popen[str]:
    """The CLI's modules look for its caches at home when they are imported."""
    _latest.close()
    server = subprocess.Popen(
        [python, "-P", _SERVER],
        env={**os.environ, "HOME": home},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    _latest.callback(server.communicate)
    return server
