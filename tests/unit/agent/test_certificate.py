"""A machine with a certificate: its files, and what the broker answers."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from broker.agent.broker_api import BrokerApi, BrokerAwayError, BrokerRefusedError
from broker.agent.certificate import CertificateIdentity, load_certificate
from broker.agent.configuration import AgentSettings, IdentitySettings
from broker.agent.identity import IdentityUnusableError
from tests.support.certificates import Issued, issue, of_version_2, rsa_key, to_pem
from tests.support.rows import cases

ROOT = issue("Corp Root", is_authority=True)
ANCHOR = "arn:aws:rolesanywhere:eu-west-1:111122223333:trust-anchor/1-a"
ROLE = "arn:aws:iam::111122223333:role/web"


def files(folder: Path, pem: str, key: str, chain: str = "") -> IdentitySettings:
    params = {"certificate_file": pem, "private_key_file": key, "chain_file": chain}
    for name, text in params.items():
        (folder / name).write_text(text)
    return IdentitySettings(
        **{name: folder / name for name, text in params.items() if text},
        trust_anchor_arn=ANCHOR,
        profile_arn="arn:aws:rolesanywhere:eu-west-1:111122223333:profile/1-a",
        role_arn=ROLE,
    )


@pytest.mark.parametrize("key", [None, rsa_key()], ids=["EC", "RSA"])
def test_a_chain_is_in_one_file_or_two(tmp_path: Path, key: Any) -> None:
    leaf = ROOT.issue("web-1", key=key)
    for pem, further in ((leaf.pem + ROOT.pem, ""), (leaf.pem, ROOT.pem)):
        _, chain = load_certificate(files(tmp_path, pem, leaf.key_pem, further))
        assert chain == [leaf.certificate, ROOT.certificate]


def unusable(folder: Path, pem: str, key: str) -> str:
    with pytest.raises(IdentityUnusableError) as refused:
        load_certificate(files(folder, pem, key))
    return str(refused.value)


def test_files_that_do_not_fit_are_named(tmp_path: Path) -> None:
    leaf, other = ROOT.issue("web-1"), ROOT.issue("web-2")
    assert "cannot be used" in unusable(tmp_path, "nothing", leaf.key_pem)
    assert "cannot be used" in unusable(tmp_path, leaf.pem, "nothing")
    assert "cannot be used" in unusable(tmp_path, "", leaf.key_pem)
    strange = to_pem(of_version_2(leaf.der))
    assert "cannot be used" in unusable(tmp_path, strange, leaf.key_pem)
    assert "is not the one" in unusable(tmp_path, leaf.pem, other.key_pem)
    assert "is not the one" in unusable(tmp_path, ROOT.pem + leaf.pem, leaf.key_pem)
    six = leaf.pem + "".join(issue(f"Level {number}").pem for number in range(6))
    assert "more than 5" in unusable(tmp_path, six, leaf.key_pem)
    key = Ed25519PrivateKey.generate()
    odd = Issued(ROOT.issue("web-3", key=key).certificate, key)
    assert "RSA or EC" in unusable(tmp_path, odd.pem, odd.key_pem)
    both = leaf.key_pem + other.key_pem
    assert "one RSA or EC" in unusable(tmp_path, leaf.pem, both)


class Broker(BrokerApi):
    """Answers as the test says."""

    def __init__(self, status: int, kind: str, body: object) -> None:
        super().__init__("http://127.0.0.1:1", "eu-west-1")
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.answer = (status, kind, raw)

    def post(
        self, path: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, str, bytes]:
        assert path == "/sessions"
        assert json.loads(body)["roleArn"] == ROLE
        assert headers["Authorization"].startswith("AWS4-X509-ECDSA-SHA256 ")
        return self.answer


def ask(folder: Path, status: int, kind: str, body: object) -> str:
    leaf = ROOT.issue("web-1")
    settings = AgentSettings(
        endpoint="http://127.0.0.1:1",
        region="eu-west-1",
        identity=files(folder, leaf.pem, leaf.key_pem),
    )
    machine = CertificateIdentity(settings, Broker(status, kind, body))
    credentials, grant = machine.get_credentials("2.0")
    assert grant.role_arn == ROLE
    return credentials.access_key_id


def test_credentials(tmp_path: Path) -> None:
    held = {
        "accessKeyId": "ASIAEXAMPLE",
        "secretAccessKey": "secret",
        "sessionToken": "token",
        "expiration": "2026-11-27T12:00:00Z",
    }
    body = {"credentialSet": [{"credentials": held}]}
    assert ask(tmp_path, 201, "", body) == "ASIAEXAMPLE"


@cases("status, kind, body")
def test_what_is_worth_another_try(
    tmp_path: Path, status: int, kind: str, body: object
) -> None:
    with pytest.raises(BrokerAwayError):
        ask(tmp_path, status, kind, body)


@cases("kind, code")
def test_a_refusal_has_a_name(tmp_path: Path, kind: str, code: str) -> None:
    with pytest.raises(BrokerRefusedError, match="no such role") as refused:
        ask(tmp_path, 403, kind, {"message": "no such role"})
    assert refused.value.code == code
