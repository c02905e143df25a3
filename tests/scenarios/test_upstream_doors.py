"""Other doors than STS to a role with an upstream, by AWS's own clients."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.scenarios.installation import Installation
from tests.scenarios.test_portal import Browser
from tests.scenarios.test_roles_anywhere import World as Machines
from tests.scenarios.test_roles_anywhere import credentials_of, refusal_of
from tests.support.broker import ACCOUNT, REGION, running_broker
from tests.support.machine_agent import add_profile, broker_client, joined, until
from tests.support.oidc_issuer import serving
from tests.support.sso_login import Home
from tests.support.upstream import ROLE, FakeSts, fake_sts

DENIED = b"<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>"


@dataclass
class World:
    front: Installation
    there: FakeSts
    machines: Machines


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with ExitStack() as stack:
        issuer = stack.enter_context(serving("/idp"))
        there = stack.enter_context(fake_sts())
        broker = stack.enter_context(
            running_broker(
                tmp_path_factory.mktemp("broker"),
                internal_issuers=f"127.0.0.1:{issuer.port},127.0.0.1:{there.port}",
            )
        )
        front = Installation(broker, issuer)
        machines = Machines(broker, front.root, front.iam)
        file = broker.folder / "upstream.json"
        definition = {
            "Endpoint": there.url,
            "Method": "AssumeRole",
            "Roles": {"Reader": ROLE, "Machine": ROLE, "web": ROLE},
        }
        file.write_text(json.dumps(definition))
        named = ("upstreams", "set", "aws", "--account", ACCOUNT)
        broker.command(*named, str(file))
        broker.command(*named, "--access-key-id", "AKIAEXAMPLE", stdin="secret\n")
        time.sleep(1.2)  # until the worker knows
        yield World(front, there, machines)


def test_sso_login_gives_the_upstreams_credentials(
    world: World, tmp_path: Path
) -> None:
    home, browser = Home(tmp_path, world.front.broker.url), Browser(world.front)
    with browser.http:
        browser.sign_in()
        home.log_in(browser)
    asked = world.there.asked
    said = home.aws("configure", "export-credentials")
    found = json.loads(said)
    assert found["AccessKeyId"] == f"ASIAUPSTREAM{asked + 1:08}"
    assert found["SessionToken"] == "token"  # the upstream's
    assert found["Expiration"]


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


def test_a_certificate_gives_the_upstreams_credentials(world: World) -> None:
    machines, asked = world.machines, world.there.asked
    leaf = machines.intermediate.issue("web-1")
    entry = credentials_of(machines.ask(leaf, machines.intermediate))
    assert entry["credentials"]["accessKeyId"] == f"ASIAUPSTREAM{asked + 1:08}"
    assert entry["assumedRoleUser"]["arn"].startswith(
        "arn:aws:sts::999988887777:assumed-role/ReadOnly/"
    )


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


def test_an_instance_gets_the_upstreams_credentials(
    world: World, tmp_path: Path
) -> None:
    """Its own last six hours; AWS's roles, an hour unless they say otherwise."""
    broker, front = world.front.broker, world.front
    add_profile(front.iam, "web")
    agent = joined(tmp_path / "agent", broker, broker_client(broker, front.root))
    agent.start()
    try:
        path = "/latest/meta-data/iam/security-credentials/web"
        until(lambda: agent.get(path)[0] == 200)
        found = json.loads(agent.get(path)[1])
    finally:
        agent.stop()
    assert found["AccessKeyId"].startswith("ASIAUPSTREAM")
    assert world.there.form["DurationSeconds"] == "3600"


def test_a_session_ends_when_the_upstreams_does(world: World) -> None:
    found = world.front.web_identity(DurationSeconds=900)["Credentials"]
    shown = world.front.broker.command("sessions", "show", found["AccessKeyId"])
    ends = int(found["Expiration"].timestamp())
    assert json.loads(shown)["expires_at"] == ends
    assert ends > time.time() + 1800  # not what was asked for
