"""What ``broker agent check`` finds, and that it leaves the machine as it is."""

import json
from pathlib import Path

import pytest

from broker.agent import check as module
from broker.agent.broker_api import BrokerApi, BrokerAwayError, BrokerRefusedError
from broker.agent.check import check
from broker.agent.http_server import bind

ARN = "arn:aws:ec2:eu-west-3:111122223333:instance/i-0123456789abcdef0"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    def away(*_given: object, **_more: object) -> None:
        raise BrokerAwayError("127.0.0.1:1: refused")

    monkeypatch.setattr(BrokerApi, "call", away)
    path = tmp_path / "agent.toml"
    path.write_text(
        'endpoint = "http://127.0.0.1:1"\nregion = "eu-west-3"\n'
        f'state_dir = "{tmp_path}"\n'
        f'[identity]\njoin_token_file = "{tmp_path}/join-token"\n'
    )
    return path


def register(folder: Path, *, ended: bool = False) -> None:
    state = folder / "instance.json"
    row = {"PrivateKey": "AA==" * 11, "InstanceArn": ARN, "AdmittedBy": ""}
    state.write_text(
        json.dumps({**row, "PrivateKey": "A" * 43 + "=", "IsEnded": ended})
    )
    state.chmod(0o600)


def refuse(*_given: object, **_more: object) -> None:
    raise BrokerRefusedError("ValidationError", "InstanceArn is missing")


def faults(config: Path) -> list[str]:
    return [finding.text for finding in check(config) if not finding.is_good]


def test_a_machine_without_a_token(config: Path) -> None:
    missing, away = faults(config)
    assert "broker instances join-token" in missing
    assert "the broker does not answer" in away


def test_a_machine_with_one(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token = config.parent / "join-token"
    token.write_text("token")
    assert "chmod 600" in faults(config)[0]
    token.chmod(0o600)
    (only,) = faults(config)
    assert "the broker does not answer" in only
    monkeypatch.setattr(BrokerApi, "call", refuse)
    assert faults(config) == []
    assert "the broker answers at 127.0.0.1:1" in {
        finding.text for finding in check(config)
    }
    assert sorted(path.name for path in config.parent.iterdir()) == [
        "agent.toml",
        "join-token",
    ]


def test_files_of_another_user(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The tests may run as root, who may read everything.
    def denied(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(module, "is_private", denied)
    monkeypatch.setattr("os.access", lambda *_: False)
    results = faults(config)
    assert any("join-token cannot be read by this user" in text for text in results)


def test_tokens_that_others_hand_out_may_be_open(config: Path) -> None:
    text = config.read_text().replace("join_token_file", "web_identity_token_file")
    config.write_text(f'{text}role_arn = "arn:aws:iam::111122223333:role/web"\n')
    (config.parent / "join-token").write_text("token")
    (config.parent / "join-token").chmod(0o644)
    (only,) = faults(config)
    assert "the broker does not answer" in only


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"PrivateKey": "AAAA", "InstanceArn": "x", "AdmittedBy": "", "IsEnded": false}',
        '{"PrivateKey": 7, "InstanceArn": "x", "AdmittedBy": "", "IsEnded": false}',
        '{"PrivateKey": ""}',
    ],
)
def test_a_damaged_state(config: Path, text: str) -> None:
    (config.parent / "instance.json").write_text(text)
    (config.parent / "instance.json").chmod(0o600)
    (only,) = faults(config)
    assert "instance.json is damaged" in only
    assert "delete it" in only


def test_an_unreadable_state(config: Path) -> None:
    (config.parent / "instance.json").mkdir(mode=0o700)
    (only,) = faults(config)
    assert "instance.json cannot be read" in only
    assert "delete" not in only


def test_a_broker_that_is_away(config: Path) -> None:
    register(config.parent)
    (only,) = faults(config)
    assert "the broker does not answer" in only


@pytest.mark.parametrize(
    ("offset", "said"), [(95.4, "95 seconds behind"), (-40, "40 seconds ahead of")]
)
def test_a_clock_that_is_wrong(
    config: Path, monkeypatch: pytest.MonkeyPatch, offset: float, said: str
) -> None:
    def call(api: BrokerApi, *_given: object, **_more: object) -> object:
        api.clock.offset_seconds = offset
        return {"InstanceAssociation": {"InstanceArn": ARN, "RoleArn": "x"}}

    monkeypatch.setattr(BrokerApi, "call", call)
    register(config.parent)
    (only,) = faults(config)
    assert f"clock is {said} the broker's" in only


def test_an_instance_that_was_ended(config: Path) -> None:
    register(config.parent, ended=True)
    (config.parent / "join-token").write_text("another")
    (config.parent / "join-token").chmod(0o600)
    (only,) = faults(config)
    assert only.startswith(ARN)
    assert f"write a new join token to {config.parent}/join-token" in only
    text = config.read_text().replace("join_token_file", "web_identity_token_file")
    config.write_text(f'{text}instance_profile_arn = "x"\n')
    (only,) = faults(config)
    assert f"delete {config.parent}/instance.json" in only


def test_a_file_that_is_not_understood(config: Path) -> None:
    config.write_text("region")
    (only,) = faults(config)
    assert "TOML" in only


def test_an_address_that_is_not_this_machines(config: Path) -> None:
    (config.parent / "join-token").write_text("token")
    (config.parent / "join-token").chmod(0o600)
    with bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        text = config.read_text()
        config.write_text(f'{text}[metadata]\nlisten = ["127.0.0.1:{port}"]\n')
        assert "cannot be opened" in faults(config)[-1]


def test_a_folder_that_is_not_there(config: Path) -> None:
    register(config.parent)
    text = config.read_text()
    config.write_text(f'{text}[file]\npath = "{config.parent}/no/credentials"\n')
    assert any("no is not there" in text for text in faults(config))


def test_authorities_that_cannot_be_read(config: Path) -> None:
    register(config.parent)
    text = config.read_text().replace("http:", "https:")
    config.write_text(f'ca_file = "{config.parent}/ca.pem"\n{text}')
    (only,) = faults(config)
    assert only.startswith("ca_file: ")
    (config.parent / "ca.pem").write_text("nothing")
    (only,) = faults(config)
    assert only.startswith("ca_file: ")
