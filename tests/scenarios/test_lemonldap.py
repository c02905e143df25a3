"""Signing in through LemonLDAP::NG: its own pages, its own SAML library (Lasso).

By SAML and by OpenID Connect, in a browser and with the AWS CLI.
"""

import json
import runpy
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, urljoin

import pytest
from lxml import html

from tests.support.broker import ACCOUNT, Key, RunningBroker, running_broker
from tests.support.identity_providers import browsing
from tests.support.lemonldap import LemonLdap, lemonldap
from tests.support.servers import find_free_port, start_redis
from tests.support.signin import text_of

PROVIDER = f"arn:aws:iam::{ACCOUNT}:saml-provider/Lemon"
SAMPLES = Path(__file__).parents[2] / "samples"
SECRET = "a-secret-of-the-test-run-only-0123456789"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/Staff"


@dataclass
class World:
    broker: RunningBroker
    idp: LemonLdap
    uuid: str
    oidc: str
    port: int

    @property
    def idp_initiated(self) -> str:
        sp = quote(f"{self.broker.url}/saml", safe="")
        return f"{self.idp.url}/saml/singleSignOn?IDPInitiated=1&sp={sp}"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder: Path = tmp_path_factory.mktemp("lemonldap")
    with (
        lemonldap(folder / "idp", find_free_port()) as idp,
        start_redis() as redis,
        running_broker(
            folder,
            redis_url=redis.url,
            internal_issuers=idp.url.removeprefix("http://"),
        ) as broker,
    ):
        idp.start()
        iam = broker.client("iam", broker.create_account())
        uuid = iam.create_saml_provider(
            Name="Lemon", SAMLMetadataDocument=idp.metadata()
        )
        oidc = iam.create_open_id_connect_provider(
            Url=f"{idp.url}/", ClientIDList=["broker", "app"]
        )["OpenIDConnectProviderArn"]
        trust = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Federated": PROVIDER},
                    "Action": "sts:AssumeRoleWithSAML",
                },
                {
                    "Effect": "Allow",
                    "Principal": {"Federated": oidc},
                    "Action": "sts:AssumeRoleWithWebIdentity",
                },
            ],
        }
        iam.create_role(RoleName="Staff", AssumeRolePolicyDocument=json.dumps(trust))
        broker.command("providers", "set", PROVIDER, "SignIn=true")
        identifier = iam.get_saml_provider(SAMLProviderArn=PROVIDER)["SAMLProviderUUID"]
        assert uuid["SAMLProviderArn"] == PROVIDER
        address = f"{broker.url}/static/saml/{identifier}/saml-metadata.xml"
        with urllib.request.urlopen(address, timeout=10) as answer:
            metadata = answer.read().decode()
        secret = folder / "secret"
        secret.write_text(SECRET)
        broker.command(
            *("providers", "set", oidc, "ClientId=broker"),
            f"ClientSecret=@{secret}",
            "Scopes=email",
            "NameClaims=email",
        )
        start, port = find_oidc_start(broker), find_free_port()
        idp.start(
            metadata,
            {"brokerrole": f'"{ROLE},{PROVIDER}"', "oidcrole": f'"{ROLE}"'},
            {
                "broker": {
                    "ClientSecret": SECRET,
                    "RequirePKCE": 1,
                    "RedirectUris": f"{broker.url}/signin/oidc/callback",
                    "PostLogoutRedirectUris": f"{broker.url}/signin/signed-out",
                    "LogoutUrl": f"{start}/backchannel-logout",
                    "LogoutType": "back",
                    "LogoutSessionRequired": 1,
                },
                "app": {
                    "Public": 1,
                    "RequirePKCE": 1,
                    "RedirectUris": f"http://127.0.0.1:{port}/callback",
                },
            },
        )
        yield World(broker, idp, identifier, start, port)


def find_oidc_start(broker: RunningBroker) -> str:
    with browsing() as browser:
        page = browser.get(f"{broker.url}/signin/{ACCOUNT}")
    (link,) = html.fromstring(page.text).xpath("//a[contains(., 'localhost')]/@href")
    return urljoin(broker.url, str(link))


def test_sign_in_that_begins_at_the_identity_provider(world: World) -> None:
    with browsing() as browser:
        login = browser.get(world.idp_initiated)
        posting = browser.submit(login, user="dwho", password="dwho")
        page = browser.submit(posting)
        assert browser.url == f"{world.broker.url}/console/", page.text
        assert "assumed-role/Staff/dwho@badwolf.org" in text_of(page)


