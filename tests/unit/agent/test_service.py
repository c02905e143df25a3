"""The agent reads its file again: what it has then, and what it keeps."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from broker.agent.credentials import V2, Credentials
from broker.agent.service import Agent

SETTINGS = """
endpoint = "http://127.0.0.1:1"
region = "eu-west-3"
state_dir = {folder}
[identity]
join_token_file = {token}
[file]
path = {file}
"""
NAMED = """
endpoint = "http://127.0.0.1:1"
region = "eu-west-3"
[identity]
join_token_file = "/token"
"""


def settings(folder: Path, file: str = "credentials") -> str:
    names = {"folder": folder, "token": folder / "token", "file": folder / file}
    return SETTINGS.format(
        **{name: json.dumps(str(path)) for name, path in names.items()}
    )


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    config = tmp_path / "agent.toml"
    config.write_text(settings(tmp_path))
    made = Agent(config)
    now = datetime.now(UTC)
    credentials = Credentials(
        access_key_id="ASIA1",
        secret_access_key="secret",
        session_token="token",
        expires_at=now + timedelta(hours=1),
        updated_at=now,
    )
    made.keeper._held[V2] = credentials
    made._changed(credentials)
    yield made
    made.keeper.close()


def test_readers_find_the_file_at_every_moment(agent: Agent, tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    before = path.stat().st_ino
    agent._reload()
    assert path.stat().st_ino == before, "it was neither deleted nor written"
    (tmp_path / "agent.toml").write_text(settings(tmp_path) + 'profile = "web"\n')
    agent._reload()
    assert path.read_text().startswith("[web]")
    (tmp_path / "agent.toml").write_text(settings(tmp_path, "other"))
    agent._reload()
    assert not path.exists()
    assert "ASIA1" in (tmp_path / "other").read_text()


@pytest.mark.parametrize(
    "text",
    [
        NAMED.replace("join_token_file", "# join_token_file"),
        NAMED + '[pods]\nlisten = ["127.0.0.1:8101"]',
        NAMED.replace("127.0.0.1:1", "[::1"),
        NAMED.replace("127.0.0.1:1", "127.0.0.1:99999"),
        f"endpoint = {'[' * 5000}",
    ],
)
def test_a_file_that_is_wrong_changes_nothing(
    agent: Agent, tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "agent.toml").write_text(text)
    identity = agent.keeper._identity
    agent._reload()
    assert "the old settings stay" in caplog.text
    assert agent.keeper._identity is identity
    assert "ASIA1" in (tmp_path / "credentials").read_text()


def test_the_brokers_time_stays_known(agent: Agent) -> None:
    ahead = datetime.now(UTC) + timedelta(hours=3)
    agent._api.clock.note(ahead.timestamp())
    agent._reload()
    assert abs(agent._now() - ahead) < timedelta(minutes=1)
