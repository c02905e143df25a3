"""Every way to a role with an upstream, by AWS's own clients.

The upstream answers as AWS does, so its access key IDs carry an account: one that is
not here.
"""

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from lxml import html

from tests.scenarios.flows.test_oidc_signin import begin_device, client_of, unsigned
from tests.scenarios.installation import ADMIN, READER, Installation, policy
from tests.scenarios.test_portal import Browser
from tests.scenarios.test_roles_anywhere import World as Machines
from tests.scenarios.test_roles_anywhere import credentials_of, refusal_of
from tests.support.broker import ACCOUNT, REGION, Key
from tests.support.identity_providers import Browser as Browsing
from tests.support.identity_providers import browsing
from tests.support.machine_agent import add_profile, broker_client, joined, until
from tests.support.oidc_issuer import serving
from tests.support.portal import DEVICE_CODE
from tests.support.sso_login import Home
from tests.support.storage import STORAGES, broker_on
from tests.support.upstream import ROLE, TOKEN, FakeSts, fake_sts, key_id

DENIED = b"<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>"
ROLES = {"Reader": ROLE, "Machine": ROLE, "web": ROLE}
TOKENS = f"arn:aws:iam::{ACCOUNT}:role/Tokens"
START = f"/portal/{ACCOUNT}"


@dataclass
class World:
    front: Installation
    there: FakeSts
    machines: Machines
    user: Key
    """Of a user who may assume every role."""

    def upstream(self, name: str, method: str, roles: dict[str, str]) -> None:
        file = self.front.broker.folder / f"{name}.json"
        definition = {
            "Endpoint": self.there.url,
            "Method": method,
            "Roles": roles,
            "SignIn": f"{self.there.url}/federation",
            "Console": f"{self.there.url}/console/",
        }
        file.write_text(json.dumps(definition))
        named = ("upstreams", "set", name, "--account", ACCOUNT)
        command = self.front.broker.command
        command(*named, str(file))
        command(*named, "--access-key-id", "AKIAIOSFODNN7EXAMPLE", stdin="secret\n")

    def assume(self, key: Key, role: str = READER) -> str:
        """The access key ID of a role's session, assumed with a key."""
        answer = self.front.broker.client("sts", key).assume_role(
            RoleArn=role, RoleSessionName="alice"
        )
        access_key_id: str = answer["Credentials"]["AccessKeyId"]
        return access_key_id


def trust_accounts(iam: Any, *names: str) -> None:
    """Have roles trust the principals of their account, too."""
    for name in names:
        text = iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"]
        statement = {
            "Effect": "Allow",
            "Principal": {"AWS": ACCOUNT},
            "Action": "sts:AssumeRole",
        }
        text["Statement"].append(statement)
        iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(text))


@pytest.fixture(scope="module", params=STORAGES)
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    with ExitStack() as stack:
        issuer = stack.enter_context(serving("/idp"))
        there = stack.enter_context(fake_sts())
        broker = stack.enter_context(
            broker_on(
                request.param,
                tmp_path_factory.mktemp("broker"),
                workers=1 if request.param == "embedded" else 2,
                internal_issuers=f"127.0.0.1:{issuer.port},127.0.0.1:{there.port}",
            )
        )
        front = Installation(broker, issuer)
        iam = front.iam
        trusted = iam.get_role(RoleName="Admin")["Role"]["AssumeRolePolicyDocument"]
        iam.create_role(RoleName="Tokens", AssumeRolePolicyDocument=json.dumps(trusted))
        trust_accounts(iam, "Admin", "Reader", "Tokens")
        iam.create_user(UserName="alice")
        iam.put_user_policy(
            UserName="alice", PolicyName="assume", PolicyDocument=policy("sts:*")
        )
        key = iam.create_access_key(UserName="alice")["AccessKey"]
        made = World(
            front,
            there,
            Machines(broker, front.root, iam),
            Key(key["AccessKeyId"], key["SecretAccessKey"]),
        )
        made.upstream("aws", "AssumeRole", ROLES)
        made.upstream("tokens", "FederationToken", {"Tokens": ""})
        time.sleep(1.2)  # until every worker knows
        yield made


def by_chain(world: World) -> str:
    admin = world.front.saml(world.front.assertion(ADMIN), RoleArn=ADMIN)
    key = Key.of(admin["Credentials"])
    for _ in range(3):
        sts = world.front.broker.client("sts", key)
        key = Key.of(
            sts.assume_role(RoleArn=ADMIN, RoleSessionName="alice")["Credentials"]
        )
    return world.assume(key)


def by_session_token(world: World) -> str:
    sts = world.front.broker.client("sts", world.user)
    return world.assume(Key.of(sts.get_session_token()["Credentials"]))


def by_federation_token(world: World) -> str:
    """The upstream's; those made here may assume no role."""
    sts = world.front.broker.client("sts", world.user)
    return world.assume(Key.of(sts.get_session_token()["Credentials"]), TOKENS)


def by_portal(world: World) -> str:
    """What ``aws sso login`` and the SDKs do."""
    url = world.front.broker.url
    device, oidc = begin_device(url)
    browser = Browser(world.front)
    with browser.http:
        browser.sign_in()
        browser.allow(device["verificationUriComplete"])
    token = oidc.create_token(
        grantType=DEVICE_CODE, deviceCode=device["deviceCode"], **client_of(device)
    )["accessToken"]
    answer = unsigned("sso", f"{url}/sso").get_role_credentials(
        roleName="Reader", accountId=ACCOUNT, accessToken=token
    )
    access_key_id: str = answer["roleCredentials"]["accessKeyId"]
    return access_key_id


