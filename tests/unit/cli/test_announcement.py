"""What `broker serve` says when it starts."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from broker.cli import worker
from broker.cli.worker import announce
from broker.compose.installation import open_installation
from broker.kinds.accounts import create_account
from broker.model.account import AccountId
from broker.settings import load_settings
from tests.support.tables import lay_tables

ACCOUNT = AccountId("123456789012")
AWAY = "redis://user:secret@127.0.0.1:1"


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as entry:
        entry.bind(("127.0.0.1", 0))
        yield entry


async def said(
    folder: Path,
    listener: socket.socket,
    monkeypatch: pytest.MonkeyPatch,
    *,
    account: bool = True,
    **settings: object,
) -> list[Any]:
    # A logger of an earlier test may be bound to that test's settings.
    monkeypatch.setattr(worker, "_log", structlog.get_logger())
    loaded = load_settings(data_dir=folder, **settings)
    lay_tables(loaded)
    async with open_installation(loaded) as opened:
        if account:
            async with opened.stores.directory.change(ACCOUNT) as change:
                await create_account(
                    change, ACCOUNT, alias="example", now=opened.clock.now()
                )
        with capture_logs() as lines:
            await announce(opened, [listener], workers=2)
    return lines


def warnings(lines: list[Any]) -> str:
    return "\n".join(line["event"] for line in lines if line["log_level"] != "info")


async def test_addresses_storage_and_accounts(
    tmp_path: Path, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = listener.getsockname()[1]
    url = "https://broker.example.com"
    lines = await said(
        tmp_path,
        listener,
        monkeypatch,
        public_url=url,
        trusted_proxies="10.0.0.0/8",
        host_aliases="STS.amazonaws.com",
    )
    made, line, doors = lines
    assert made["database"] == f"sqlite:///{tmp_path / 'broker.db'}"
    assert made["master_key"] == str(tmp_path / "keyring.json")
    assert "decisions: closed until there is a registered service" in doors["state"]
    assert line["also_answers_as"] == ["sts.amazonaws.com"]
    assert line["sign_in"] == f"{url}/signin"
    assert line["listening"] == [f"http://127.0.0.1:{port}"]
    assert line["database"] == f"sqlite:///{tmp_path / 'broker.db'}"
    assert (line["cache"], line["workers"]) == ("embedded", 2)
    assert line["accounts"] == [f"{ACCOUNT} (example)"]


async def test_what_should_be_changed(
    tmp_path: Path, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROKER_THING", "1")
    port = listener.getsockname()[1]
    told = warnings(await said(tmp_path, listener, monkeypatch, account=False))
    assert "BROKER_THING is not a setting" in told
    assert "over plain http" in told
    assert f"set BROKER_PUBLIC_URL=http://127.0.0.1:{port}" in told
    assert "there are no accounts" in told


async def test_a_redis_that_is_away_is_an_error(
    tmp_path: Path, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = await said(tmp_path, listener, monkeypatch, redis_url=AWAY)
    (error,) = (line for line in lines if line["log_level"] == "error")
    assert error["event"].startswith("Redis cannot be reached")
    assert "BROKER_REDIS_URL" in error["remedy"]
    assert "secret" not in str(lines)
