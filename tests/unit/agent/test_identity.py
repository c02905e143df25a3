"""An instance's key and state: nothing is lost, and nothing comes back on its own."""

import base64
import errno
import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from broker.agent import instance as module
from broker.agent.broker_api import BrokerApi, BrokerAwayError, BrokerRefusedError
from broker.agent.configuration import AgentSettings, IdentitySettings
from broker.agent.credentials import V2
from broker.agent.identity import (
    IdentityEndedError,
    IdentityUnusableError,
    session_name,
)
from broker.agent.instance import InstanceIdentity, InstanceState

ARN = "arn:aws:ec2:eu-west-3:111122223333:instance/i-0123456789abcdef0"


class Broker(BrokerApi):
    """Answers as the test says, and checks proofs with PyJWT."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:1", "eu-west-3")
        self.fault: Exception | None = None
        self.loses_answers = False
        self.credentials: dict[str, Any] = {}
        self.found: dict[str, Any] = {}
        self.keys: list[str] = []
        self.audiences: list[str] = []

    def call(self, action: str, params: Mapping[str, str], **_more: Any) -> Any:
        if self.fault is not None:
            raise self.fault
        if action.startswith("Register"):
            self.keys.append(params["PublicKey"])
            if self.loses_answers:
                raise BrokerAwayError("the answer was lost")
        else:
            raw = base64.b64decode(self.keys[-1])
            key = Ed25519PublicKey.from_public_bytes(raw)
            claims = jwt.decode(
                params["InstanceProof"],
                key,
                algorithms=["EdDSA"],
                audience=f"broker:{action}",
            )
            assert claims["iss"] == claims["sub"] == ARN
            assert len(claims["jti"]) >= 16
        credentials = {
            "AccessKeyId": "ASIAEXAMPLE",
            "SecretAccessKey": "secret",
            "SessionToken": "token",
            "Expiration": 1.8e9,
        } | self.credentials
        results = {
            "InstanceArn": ARN,
            "AssociationId": "a",
            "RoleName": "web",
        } | self.found
        return {"InstanceAssociation": results, "Credentials": credentials}


@pytest.fixture
def broker() -> Broker:
    return Broker()


def identity(folder: Path, broker: Broker, **params: Any) -> InstanceIdentity:
    token = folder / "join-token"
    if not token.exists():
        token.write_text("token-1\n")
    settings = AgentSettings(
        endpoint="http://127.0.0.1:1",
        region="eu-west-3",
        state_dir=folder,
        identity=IdentitySettings(**(params or {"join_token_file": token})),
    )
    return InstanceIdentity(settings, broker)


def state(folder: Path) -> dict[str, Any]:
    results: dict[str, Any] = json.loads((folder / "instance.json").read_text())
    return results


def test_it_registers_once_and_keeps_its_key(tmp_path: Path, broker: Broker) -> None:
    first = identity(tmp_path, broker)
    assert first.get_grant().role_name == "web"
    credentials, _ = first.get_credentials(V2)
    assert credentials.access_key_id == "ASIAEXAMPLE"
    assert (tmp_path / "instance.json").stat().st_mode & 0o777 == 0o600
    (tmp_path / "join-token").unlink()
    assert identity(tmp_path, broker).get_grant().instance_arn == ARN
    assert len(broker.keys) == 1
    assert "token-1" not in (tmp_path / "instance.json").read_text()
    assert state(tmp_path)["PrivateKey"] not in repr(first._state)


def test_a_lost_answer_is_asked_for_again_with_the_same_key(
    tmp_path: Path, broker: Broker
) -> None:
    broker.loses_answers = True
    for _ in range(2):  # the second time after a restart
        with pytest.raises(BrokerAwayError):
            identity(tmp_path, broker).get_grant()
    broker.loses_answers = False
    assert identity(tmp_path, broker).get_grant().instance_arn == ARN
    assert len(set(broker.keys)) == 1


def test_a_key_that_another_token_admitted_is_given_up(
    tmp_path: Path, broker: Broker
) -> None:
    """The answer was lost, and that token has expired since."""
    broker.loses_answers = True
    with pytest.raises(BrokerAwayError):
        identity(tmp_path, broker).get_grant()
    broker.loses_answers = False
    (tmp_path / "join-token").write_text("token-2")
    broker.fault = BrokerRefusedError("AccessDenied", "no")
    for _ in range(2):
        with pytest.raises(BrokerRefusedError):
            identity(tmp_path, broker).get_grant()
    before = state(tmp_path)["PrivateKey"]
    broker.fault = BrokerRefusedError("InvalidPublicKey", "another has it")
    with pytest.raises(BrokerRefusedError):
        identity(tmp_path, broker).get_grant()
    broker.fault = None
    assert identity(tmp_path, broker).get_grant().instance_arn == ARN
    assert state(tmp_path)["PrivateKey"] != before
    assert len(set(broker.keys)) == 2


@pytest.mark.parametrize(
    ("credentials", "found"),
    [
        ({"AccessKeyId": None}, {}),
        ({"AccessKeyId": "A\n[default]"}, {}),
        ({"SecretAccessKey": ["secret"]}, {}),
        ({"SessionToken": ""}, {}),
        ({"SessionToken": "\ud800"}, {}),
        ({"Expiration": "2026-11-27T10:00:00"}, {}),
        ({"Expiration": 1e30}, {}),
        ({"Expiration": float("nan")}, {}),
        ({"Expiration": {}}, {}),
        ({}, {"InstanceArn": "x"}),
        ({}, {"PollSeconds": "often"}),
        ({}, {"PollSeconds": -1}),
        ({}, {"PollSeconds": float("nan")}),
        ({}, {"PollSeconds": 1e9}),
        ({}, {"PollSeconds": [1]}),
    ],
)
def test_malformed_answers_about_an_instance(
    tmp_path: Path, broker: Broker, credentials: dict[str, Any], found: dict[str, Any]
) -> None:
    instance_identity = identity(tmp_path, broker)
    assert instance_identity.get_grant().poll_seconds >= 1
    broker.credentials, broker.found = credentials, found
    with pytest.raises(BrokerAwayError):
        instance_identity.get_credentials(V2)


def test_two_processes_register_one_machine(tmp_path: Path) -> None:
    """The agent starts, and a program asks for `broker agent process`."""
    results: list[str] = []

    class Slow(Broker):
        """While it registers the first, the second has time to register, too."""

        def call(self, action: str, params: Mapping[str, str], **more: Any) -> Any:
            if action.startswith("Register") and not second.is_alive():
                second.start()
                second.join(0.3)
            return super().call(action, params, **more)

    broker = Slow()
    second = threading.Thread(
        target=lambda: results.append(
            identity(tmp_path, broker).get_grant().instance_arn
        )
    )
    assert identity(tmp_path, broker).get_grant().instance_arn == ARN
    second.join(20)
    assert results == [ARN]
    assert len(broker.keys) == 1


@pytest.mark.parametrize("is_deleted", [False, True])
def test_an_end_is_one_although_the_disk_is_full(
    tmp_path: Path, broker: Broker, monkeypatch: pytest.MonkeyPatch, is_deleted: bool
) -> None:
    instance_identity = identity(tmp_path, broker)
    instance_identity.get_grant()
    broker.fault = BrokerRefusedError("InvalidClientTokenId", "gone")

    def full(_path: Path, _text: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(module, "write_private", full)
        for _ in range(2):
            with pytest.raises(IdentityEndedError):
                instance_identity.get_grant()
    with pytest.raises(IdentityEndedError):
        instance_identity.get_grant()
    assert state(tmp_path)["IsEnded"]
    broker.fault = None
    if is_deleted:
        (tmp_path / "instance.json").unlink()
        assert instance_identity.get_grant().instance_arn == ARN
    else:
        with pytest.raises(IdentityEndedError):
            instance_identity.get_grant()


def test_an_ended_instance_stays_so_until_there_is_another_token(
    tmp_path: Path, broker: Broker
) -> None:
    instance_identity = identity(tmp_path, broker)
    instance_identity.get_grant()
    broker.fault = BrokerRefusedError("InvalidClientTokenId", "gone")
    with pytest.raises(IdentityEndedError):
        instance_identity.get_grant()
    broker.fault = None
    for each in (instance_identity, identity(tmp_path, broker)):
        with pytest.raises(IdentityEndedError):
            each.get_grant()
    (tmp_path / "join-token").write_text("token-2")
    assert instance_identity.get_grant().instance_arn == ARN
    assert len(set(broker.keys)) == 2, "another instance has another key"


def test_with_a_web_identity_token_until_the_state_is_deleted(
    tmp_path: Path, broker: Broker
) -> None:
    token = tmp_path / "join-token"
    params = {
        "web_identity_token_file": token,
        "instance_profile_arn": "arn:aws:iam::111122223333:instance-profile/web",
    }
    instance_identity = identity(tmp_path, broker, **params)
    instance_identity.get_grant()
    broker.fault = BrokerRefusedError("InvalidClientTokenId", "gone")
    with pytest.raises(IdentityEndedError):
        instance_identity.get_grant()
    broker.fault = None
    token.write_text("token-2")  # such tokens change all the time
    with pytest.raises(IdentityEndedError):
        instance_identity.get_grant()
    (tmp_path / "instance.json").unlink()
    assert identity(tmp_path, broker, **params).get_grant().instance_arn == ARN


def test_another_refusal_ends_nothing(tmp_path: Path, broker: Broker) -> None:
    instance_identity = identity(tmp_path, broker)
    instance_identity.get_grant()
    broker.fault = BrokerRefusedError("AccessDenied", "not now")
    with pytest.raises(BrokerRefusedError):
        instance_identity.get_credentials(V2)
    assert not state(tmp_path)["IsEnded"]


@pytest.mark.parametrize("text", ["", "{}", '{"PrivateKey": 7}', "[1]", "\xff"])
def test_an_unreadable_state(tmp_path: Path, broker: Broker, text: str) -> None:
    (tmp_path / "instance.json").write_text(text, encoding="latin-1")
    with pytest.raises(IdentityUnusableError, match="delete it"):
        identity(tmp_path, broker).get_grant()
    assert not broker.keys


def test_no_token_and_no_state(tmp_path: Path, broker: Broker) -> None:
    instance_identity = identity(tmp_path, broker)
    (tmp_path / "join-token").unlink()
    with pytest.raises(IdentityUnusableError, match="not registered"):
        instance_identity.get_grant()


def test_a_hosts_name_as_a_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    for host, name in {
        "web-1.example": "web-1.example",
        "rechner ü/1": "rechner---1",
        "a": "a-",
        "x" * 80: "x" * 64,
    }.items():
        monkeypatch.setattr("socket.gethostname", lambda match=host: match)
        assert session_name() == name


def test_a_check_changes_nothing(tmp_path: Path, broker: Broker) -> None:
    identity(tmp_path, broker).get_grant()
    before = (tmp_path / "instance.json").stat()
    settings = AgentSettings(
        endpoint="http://127.0.0.1:1",
        region="eu-west-3",
        state_dir=tmp_path,
        identity=IdentitySettings(join_token_file=tmp_path / "join-token"),
    )
    broker.fault = BrokerRefusedError("InvalidClientTokenId", "gone")
    with pytest.raises(IdentityEndedError):
        InstanceIdentity(settings, broker, saves=False).get_grant()
    after = (tmp_path / "instance.json").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


@pytest.mark.parametrize("answer", [{}, {"InstanceAssociation": {}}, {"x": []}])
def test_an_answer_without_an_instance_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any]
) -> None:
    broker = Broker()
    monkeypatch.setattr(broker, "call", lambda *_given, **_more: answer)
    with pytest.raises(BrokerAwayError, match="names no instance"):
        identity(tmp_path, broker).get_grant()


@pytest.mark.parametrize(
    "given",
    [
        {"certificate_file": Path("/new.pem"), "role_arn": "x"},
        {"web_identity_token_file": Path("/new-token")},
    ],
    ids=["certificate", "token"],
)
def test_what_is_renewed_revives_nothing(
    tmp_path: Path, broker: Broker, given: dict[str, Any]
) -> None:
    ended = InstanceState(
        private_key=bytes(32), instance_arn=ARN, admitted_by="x", is_ended=True
    )
    ended.save(tmp_path / "instance.json")
    machine = identity(tmp_path, broker, instance_profile_arn="y", **given)
    with pytest.raises(IdentityEndedError):
        machine.get_grant()
    assert broker.keys == []
