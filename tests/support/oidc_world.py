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


MEMBER, STRICT = "444455556666", "777788889999"


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
    host = f"localhost:{port}"
    organisations = folder / "organisations.yaml"
    members = "\n".join(
        f'      "{number}": {{Providers: [oidc-provider/{host}]}}'
        for number in (ACCOUNT, MEMBER, STRICT)
    )
    mixed = (
        f'      "{MEMBER}": {{Providers: [oidc-provider/{host}]}}\n'
        f'      "{ACCOUNT}": {{Providers: [oidc-provider/elsewhere.example.com]}}\n'
    )
    organisations.write_text(
        f"Organisations:\n  corp:\n    Accounts:\n{members}\n"
        f"  mixed:\n    Accounts:\n{mixed}"
    )
    with running_broker(
        folder, internal_issuers=host, organisations_file=str(organisations)
    ) as broker:
        root = broker.create_account()
        _add_members(broker, issuer)
        arn = _register(broker, root, issuer)
        secret = folder / "secret"
        secret.write_text(SECRET)
        groups = {"staff": [role_arn("Staff")], "admins": [role_arn("Admin")]}
        text = broker.command(
            *("providers", "set", arn, "ClientId=broker"),
            f"ClientSecret=@{secret}",
            "Scopes=email,groups",
            f"GroupRoles={json.dumps(groups)}",
        )
        assert SECRET not in text
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


def _add_members(broker: RunningBroker, issuer: str) -> None:
    """Two more accounts of the organisation; one does not know the broker's client."""
    for number, client in ((MEMBER, "broker"), (STRICT, "app")):
        arn = _register(broker, broker.create_account(number), issuer, client)
        groups = {"admins": [f"arn:aws:iam::{number}:role/Admin"]}
        broker.command("providers", "set", arn, f"GroupRoles={json.dumps(groups)}")


def _register(broker: RunningBroker, root: Key, issuer: str, *clients: str) -> str:
    iam = broker.client("iam", root)
    arn: str = iam.create_open_id_connect_provider(
        Url=issuer, ClientIDList=clients or ["broker", "app"]
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
    for name in ("Staff", "Admin", "App"):
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
    return arn


def _find_start(broker: RunningBroker) -> str:
    page = Browser()
    text = page.get(f"{broker.url}/signin/{ACCOUNT}").text
    page.close()
    value = text.partition(f"/signin/{ACCOUNT}/with/")[2].partition('"')[0]
    return f"{broker.url}/signin/{ACCOUNT}/with/{value}"
