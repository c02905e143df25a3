"""docs/upstreams.md from nothing, with a second broker in AWS's place."""

import os
import re
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from html import unescape
from pathlib import Path

import pytest

from tests.support import saml_idp
from tests.support.broker import Key, RunningBroker, running_broker
from tests.support.identity_providers import browsing
from tests.support.signin import text_of
from tests.support.walk import Walk, read_steps, walking

PAGE = Path(__file__).parents[2] / "docs" / "upstreams.md"
PAIRS = {"111122223333": "999988887777", "444455556666": "666655554444"}
ISSUER = "https://broker.example.com"


@pytest.fixture
def brokers(tmp_path: Path) -> Iterator[tuple[RunningBroker, RunningBroker]]:
    """The page's, and one that is AWS."""
    for name in ("front", "aws", "work"):
        (tmp_path / name).mkdir()
    with ExitStack() as stack:
        front = stack.enter_context(running_broker(tmp_path / "front", start=False))
        aws = stack.enter_context(
            running_broker(tmp_path / "aws", internal_issuers=f"127.0.0.1:{front.port}")
        )
        front.environment["BROKER_INTERNAL_ISSUERS"] = f"127.0.0.1:{aws.port}"
        front.start()
        yield front, aws


def profiles(aws: RunningBroker) -> str:
    """Those of who administers the two AWS accounts."""
    text = ""
    for name, account in zip(("production", "sandbox"), PAIRS.values(), strict=True):
        key: Key = aws.create_account(account)
        text += (
            f"[profile {name}]\nregion = eu-west-1\nendpoint_url = {aws.url}\n"
            f"aws_access_key_id = {key.access_key_id}\n"
            f"aws_secret_access_key = {key.secret_access_key}\n"
        )
    return text


def test_from_nothing_to_the_console(
    brokers: tuple[RunningBroker, RunningBroker], tmp_path: Path
) -> None:
    front, aws = brokers
    (tmp_path / "config").write_text(profiles(aws))
    walk = Walk(
        tmp_path / "work",
        {
            **front.environment,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "AWS_CONFIG_FILE": str(tmp_path / "config"),
            "AWS_EC2_METADATA_DISABLED": "true",
        },
        instead={
            "https://sts.eu-west-1.amazonaws.com": aws.url,
            "https://signin.aws.amazon.com/federation": f"{aws.url}/federation",
            "https://console.aws.amazon.com/": f"{aws.url}/console/",
            ISSUER: front.url,
            ISSUER.removeprefix("https://"): front.url.removeprefix("http://"),
            "<EntityDescriptor …>   # your identity provider's metadata": (
                saml_idp.metadata_xml(wrap=False).strip()
            ),
        },
    )
    with walking(walk, shares_network=True) as here:
        here.do(read_steps(PAGE, "End to end: sign in to the AWS console"))
        _sign_in(front, aws)
        # No key of AWS's is with the broker.
        text = front.command("upstreams", "list", "--json")
        assert '"AccessKeyId": ""' in text
        assert "AKIA" not in text
        template = tmp_path / "work" / "production.yaml"
        role = "arn:aws:iam::999988887777:role/BrokerRevocation"
        added = f"          Revocation: {{Role: {role}, Endpoint: {aws.url}}}\n"
        template.write_text(template.read_text() + added)
        here.do(read_steps(PAGE, "Ending sessions in AWS"))


def _sign_in(front: RunningBroker, aws: RunningBroker) -> None:
    """As Alice, to AWS's console."""
    acs = f"{front.url}/saml"
    response = saml_idp.build_response(
        now=datetime.now(UTC),
        assertion_id=f"_{uuid.uuid4().hex}",
        recipient=acs,
        audience=acs,
        response={"destination": acs},
        attributes=saml_idp.aws_attributes(
            role=[
                f"arn:aws:iam::{each}:role/ReadOnly,arn:aws:iam::{each}"
                ":saml-provider/Corp"
                for each in PAIRS
            ],
            session_name="alice@example.com",
        ),
    )
    with browsing() as browser:
        page = browser.post(acs, SAMLResponse=response)
        assert {"production", "sandbox"} <= set(re.findall(r"\w+", text_of(page)))
        chosen = browser.submit(
            page, roleIndex="arn:aws:iam::111122223333:role/ReadOnly"
        )
        (link,) = re.findall(
            r'id="upstream_console" class="[^"]*" href="([^"]*)"', chosen.text
        )
        console = browser.get(unescape(link))
    assert browser.url == f"{aws.url}/console/", text_of(console)
    said = text_of(console)
    assert "assumed-role/ReadOnly/alice@example.com" in said
    assert "999988887777" in said.replace("-", "")
