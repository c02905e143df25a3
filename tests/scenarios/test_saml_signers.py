"""Responses of npm's samlp and samlify, through the doors that people and clients use."""

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from botocore.exceptions import ClientError

from tests.support.broker import ACCOUNT, Key, RunningBroker, running_broker
from tests.support.identity_providers import NODE
from tests.support.saml_idp import KeyPair, key_pair

ROLE = f"arn:aws:iam::{ACCOUNT}:role/Staff"
NAME = "alice@example.com"
GCM = "http://www.w3.org/2009/xmlenc11#aes256-gcm"
OAEP = "http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p"
SIGNERS = ("samlp", "samlify")


def provider(signer: str) -> str:
    return f"arn:aws:iam::{ACCOUNT}:saml-provider/{signer}"


@dataclass
class World:
    broker: RunningBroker
    keys: dict[str, KeyPair] = field(default_factory=dict)
    uuids: dict[str, str] = field(default_factory=dict)

    def ask(self, signer: str, key: KeyPair | None = None, **options: Any) -> Any:
        """What a library signs for ``acs``, and its metadata."""
        key = key or self.keys[signer]
        acs = options.pop("acs", f"{self.broker.url}/saml")
        order = {
            "signer": signer,
            "issuer": f"https://idp.example/{signer}",
            "key": key.private_pem.decode(),
            "cert": key.certificate_pem.decode(),
            "acs": acs,
            "audience": f"{self.broker.url}/saml",
            "person": {"name": NAME, "roles": [f"{ROLE},{provider(signer)}"]},
            "encryptionCert": key_pair("decryption").certificate_pem.decode(),
            "options": options,
        }
        done = subprocess.run(
            ["node", "saml_signers.mjs"],
            input=json.dumps(order),
            cwd=NODE,
            env={"PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def assume(self, signer: str, response: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.broker.client("sts").assume_role_with_saml(
            RoleArn=ROLE, PrincipalArn=provider(signer), SAMLAssertion=response
        )
        return answer

    def acs(self, signer: str, *, own: bool) -> str:
        """Where responses go; only the provider's own takes encrypted ones."""
        common = f"{self.broker.url}/saml"
        return f"{common}/acs/{self.uuids[signer]}" if own else common

    def sign_in(self, response: str, acs: str) -> httpx.Response:
        """The last page after the posted response."""
        with httpx.Client(trust_env=False, follow_redirects=True) as browser:
            return browser.post(acs, data={"SAMLResponse": response})


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    if shutil.which("node") is None or not (NODE / "node_modules/samlp").is_dir():
        pytest.skip("npm's samlp and samlify are not installed")
    folder: Path = tmp_path_factory.mktemp("signers")
    with running_broker(folder) as broker:
        world = World(broker)
        iam = broker.client("iam", broker.create_account())
        statements = []
        for signer in SIGNERS:
            world.keys[signer] = key_pair(signer)
            made = iam.create_saml_provider(
                Name=signer,
                SAMLMetadataDocument=world.ask(signer)["metadata"],
                AssertionEncryptionMode="Allowed",
                AddPrivateKey=key_pair("decryption").private_pem.decode(),
            )
            found = iam.get_saml_provider(SAMLProviderArn=made["SAMLProviderArn"])
            world.uuids[signer] = found["SAMLProviderUUID"]
            statements.append(
                {
                    "Effect": "Allow",
                    "Principal": {"Federated": provider(signer)},
                    "Action": "sts:AssumeRoleWithSAML",
                }
            )
        trust = {"Version": "2012-10-17", "Statement": statements}
        iam.create_role(RoleName="Staff", AssumeRolePolicyDocument=json.dumps(trust))
        yield world


CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "samlp signs the assertion": ("samlp", {}),
    "samlp signs the response": (
        "samlp",
        {"signResponse": True, "signAssertion": False},
    ),
    "samlp signs both": ("samlp", {"signResponse": True}),
    "samlp with a prefix": ("samlp", {"signatureNamespacePrefix": "ds"}),
    "samlp encrypts": (
        "samlp",
        {
            "encryptionCert": key_pair("decryption").certificate_pem.decode(),
            "encryptionPublicKey": key_pair("decryption").public_pem.decode(),
            "encryptionAlgorithm": GCM,
        },
    ),
    "samlify signs the assertion": ("samlify", {}),
    "samlify signs the message": (
        "samlify",
        {"wantMessageSigned": True, "wantAssertionsSigned": False},
    ),
    "samlify signs both": ("samlify", {"wantMessageSigned": True}),
    "samlify encrypts": (
        "samlify",
        {
            "isAssertionEncrypted": True,
            "dataEncryptionAlgorithm": GCM,
            "keyEncryptionAlgorithm": OAEP,
        },
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_library_signs_and_both_doors_open(world: World, case: str) -> None:
    signer, options = CASES[case]
    acs = world.acs(signer, own="encrypts" in case)
    answer = world.assume(signer, world.ask(signer, acs=acs, **options)["response"])
    assert answer["Issuer"] == f"https://idp.example/{signer}"
    assert answer["Subject"] == NAME
    caller = world.broker.client("sts", Key.of(answer["Credentials"]))
    arn = caller.get_caller_identity()["Arn"]
    assert arn.endswith(f"assumed-role/Staff/{NAME}")
    page = world.sign_in(world.ask(signer, acs=acs, **options)["response"], acs)
    assert str(page.url) == f"{world.broker.url}/console/"
    assert f"assumed-role/Staff/{NAME}" in page.text


TAMPERING: dict[str, tuple[bytes, bytes]] = {
    "another person": (b">alice@", b">admin@"),
    "another role": (b":role/Staff,", b":role/Admin,"),
    "a later end": (b'NotOnOrAfter="2', b'NotOnOrAfter="3'),
    "another digest": (b"DigestValue>", b"DigestValue>AAAA"),
}


@pytest.mark.parametrize("signer", SIGNERS)
@pytest.mark.parametrize("change", TAMPERING)
def test_what_was_changed_afterwards_opens_neither(
    world: World, signer: str, change: str
) -> None:
    raw = base64.b64decode(world.ask(signer)["response"])
    before, after = TAMPERING[change]
    assert before in raw
    changed = base64.b64encode(raw.replace(before, after, 1)).decode()
    assert "Response signature invalid" in refusal(world, signer, changed)


@pytest.mark.parametrize("signer", SIGNERS)
def test_another_key_opens_neither(world: World, signer: str) -> None:
    response = world.ask(signer, key_pair("somebody else"))["response"]
    assert "Response signature invalid" in refusal(world, signer, response)


def refusal(world: World, signer: str, response: str) -> str:
    """Of both doors; the text of the API's."""
    page = world.sign_in(response, world.acs(signer, own=False))
    assert page.status_code == 400
    assert "/console/" not in str(page.url)
    with pytest.raises(ClientError) as caught:
        world.assume(signer, response)
    error = caught.value.response["Error"]
    assert error["Code"] == "InvalidIdentityToken"
    return str(error["Message"])