def test_sign_in_that_begins_here_with_a_signed_request(world: World) -> None:
    start = f"{world.broker.url}/signin/{ACCOUNT}/with/{world.uuid}"
    with browsing() as browser:
        login = browser.get(start)
        posting = browser.submit(login, user="rtyler", password="rtyler")
        page = browser.submit(posting)
        assert browser.url == f"{world.broker.url}/console/", page.text
        assert "assumed-role/Staff/rtyler@badwolf.org" in text_of(page)


def test_the_aws_cli_exchanges_its_assertion(world: World) -> None:
    with browsing() as browser:
        login = browser.get(world.idp_initiated)
        posting = browser.submit(login, user="msmith", password="msmith")
    (response,) = html.fromstring(posting.text).xpath(
        "//input[@name='SAMLResponse']/@value"
    )
    answer = world.broker.aws(
        *("sts", "assume-role-with-saml", "--role-arn", ROLE),
        *("--principal-arn", PROVIDER, "--saml-assertion", response),
    )
    assert answer["Issuer"] == f"{world.idp.url}/saml/metadata"
    assert answer["Subject"] == "msmith@badwolf.org"
    assert caller_of(world, answer).endswith("assumed-role/Staff/msmith@badwolf.org")


def test_sign_in_with_its_openid_connect(world: World) -> None:
    with browsing() as browser:
        login = browser.get(world.oidc)
        page = browser.submit(login, user="dwho", password="dwho")
        assert browser.url == f"{world.broker.url}/console/", page.text
        assert "assumed-role/Staff/dwho@badwolf.org" in text_of(page)


def test_the_aws_cli_exchanges_its_id_token(world: World) -> None:
    mobile = SimpleNamespace(**runpy.run_path(str(SAMPLES / "mobile.py")))
    namespace = SimpleNamespace(
        issuer=f"{world.idp.url}/", client_id="app", port=world.port, scope="openid"
    )

    def visit(url: str) -> None:
        with browsing() as browser:
            browser.submit(browser.get(url), user="rtyler", password="rtyler")

    def open_page(url: str) -> None:
        threading.Thread(target=visit, args=(url,), daemon=True).start()

    answer = world.broker.aws(
        *("sts", "assume-role-with-web-identity", "--role-arn", ROLE),
        *("--role-session-name", "cli"),
        *("--web-identity-token", mobile.sign_in(namespace, open_page)),
    )
    assert answer["SubjectFromWebIdentityToken"] == "rtyler"
    assert caller_of(world, answer).endswith("assumed-role/Staff/cli")


def test_its_logout_ends_the_session_here(world: World) -> None:
    """By its back channel, with a token that has neither type nor expiry."""
    with browsing() as browser:
        login = browser.get(world.oidc)
        browser.submit(login, user="dwho", password="dwho")
        asked = browser.get(f"{world.idp.url}/?logout=1")
        page = browser.get(f"{world.broker.url}/console/")
        assert "Your session has ended" in page.text, asked.text


def caller_of(world: World, answer: dict[str, Any]) -> str:
    key = Key.of(answer["Credentials"])
    arn: str = world.broker.client("sts", key).get_caller_identity()["Arn"]
    return arn


def test_its_saml_logout_ends_the_session_here(world: World) -> None:
    """By a signed LogoutRequest that a frame of its page brings."""
    with browsing() as browser:
        login = browser.get(world.idp_initiated)
        posting = browser.submit(login, user="dwho", password="dwho")
        browser.submit(posting)
        asked = browser.get(f"{world.idp.url}/?logout=1")
        (frame,) = html.fromstring(asked.text).xpath("//iframe/@src")
        assert frame.startswith(f"{world.broker.url}/saml/slo/{world.uuid}?")
        answered = browser.get(frame)
        # Lasso took our answer: a bad one is an error page of its portal.
        assert browser.url.startswith(f"{world.idp.url}/"), answered.text
        assert answered.status_code == 200, answered.text
        browser.get(f"{world.broker.url}/console/")
        assert browser.url == f"{world.broker.url}/signin"
    (record, *_) = world.broker.command(
        "audit", "--json", "--action", "signin:EndConsoleSessions"
    ).splitlines()
    assert len(json.loads(record)["parameters"]["AccessKeyIds"]) == 1
