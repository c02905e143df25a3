"""The AWS CLI, versions 1 and 2: a process for each command, its imports done once.

They are most of what a command costs: ``aws_cli_server.py`` runs inside the CLI (with
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

import pytest

from tests.support.kept import UNTIL_THE_END

AWS_CLI_1 = str(Path(sys.executable).with_name("aws"))
"""The one that comes with the Python packages."""

_AWS_CLI_2 = Path(__file__).parents[1] / "node" / "node_modules" / ".aws-cli"
_DEBIANS = "/usr/bin/aws"
_SERVER = Path(__file__).with_name("aws_cli_server.py")
_latest = UNTIL_THE_END.enter_context(ExitStack())
_one_at_a_time = threading.Lock()


def aws_cli_2() -> str:
    """The official program, of the version that is pinned; skips without it."""
    path = next(_AWS_CLI_2.glob("awscli/v2/*/dist/aws"), None)
    if path is None or not _version(str(path)):
        assert os.environ.get("CI") != "true", "the AWS CLI 2 is missing: .ci/setup"
        pytest.skip("the AWS CLI 2 is not installed, or not for this kind of machine")
    return str(path)


def debians_aws_cli(needed: str) -> str:
    """Debian's own program, if it is of this version or newer; else skips."""
    version = _version(_DEBIANS)
    if _numbers(version) < _numbers(needed):
        text = f"is {version}" if version else "is not installed"
        pytest.skip(f"Debian's AWS CLI {text}; this test needs {needed} or newer")
    return _DEBIANS


@cache
def _version(program: str) -> str:
    """Empty if it does not run here."""
    try:
        told = subprocess.run(
            [program, "--version"],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    except OSError:
        return ""
    return told.stdout.partition(" ")[0].removeprefix("aws-cli/")


def _numbers(version: str) -> list[int]:
    return [int(number) for number in version.split(".") if number]


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
def _server(program: str, home: str) -> subprocess.Popen[str]:
    """The CLI's modules look for its caches at home when they are imported."""
    _latest.close()
    settings = Path(_latest.enter_context(tempfile.TemporaryDirectory())) / "config"
    settings.write_text(
        f"[plugins]\ncli_legacy_plugin_path = {_SERVER.parent}\nserver = {_SERVER.stem}"
    )
    server = subprocess.Popen(
        [sys.executable, "-P", _SERVER] if program == AWS_CLI_1 else [program],
        env={**os.environ, "HOME": home, "AWS_CONFIG_FILE": str(settings)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    _latest.callback(server.communicate)
    return server
