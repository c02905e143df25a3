"""Responses of npm's samlp and samlify, and of pysaml2, at the doors of the broker."""

import base64
import json
import os
import shutil
import subprocess
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from botocore.exceptions import ClientError

from tests.support.broker import ACCOUNT, Key, RunningBroker, running_broker
from tests.support.identity_providers import NODE
from tests.support.saml_idp import KeyPair, key_pair
from tests.support.signin import BROWSER, text_of

ROLE = f"arn:aws:iam::{ACCOUNT}:role/Staff"
PYTHON = f"arn:aws:iam::{ACCOUNT}:role/Python"
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import saml2
    from saml2.config import IdPConfig
    from saml2.metadata import entity_descriptor
    from saml2.saml import NAMEID_FORMAT_PERSISTENT, NameID
    from saml2.server import Server

NAME = "alice@example.com"
GCM = "http://www.w3.org/2009/xmlenc11#aes256-gcm"
OAEP = "http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p"
SIGNERS = ("samlp", "samlify")
AWS = "https://aws.amazon.com/SAML/Attributes/"


def provider(signer: str) -> str:
    return f"arn:aws:iam::{ACCOUNT}:saml-provider/{signer}"


@dataclass
class World:
    broker: RunningBroker
    root: Key
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
        with httpx.Client(
            trust_env=False, follow_redirects=True, headers=BROWSER
        ) as browser:
            return browser.post(acs, data={"SAMLResponse": response})


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    if shutil.which("node") is None or not (NODE / "node_modules/samlp").is_dir():
        pytest.skip("npm's samlp and samlify are not installed")
    folder: Path = tmp_path_factory.mktemp("signers")
    with running_broker(folder) as broker:
        world = World(broker, broker.create_account())
        iam = broker.client("iam", world.root)
        statements = []
        for signer in SIGNERS:
            world.keys[signer] = key_pair(signer)
            made = iam.create_saml_provider(
                Name=signer,
                SAMLMetadataDocument=world.ask(signer)["metadata"],
                AssertionEncryptionMode="Allowed",
                AddPrivateKey=key_pair("decryption").private_pem.decode(),
            )
            saml_provider = iam.get_saml_provider(
                SAMLProviderArn=made["SAMLProviderArn"]
            )
            world.uuids[signer] = saml_provider["SAMLProviderUUID"]
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


@pytest.fixture(scope="module")
def pysaml2(
    world: World, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., str]:
    """Its identity provider, set up with our metadata and registered with its own."""
    folder: Path = tmp_path_factory.mktemp("pysaml2")
    pair = key_pair("pysaml2")
    (folder / "key.pem").write_bytes(pair.private_pem)
    (folder / "cert.pem").write_bytes(pair.certificate_pem)
    ours = httpx.get(f"{world.broker.url}/static/saml-metadata.xml", trust_env=False)
    (folder / "sp.xml").write_text(ours.text)
    (folder / "maps").mkdir()
    names = {"role": f"{AWS}Role", "session": f"{AWS}RoleSessionName"}
    attributes = {
        "identifier": "urn:oasis:names:tc:SAML:2.0:attrname-format:uri",
        "fro": {name: short for short, name in names.items()},
        "to": names,
    }
    (folder / "maps/aws.py").write_text(f"MAP = {attributes!r}")
    sso = ("https://pysaml2.example/sso", saml2.BINDING_HTTP_REDIRECT)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it uses what cryptography is about to drop
        server = Server(
            config=IdPConfig().load(
                {
                    "entityid": "https://idp.example/pysaml2",
                    "service": {
                        "idp": {"endpoints": {"single_sign_on_service": [sso]}}
                    },
                    "key_file": str(folder / "key.pem"),
                    "cert_file": str(folder / "cert.pem"),
                    "metadata": {"local": [str(folder / "sp.xml")]},
                    "attribute_map_dir": str(folder / "maps"),
                    "xmlsec_binary": "/usr/bin/xmlsec1",
                }
            )
        )
        metadata = str(entity_descriptor(server.config))
    iam = world.broker.client("iam", world.root)
    iam.create_saml_provider(Name="pysaml2", SAMLMetadataDocument=metadata)
    statement = {
        "Effect": "Allow",
        "Principal": {"Federated": provider("pysaml2")},
        "Action": "sts:AssumeRoleWithSAML",
    }
    trust = {"Version": "2012-10-17", "Statement": statement}
    iam.create_role(RoleName="Python", AssumeRolePolicyDocument=json.dumps(trust))

    def respond(**knobs: bool) -> str:
        text = server.create_authn_response(
            identity={"role": [f"{PYTHON},{provider('pysaml2')}"], "session": [NAME]},
            in_response_to=None,
            destination=f"{world.broker.url}/saml",
            sp_entity_id=f"{world.broker.url}/saml",
            name_id=NameID(format=NAMEID_FORMAT_PERSISTENT, text="alice"),
            authn={"class_ref": "urn:oasis:names:tc:SAML:2.0:ac:classes:Password"},
            sign_alg="http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
            digest_alg="http://www.w3.org/2001/04/xmlenc#sha256",
            **knobs,
        )
        return base64.b64encode(str(text).encode()).decode()

    return respond


@pytest.mark.parametrize(
    ("sign_assertion", "sign_response"), [(True, False), (False, True), (True, True)]
)
def test_pysaml2_signs_and_both_doors_open(
    world: World,
    pysaml2: Callable[..., str],
    *,
    sign_assertion: bool,
    sign_response: bool,
) -> None:
    knobs = {"sign_assertion": sign_assertion, "sign_response": sign_response}
    answer = world.broker.client("sts").assume_role_with_saml(
        RoleArn=PYTHON, PrincipalArn=provider("pysaml2"), SAMLAssertion=pysaml2(**knobs)
    )
    assert (answer["Subject"], answer["SubjectType"]) == ("alice", "persistent")
    page = world.sign_in(pysaml2(**knobs), world.acs("pysaml2", own=False))
    assert str(page.url) == f"{world.broker.url}/console/", page.text
    assert f"assumed-role/Python/{NAME}" in text_of(page)
    raw = base64.b64decode(pysaml2(**knobs))
    assert b">alice@" in raw
    changed = base64.b64encode(raw.replace(b">alice@", b">admin@")).decode()
    assert world.sign_in(changed, world.acs("pysaml2", own=False)).status_code == 400


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
    assert f"assumed-role/Staff/{NAME}" in text_of(page)


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
