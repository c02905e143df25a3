"""Signing in at a real OpenID Connect provider, through the real pages."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx2 as httpx
import pytest

from tests.support.broker import ACCOUNT, RunningBroker, running_broker
from tests.support.identity_providers import Browser, browsing, node_program
from tests.support.servers import find_free_port

SECRET = "a-secret-of-the-test-run-only-0123456789"


@dataclass
class World:
    broker: RunningBroker
    issuer: str
    provider: str

    @property
    def start(self) -> str:
        page = Browser()
        text = page.get(f"{self.broker.url}/signin/{ACCOUNT}").text
        page.close()
        found = text.partition(f"/signin/{ACCOUNT}/with/")[2].partition('"')[0]
        return f"{self.broker.url}/signin/{ACCOUNT}/with/{found}"


def role_arn(name: str) -> str:
    return f"arn:aws:iam::{ACCOUNT}:role/{name}"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder: Path = tmp_path_factory.mktemp("broker")
    port = find_free_port()
    issuer = f"http://localhost:{port}"
    with running_broker(folder, internal_issuers=f"localhost:{port}") as broker:
        callback = f"{broker.url}/signin/oidc/callback"
        with node_program("oidc_provider.mjs", str(port), callback):
            iam = broker.client("iam", broker.create_account())
            arn = iam.create_open_id_connect_provider(
                Url=issuer, ClientIDList=["broker"]
            )["OpenIDConnectProviderArn"]
            trust = {
                "Version": "2012-10-17",
                "Statement": {
                    "Effect": "Allow",
                    "Principal": {"Federated": arn},
                    "Action": "sts:AssumeRoleWithWebIdentity",
                    "Condition": {
                        "StringEquals": {f"localhost:{port}:aud": "broker"},
                        "StringNotEquals": {f"localhost:{port}:sub": "mallory"},
                    },
                },
            }
            for name in ("Staff", "Admin"):
                iam.create_role(
                    RoleName=name, AssumeRolePolicyDocument=json.dumps(trust)
                )
            secret = folder / "secret"
            secret.write_text(SECRET)
            groups = {"staff": [role_arn("Staff")], "admins": [role_arn("Admin")]}
            shown = broker.command(
                *("providers", "set", arn, "ClientId=broker"),
                f"ClientSecret=@{secret}",
                "Scopes=email,groups",
                f"GroupRoles={json.dumps(groups)}",
            )
            assert SECRET not in shown
            yield World(broker, issuer, arn)


def sign_in(world: World, browser: Browser, name: str) -> str:
    """The page where someone ends up."""
    login = browser.get(world.start)
    consent = browser.submit(login, login=name, password="any")
    return browser.submit(consent).text


def test_a_person_ends_in_the_console_with_the_role_of_their_group(
    world: World,
) -> None:
    with browsing() as browser:
        page = sign_in(world, browser, "alice")
        assert browser.url == f"{world.broker.url}/console/"
        assert "assumed-role/Staff/alice@example.com" in page


def test_who_has_several_roles_chooses(world: World) -> None:
    with browsing() as browser:
        sign_in(world, browser, "admin")
        page = browser.get(f"{world.broker.url}/console/")
        assert browser.url.endswith("/signin")  # not before a role is chosen
    with browsing() as browser:
        login = browser.get(world.start)
        consent = browser.submit(login, login="admin", password="any")
        choice = browser.submit(consent)
        page = browser.submit(choice, roleIndex=role_arn("Admin"))
        assert "assumed-role/Admin/admin@example.com" in page.text


def test_a_role_that_was_not_offered_cannot_be_chosen(world: World) -> None:
    with browsing() as browser:
        login = browser.get(world.start)
        choice = browser.submit(browser.submit(login, login="admin", password="any"))
        page = browser.submit(choice, roleIndex=role_arn("Other"))
        assert page.status_code == 403


def test_the_trust_policy_still_decides(world: World) -> None:
    with browsing() as browser:
        page = sign_in(world, browser, "mallory")
        assert "AccessDenied" in page
        assert "/console/" not in browser.url


def begun(world: World) -> tuple[str, dict[str, list[str]]]:
    """The cookie that a browser got, and the request it was sent away with."""
    sent = httpx.get(world.start, trust_env=False)
    query = parse_qs(urlsplit(sent.headers["location"]).query)
    return sent.headers["set-cookie"], query


def test_a_code_for_one_browser_is_good_in_no_other(world: World) -> None:
    """Login CSRF: the victim follows a link with the attacker's state and code."""
    _, query = begun(world)
    callback = f"{world.broker.url}/signin/oidc/callback"
    with browsing() as victim:
        victim.get(world.start)
        page = victim.get(f"{callback}?code=x&state={query['state'][0]}")
        assert page.status_code == 400
        assert "not started in this browser" in page.text


def test_the_request_has_pkce_state_nonce_and_the_exact_redirect_uri(
    world: World,
) -> None:
    cookie, query = begun(world)
    assert query["code_challenge_method"] == ["S256"]
    assert query["response_type"] == ["code"]
    assert query["redirect_uri"] == [f"{world.broker.url}/signin/oidc/callback"]
    assert len(query["state"][0]) == len(query["nonce"][0]) == 43
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie


def test_the_client_secret_is_nowhere_in_the_open(world: World) -> None:
    folder = Path(world.broker.environment["BROKER_DATA_DIR"])
    for path in (*folder.glob("broker.db*"), world.broker.folder / "broker.log"):
        assert SECRET.encode() not in path.read_bytes()
    assert SECRET not in world.broker.command("providers", "list", "--json")
    assert "ClientSecret" not in world.broker.command("export", ACCOUNT)


def test_the_operator_is_told_why_a_token_is_refused(
    world: World, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("not.a.token")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "broker", "providers", "test", world.provider),
            *("--token", str(token)),
        ],
        env=world.broker.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert "FAIL The token is a JWT" in done.stdout
    assert "change: Send the ID token" in done.stdout
