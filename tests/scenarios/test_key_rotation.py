"""What signing in keeps sealed, through a rotation and through the loss of a key."""

import asyncio
import base64
import json
import sqlite3
import time
import zlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx2 as httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from lxml import etree
from typer.testing import CliRunner

from broker.cli.main import app
from broker.compose.installation import open_installation
from broker.compose.resealing import Resealer
from broker.sessions.keys import SESSION_MAX
from broker.settings import load_settings
from tests.support.broker import ACCOUNT, RunningBroker
from tests.support.identity_providers import browsing
from tests.support.oidc_world import OidcWorld, oidc_world, sign_in
from tests.support.saml_idp import metadata_xml

SAML = f"arn:aws:iam::{ACCOUNT}:saml-provider/Corp"


@dataclass
class World(OidcWorld):
    """``saml_start`` is where signing in with the SAML provider begins."""

    saml_start: str


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with oidc_world(tmp_path) as made:
        iam = made.broker.client("iam", made.root)
        iam.create_saml_provider(Name="Corp", SAMLMetadataDocument=metadata_xml())
        command(made.broker, "providers", "set", SAML, "SignIn=true")
        uuid = iam.get_saml_provider(SAMLProviderArn=SAML)["SAMLProviderUUID"]
        start = f"{made.broker.url}/signin/{ACCOUNT}/with/{uuid}"
        yield World(**vars(made), saml_start=start)


def signs_in(world: World) -> bool:
    with browsing() as browser:
        return "assumed-role/Staff" in sign_in(world, browser, "alice")


def published_key(world: World) -> rsa.RSAPublicKey:
    """As our metadata tells identity providers."""
    text = httpx.get(
        f"{world.broker.url}/static/saml-metadata.xml", trust_env=False
    ).content
    (certificate,) = etree.fromstring(text).xpath(
        "//*[@use='signing']//*[local-name()='X509Certificate']/text()"
    )
    key = x509.load_der_x509_certificate(base64.b64decode(certificate)).public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    return key


def requests_are_signed(world: World) -> bool:
    """With the published key, as an identity provider checks it."""
    sent = httpx.get(world.saml_start, trust_env=False)
    if sent.status_code != 303:
        return False
    query = urlsplit(sent.headers["location"]).query
    signed, _, signature = query.partition("&Signature=")
    request = zlib.decompress(base64.b64decode(parse_qs(query)["SAMLRequest"][0]), -15)
    assert b"AuthnRequest" in request
    assert signature
    published_key(world).verify(
        base64.b64decode(parse_qs(query)["Signature"][0]),
        signed.encode(),
        padding.PKCS1v15(),
        hashes.SHA256(),
    )
    return True


def command(broker: RunningBroker, *words: str, fails: bool = False) -> str:
    """What a command prints, in this process: it is one of many."""
    result = CliRunner(env=broker.environment).invoke(app, words)
    assert (result.exit_code != 0) is fails, result.output
    return result.stdout


def rotate(broker: RunningBroker) -> bool:
    """A storage key's rotation and what follows later; whether the old key is gone."""
    number = storage_key(broker)
    command(broker, "keys", "rotate", "--kind", "storage")
    for passed in (timedelta(minutes=3), SESSION_MAX):
        with closing(sqlite3.connect(database(broker))) as connection:
            connection.execute(
                "UPDATE sealing_keys SET seals_from = seals_from - ?",
                (passed // timedelta(microseconds=1),),
            )
            connection.commit()
        time.sleep(1.1)  # the broker reads the keys within a second
        asyncio.run(look_twice(database(broker).parent))
    return number not in [
        str(json.loads(line)["number"])
        for line in command(broker, "keys", "list", "--json").splitlines()
    ]


def database(broker: RunningBroker) -> Path:
    return Path(broker.environment["BROKER_DATA_DIR"]) / "broker.db"


async def look_twice(folder: Path) -> None:
    """As a worker does from time to time."""
    async with open_installation(load_settings(data_dir=folder)) as opened:
        resealer = Resealer(opened)
        assert (await resealer.look()).broken == []
        await resealer.look()


def storage_key(broker: RunningBroker) -> str:
    """The number of the one that seals."""
    listing = command(broker, "keys", "list", "--json").splitlines()
    (number,) = (
        str(key["number"])
        for key in map(json.loads, listing)
        if key["kind"] == "storage" and key["use"] == "seals and opens"
    )
    return number


def doctor(broker: RunningBroker) -> dict[str, str]:
    """The remedy of each problem; the world's organisations have one of their own."""
    result = CliRunner(env=broker.environment).invoke(app, ["doctor", "--json"])
    findings = map(json.loads, result.stdout.splitlines())
    problems = {f["subject"]: f["remedy"] for f in findings if f["level"] == "problem"}
    assert problems.pop("organisations")
    return problems


def test_signing_in_goes_on_when_the_storage_key_is_rotated(world: World) -> None:
    broker = world.broker
    assert signs_in(world)
    assert requests_are_signed(world)
    before = published_key(world)
    for _ in range(2):
        assert rotate(broker)
        assert signs_in(world)
        assert requests_are_signed(world)
    broker.stop()
    broker.start()
    assert signs_in(world)
    assert requests_are_signed(world)
    assert published_key(world) == before
    assert doctor(broker) == {}


def test_a_lost_storage_key_is_told_of_and_made_up_for(world: World) -> None:
    broker = world.broker
    assert requests_are_signed(world)
    before = published_key(world)
    printed = command(broker, "keys", "revoke", storage_key(broker))
    assert "client secret of OIDC provider localhost:" in printed
    assert "The key that signs SAML requests was replaced." in printed
    broker.stop()
    broker.start()
    assert requests_are_signed(world)
    assert httpx.get(world.start, trust_env=False).status_code == 400
    remedies = doctor(broker)
    for subject, remedy in remedies.items():
        if subject.startswith("client secret of OIDC provider"):
            assert remedy == f"broker providers set {world.provider} ClientSecret=@FILE"
    assert any(s.startswith("client secret of OIDC provider") for s in remedies)
    assert "the key that signs SAML requests" not in remedies

    secret = broker.folder / "secret"
    command(broker, "providers", "set", world.provider, f"ClientSecret=@{secret}")
    assert signs_in(world)
    command(broker, "account", "root-key", ACCOUNT, "--deactivate")
    remaining = doctor(broker)
    assert not any("SAML" in s or "OIDC" in s for s in remaining), remaining
    broker.stop()
    broker.start()
    assert httpx.get(
        f"{broker.url}/static/saml-metadata.xml", trust_env=False
    ).is_success
    assert published_key(world) != before
