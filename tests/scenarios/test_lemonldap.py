"""Signing in through LemonLDAP::NG: its own pages, its own SAML library (Lasso)."""

import json
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.support.broker import ACCOUNT, RunningBroker, running_broker
from tests.support.identity_providers import browsing
from tests.support.lemonldap import LemonLdap, lemonldap
from tests.support.servers import find_free_port, start_redis

PROVIDER = f"arn:aws:iam::{ACCOUNT}:saml-provider/Lemon"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/Staff"


@dataclass
class World:
    broker: RunningBroker
    idp: LemonLdap
    uuid: str


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder: Path = tmp_path_factory.mktemp("lemonldap")
    with (
        lemonldap(folder / "idp", find_free_port()) as idp,
        start_redis() as redis,
        running_broker(folder, redis_url=redis.url) as broker,
    ):
        idp.start()
        iam = broker.client("iam", broker.create_account())
        uuid = iam.create_saml_provider(
            Name="Lemon", SAMLMetadataDocument=idp.metadata()
        )
        trust = {
            "Version": "2012-10-17",
            "Statement": {
                "Effect": "Allow",
                "Principal": {"Federated": PROVIDER},
                "Action": "sts:AssumeRoleWithSAML",
            },
        }
        iam.create_role(RoleName="Staff", AssumeRolePolicyDocument=json.dumps(trust))
        broker.command("providers", "set", PROVIDER, "SignIn=true")
        identifier = iam.get_saml_provider(SAMLProviderArn=PROVIDER)["SAMLProviderUUID"]
        assert uuid["SAMLProviderArn"] == PROVIDER
        address = f"{broker.url}/static/saml/{identifier}/saml-metadata.xml"
        with urllib.request.urlopen(address, timeout=10) as answer:
            metadata = answer.read().decode()
        idp.start(metadata, {"brokerrole": f'"{ROLE},{PROVIDER}"'})
        yield World(broker, idp, identifier)


def test_sign_in_that_begins_at_the_identity_provider(world: World) -> None:
    sp = quote(f"{world.broker.url}/saml", safe="")
    start = f"{world.idp.url}/saml/singleSignOn?IDPInitiated=1&sp={sp}"
    with browsing() as browser:
        login = browser.get(start)
        posting = browser.submit(login, user="dwho", password="dwho")
        page = browser.submit(posting)
        assert browser.url == f"{world.broker.url}/console/", page.text
        assert "assumed-role/Staff/dwho@badwolf.org" in page.text


def test_sign_in_that_begins_here_with_a_signed_request(world: World) -> None:
    start = f"{world.broker.url}/signin/{ACCOUNT}/with/{world.uuid}"
    with browsing() as browser:
        login = browser.get(start)
        posting = browser.submit(login, user="rtyler", password="rtyler")
        page = browser.submit(posting)
        assert browser.url == f"{world.broker.url}/console/", page.text
        assert "assumed-role/Staff/rtyler@badwolf.org" in page.text