def role_page(world: World, browser: Browsing) -> Any:
    """The portal's page of the role, of a person who signed in."""
    browser.post(
        world.front.acs, SAMLResponse=world.front.assertion(), RelayState=START
    )
    place = f"{world.front.broker.url}{START}"
    return browser.get(f"{place}/role?role={READER}")


def by_show_credentials(world: World) -> str:
    with browsing() as browser:
        page = role_page(world, browser)
        label = browser.submit(page, f"{START}/credentials").text
    # They are good at the upstream, and not where the broker is.
    tree = html.fromstring(label)
    for form in ("bash", "powershell", "fish", "file_config", "process_config"):
        (text,) = tree.xpath(f"//pre[@id='{form}']")
        assert "us-east-1" in text.text_content()
        assert world.front.broker.url not in text.text_content()
    (match,) = set(re.findall(r"ASIA[A-Z2-7]{16}", label))
    return str(match)


def by_open_console(world: World) -> str:
    with browsing() as browser:
        page = role_page(world, browser)
        text = browser.submit(page, f"{START}/console").text
    return console_key(world, text)


def by_switching_roles(world: World) -> str:
    front = world.front
    with browsing() as browser:
        browser.post(front.acs, SAMLResponse=front.assertion(ADMIN))
        page = browser.get(f"{front.broker.url}/console/switch")
        text = browser.submit(page, "/console/switch", role=READER).text
    return console_key(world, text)


def console_key(world: World, text: str) -> str:
    """Whose sign-in token the page's link to the upstream's console has."""
    links = re.findall(r'id="upstream_console" class="[^"]*" href="([^"]*)"', text)
    assert links, text
    assert unescape(links[0]).startswith(f"{world.there.url}/federation?Action=login&")
    session_id: str = json.loads(world.there.form["Session"])["sessionId"]
    return session_id


def by_certificate(world: World) -> str:
    machines = world.machines
    leaf = machines.intermediate.issue("web-1")
    entry = credentials_of(machines.ask(leaf, machines.intermediate))
    assert entry["assumedRoleUser"]["arn"].startswith(
        "arn:aws:sts::999988887777:assumed-role/ReadOnly/"
    )
    access_key_id: str = entry["credentials"]["accessKeyId"]
    return access_key_id


def by_machine(world: World) -> str:
    """Its own sessions last six hours; AWS's roles, an hour unless they say otherwise."""
    broker, front = world.front.broker, world.front
    add_profile(front.iam, "web")
    agent = joined(broker.folder / "agent", broker, broker_client(broker, front.root))
    agent.start()
    try:
        path = "/latest/meta-data/iam/security-credentials/web"
        until(lambda: agent.get(path)[0] == 200)
        access_key_id: str = json.loads(agent.get(path)[1])["AccessKeyId"]
    finally:
        agent.stop()
    assert world.there.form["DurationSeconds"] == "3600"
    return access_key_id


WAYS: dict[str, Callable[[World], str]] = {
    "chain": by_chain,
    "session token": by_session_token,
    "federation token": by_federation_token,
    "portal": by_portal,
    "show credentials": by_show_credentials,
    "open console": by_open_console,
    "switch role": by_switching_roles,
    "machine": by_machine,
    "certificate": by_certificate,
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_leads_to_the_upstreams_credentials(world: World, way: str) -> None:
    asked = world.there.asked
    text = WAYS[way](world)
    assert text == key_id(asked + 1)
    view = json.loads(world.front.broker.command("sessions", "show", text))
    assert (view["state"], view["account"]) == ("live", ACCOUNT)


def test_sso_login_gives_the_upstreams_credentials(
    world: World, tmp_path: Path
) -> None:
    home, browser = Home(tmp_path, world.front.broker.url), Browser(world.front)
    with browser.http:
        browser.sign_in()
        home.log_in(browser)
    asked = world.there.asked
    said = home.aws("configure", "export-credentials")
    match = json.loads(said)
    assert match["AccessKeyId"] == key_id(asked + 1)
    assert match["SessionToken"] == TOKEN
    assert match["Expiration"]


def test_an_upstreams_refusal_is_named_to_terminals(
    world: World, tmp_path: Path
) -> None:
    home, browser = Home(tmp_path, world.front.broker.url), Browser(world.front)
    with browser.http:
        browser.sign_in()
        home.log_in(browser)
    sso = boto3.client(
        "sso",
        endpoint_url=f"{world.front.broker.url}/sso",
        region_name=REGION,
        aws_access_key_id="none",
        aws_secret_access_key="none",
        config=Config(retries={"total_max_attempts": 1}),
    )
    world.there.status, world.there.body = 403, DENIED
    try:
        with pytest.raises(ClientError) as refused:
            sso.get_role_credentials(
                roleName="Reader",
                accountId=ACCOUNT,
                accessToken=home.token["accessToken"],
            )
    finally:
        world.there.status, world.there.body = 200, None
    assert refused.value.response["Error"]["Code"] == "UpstreamRefused"


def test_an_upstreams_refusal_is_named_to_machines(world: World) -> None:
    machines, leaf = world.machines, world.machines.intermediate.issue("web-2")
    world.there.status, world.there.body = 403, DENIED
    try:
        answer = machines.ask(leaf, machines.intermediate)
    finally:
        world.there.status, world.there.body = 200, None
    _, code, message = refusal_of(answer)
    assert code == "UpstreamRefused"
    assert "AccessDenied" in message


def test_a_session_ends_when_the_upstreams_does(world: World) -> None:
    credentials = world.front.web_identity(DurationSeconds=900)["Credentials"]
    text = world.front.broker.command("sessions", "show", credentials["AccessKeyId"])
    ends = int(credentials["Expiration"].timestamp())
    assert json.loads(text)["expires_at"] == ends
    assert ends > time.time() + 1800  # not what was asked for
