"""AWS's own credential helper, by the configuration of the page on Roles Anywhere."""

import configparser
import re
import shlex
import subprocess
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.test_protected import running
from tests.scenarios.test_roles_anywhere import World
from tests.support.aws_cli import AWS_CLI_1, aws_cli_2
from tests.support.broker import ACCOUNT, Key, RunningBroker
from tests.support.certificates import Issued, elliptic_key, issue, rsa_key
from tests.support.programs import installed, program_marks
from tests.support.servers import find_free_port

pytestmark = program_marks("aws_signing_helper")

PAGE = (Path(__file__).parents[2] / "docs" / "roles-anywhere.md").read_text("utf-8")
(PROFILE,) = re.findall(r"```ini\n(\[default\].*?)```", PAGE, re.DOTALL)
ROLE = f"arn:aws:sts::{ACCOUNT}:assumed-role/Machine/"


@pytest.fixture(scope="module")
def world(broker: RunningBroker, root: Key, iam: Any) -> World:
    installed("aws_signing_helper")
    return World(broker, root, iam)


def command(
    world: World, folder: Path, machine: Issued, chain: Sequence[Issued]
) -> str:
    """The page's, for a certificate and what goes with it."""
    (folder / "machine.pem").write_text(machine.pem)
    (folder / "machine.key").write_text(machine.key_pem)
    (folder / "chain.pem").write_text("".join(issued.pem for issued in chain))
    written = configparser.ConfigParser()
    written.read_string(PROFILE)
    text = written["default"]["credential_process"]
    here = {
        "aws_signing_helper": str(installed("aws_signing_helper")),
        "https://broker.example.com": world.broker.url,
        "machine.pem": str(folder / "machine.pem"),
        "machine.key": str(folder / "machine.key"),
        "chain.pem": str(folder / "chain.pem"),
        "trust-anchor-arn …": f"trust-anchor-arn {world.members['trustAnchorArn']}",
        "profile-arn …": f"profile-arn {world.members['profileArn']}",
        "role-arn …": f"role-arn {world.members['roleArn']}",
    }
    for before, after in here.items():
        assert before in text, before
        text = text.replace(before, after)
    return text


@pytest.mark.parametrize("key", [elliptic_key(), rsa_key()], ids=["ecdsa", "rsa"])
@pytest.mark.parametrize("whole", [False, True], ids=["intermediate", "whole chain"])
def test_the_cli_has_the_role_of_a_certificate(
    world: World, tmp_path: Path, key: Any, whole: bool
) -> None:
    """The whole chain has the machine's own certificate and the root as well."""
    machine = world.intermediate.issue("web-1", key=key)
    chain = [world.intermediate]
    if whole:
        chain = [machine, world.intermediate, world.root]
    process = command(world, tmp_path, machine, chain)
    config = tmp_path / "config"
    config.write_text(
        f"[default]\nregion = us-east-1\ncredential_process = {process}\n"
    )
    for cli in (AWS_CLI_1, aws_cli_2()):
        told = world.broker.aws(
            *("sts", "get-caller-identity"), program=cli, AWS_CONFIG_FILE=str(config)
        )
        assert told["Arn"].startswith(ROLE)


def test_what_it_serves_is_found_as_an_instances_role(
    world: World, tmp_path: Path
) -> None:
    machine = world.intermediate.issue("web-1")
    words = shlex.split(command(world, tmp_path, machine, [world.intermediate]))
    port = find_free_port()
    words[1:2] = ["serve", "--port", str(port)]
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        with suppress(urllib.error.URLError):
            request = urllib.request.Request(
                f"{url}/latest/api/token",
                method="PUT",
                headers={"x-aws-ec2-metadata-token-ttl-seconds": "60"},
            )
            urllib.request.urlopen(request, timeout=5).close()
            return True
        return False

    with running(words, tmp_path, answers):
        told = world.broker.aws(
            *("sts", "get-caller-identity"),
            AWS_EC2_METADATA_DISABLED="false",
            AWS_EC2_METADATA_SERVICE_ENDPOINT=url,
        )
    assert told["Arn"].startswith(ROLE)


def test_it_shows_why_a_certificate_is_refused(world: World, tmp_path: Path) -> None:
    other = issue("Other Root", is_authority=True)
    machine = other.issue("web-1")
    words = shlex.split(command(world, tmp_path, machine, [other]))
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "AccessDeniedException: Untrusted certificate" in done.stderr
