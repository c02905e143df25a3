"""The AWS credentials of the broker's environment, as botocore finds them."""

import asyncio
import gc
import json
import os
import signal
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from broker.proofs import ambient
from broker.proofs.ambient import AmbientCredentials, AmbientCredentialsError


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """AWS's configuration file; nothing else gives credentials."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    return tmp_path / "config"


@pytest.fixture
def found() -> AmbientCredentials:
    return AmbientCredentials()


def configure(config: Path, text: str) -> None:
    config.write_text(text)


def process(config: Path, code: str) -> None:
    """Have a process give the credentials."""
    file = config.with_name("process.py")
    file.write_text(code)
    configure(config, f"[default]\ncredential_process = {sys.executable} {file}\n")


@pytest.mark.usefixtures("config")
async def test_variables(
    found: AmbientCredentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    keys = await found.find()
    assert (keys.access_key_id, keys.session_token) == ("AKIAEXAMPLE", "")
    assert "hush" not in repr(keys)


async def test_credentials_are_found_once_they_are_configured(
    config: Path, found: AmbientCredentials
) -> None:
    with pytest.raises(AmbientCredentialsError, match="has no AWS credentials"):
        await found.find()
    configure(
        config,
        "[default]\naws_access_key_id = AKIAPROFILE\naws_secret_access_key = secret\n",
    )
    assert (await found.find()).access_key_id == "AKIAPROFILE"


async def test_they_are_renewed(config: Path, found: AmbientCredentials) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=30)
    params = {
        "Version": 1,
        "SecretAccessKey": "secret",
        "SessionToken": "token",
        "Expiration": soon.isoformat(),
    }
    counter = config.with_name("counter")
    counter.write_text("")
    process(
        config,
        f"import json\nfile = open({str(counter)!r}, 'a+')\nfile.write('x')\n"
        f"file.seek(0)\nnumber = len(file.read())\ngiven = {params!r}\n"
        "print(json.dumps(given | {'AccessKeyId': f'ASIA{number}'}))\n",
    )
    first, second = await found.find(), await found.find()
    assert first.access_key_id != second.access_key_id
    assert first.session_token == "token"


@pytest.mark.parametrize(
    "code", ["raise SystemExit('away')", "print('no JSON')", f"print({json.dumps([])})"]
)
async def test_a_source_that_fails_is_named(
    config: Path, found: AmbientCredentials, code: str
) -> None:
    process(config, code)
    with pytest.raises(AmbientCredentialsError, match="the broker's environment: "):
        await found.find()


async def test_a_profile_that_is_not_there(
    config: Path, found: AmbientCredentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(config, "")
    monkeypatch.setenv("AWS_PROFILE", "missing")
    with pytest.raises(AmbientCredentialsError, match="missing"):
        await found.find()


async def test_a_source_that_hangs_holds_up_nothing_else(
    config: Path,
    found: AmbientCredentials,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(ambient, "UPSTREAM_SECONDS", 0.5)
    begun = config.with_name("begun")
    process(
        config,
        f"import os, sys, time\nfile = {str(begun)!r}\n"
        "if os.path.exists(file): sys.exit(1)\n"
        "open(file, 'w').write(f'{os.getpid()} ')\n"
        "time.sleep(60)\n",
    )
    try:
        asked = [asyncio.create_task(found.find()) for _ in range(40)]
        for error in await asyncio.gather(*asked, return_exceptions=True):
            assert isinstance(error, AmbientCredentialsError)
            assert "in time" in str(error)
        assert threading.active_count() < 40
    finally:
        os.kill(await asyncio.to_thread(_only_pid, begun), signal.SIGKILL)
    # The end of the process is reported to the next caller, not logged.
    monkeypatch.setattr(ambient, "UPSTREAM_SECONDS", 10)
    with pytest.raises(AmbientCredentialsError, match="custom-process"):
        await found.find()
    gc.collect()
    assert not caplog.records


def _only_pid(file: Path) -> int:
    """The process's number, once it has written it."""
    while not (file.exists() and file.read_text().endswith(" ")):
        time.sleep(0.02)
    (pid,) = file.read_text().split()
    return int(pid)
