"""A removed command says what to use instead, whatever it is called with."""

import subprocess
import sys
from pathlib import Path

import pytest
from botocore.exceptions import CredentialRetrievalError
from botocore.session import Session

from tests.support.rows import rows

REPORT = (
    "import atexit, sys; atexit.register(lambda: print(*sys.modules));"
    "sys.argv[0] = 'broker'; from broker.__main__ import run; run()"
)


@rows("words, instead")
def test_one_line_says_what_to_use(words: str, instead: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", REPORT, *words.split()],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"broker: `broker {words.split(maxsplit=1)[0]}")
    assert instead in line
    # Fast: an SDK may start it again and again.
    assert not set(done.stdout.split()) & {"typer", "click", "asyncio", "broker.errors"}


def test_an_sdk_passes_the_line_on_to_its_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config"
    command = f'"{sys.executable}" -m broker login --process --profile work'
    config.write_text(f"[profile work]\ncredential_process = {command}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    with pytest.raises(CredentialRetrievalError, match="Use `aws sso login`"):
        Session(profile="work").get_credentials()
