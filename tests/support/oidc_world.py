"""A broker in a process of its own that signs people in at npm's oidc-provider."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.broker import ACCOUNT, Key, RunningBroker, running_broker
from tests.support.identity_providers import Browser, node_program
from tests.support.servers import find_free_port
from tests.support.signin import text_of

SECRET = "a-secret-of-the-test-run-only-0123456789"


def role_arn(name: str) -> str:
    return f"arn:aws:iam::{ACCOUNT}:role/{name}"


@dataclass
class OidcWorld:
    """``start`` is where signing in begins; ``root`` the account's key."""

    broker: RunningBroker
    issuer: str
    provider: str
    start: str
    root: Key


@contextmanager
def oidc_world(folder: Path) -> Iterator[OidcWorld]:
    """Staff and admins of a provider that also tells of logouts."""
    port = find_free_port()
    issuer = f"http://localhost:{port}"
    with running_broker(folder, internal_issuers=f"localhost:{port}") as broker:
        root = broker.create_account()
        arn = _register(broker, root, issuer)
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
        start = _find_start(broker)
        addresses = (
            f"{broker.url}/signin/oidc/callback",
            f"{start}/backchannel-logout",
            f"{broker.url}/signin/signed-out",
        )
        with node_program("oidc_provider.mjs", str(port), *addresses):
            yield OidcWorld(broker, issuer, arn, start, root)


def sign_in(world: OidcWorld, browser: Browser, name: str) -> str:
    """What is to be read on the page where someone ends up."""
    login = browser.get(world.start)
    consent = browser.submit(login, login=name, password="any")
    return text_of(browser.submit(consent))


def _register(broker: RunningBroker, root: Key, issuer: str) -> str:
    iam = broker.client("iam", root)
    arn: str = iam.create_open_id_connect_provider(
        Url=issuer, ClientIDList=["broker", "app"]
    )["OpenIDConnectProviderArn"]
    host = issuer.removeprefix("http://")
    trust = {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Principal": {"Federated": arn},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {
                "StringEquals": {f"{host}:aud": ["broker", "app"]},
                "StringNotEquals": {f"{host}:sub": "mallory"},
            },
        },
    }
    for name in ("Staff", "Admin"):
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
    return arn


def _find_start(broker: RunningBroker) -> str:
    page = Browser()
    text = page.get(f"{broker.url}/signin/{ACCOUNT}").text
    page.close()
    found = text.partition(f"/signin/{ACCOUNT}/with/")[2].partition('"')[0]
    return f"{broker.url}/signin/{ACCOUNT}/with/{found}"
