"""AWS's own credential helper, by the configuration of the page on Roles Anywhere."""

import configparser
import json
import os
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


PIN = "a-pin-of-the-test"
LIBRARY = Path("/usr/lib/softhsm/libsofthsm2.so")


def fill_token(folder: Path, machine: Issued, *others: Issued) -> dict[str, str]:
    """A PKCS #11 token with the machine's key and all the certificates; its settings."""
    if not LIBRARY.exists():
        assert os.environ.get("CI") != "true", f"{LIBRARY} is missing"
        pytest.skip("SoftHSM is not installed: .ci/setup long")
    (folder / "tokens").mkdir()
    settings = folder / "softhsm2.conf"
    settings.write_text(f"directories.tokendir = {folder / 'tokens'}\n")
    environment = {"PATH": os.environ["PATH"], "SOFTHSM2_CONF": str(settings)}

    def run(*words: str) -> None:
        subprocess.run(words, env=environment, check=True, capture_output=True)

    token = ("--token", "machines", "--pin", PIN)
    run(
        *("softhsm2-util", "--init-token", "--free", "--label", "machines"),
        *("--pin", PIN, "--so-pin", PIN),
    )
    (folder / "key.pem").write_text(machine.key_pem)
    run(
        *("softhsm2-util", "--import", str(folder / "key.pem"), *token),
        *("--label", "machine", "--id", "01"),
    )
    for number, issued in enumerate((*others, machine)):
        path = folder / f"{number}.pem"
        path.write_text(issued.pem)
        label, number_of_key = (
            ("machine", "01")
            if issued is machine
            else (
                f"other-{number}",
                f"{number + 2:02}",
            )
        )
        run(
            *("p11tool", f"--provider={LIBRARY}", "--login", f"--set-pin={PIN}"),
            *("--write", f"--load-certificate={path}", f"--label={label}"),
            *(f"--id={number_of_key}", "--no-mark-private", "pkcs11:token=machines"),
        )
    return environment


def test_a_token_may_hold_certificates_of_several_machines(
    world: World, tmp_path: Path
) -> None:
    """The helper sends all of them: others', an expired one, and the one before.

    Not an intermediate that issued all of the others: it looks for issuers, and takes
    what does not verify.
    """
    key = rsa_key()
    issuer = world.root
    machine = issuer.issue("web-1", key=key)
    others = [issuer.issue(f"web-{number}") for number in range(2, 8)]
    old = issuer.issue("web-1", key=rsa_key(3072), starts=-9, days=-1)
    before = issuer.issue("web-1", key=key, starts=-20, days=1)
    environment = fill_token(tmp_path, machine, *others, old, before, issuer)
    words = shlex.split(command(world, tmp_path, machine, [issuer]))
    for flag in ("--certificate", "--private-key", "--intermediates"):
        at = words.index(flag)
        del words[at : at + 2]
    uri = f"pkcs11:token=machines;object=machine?pin-value={PIN}"
    words += ["--certificate", uri, "--private-key", uri, "--pkcs11-lib", str(LIBRARY)]
    done = subprocess.run(
        words, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    name = world.broker.client(
        "sts",
        Key(told["AccessKeyId"], told["SecretAccessKey"], told["SessionToken"]),
    ).get_caller_identity()["Arn"]
    assert name.startswith(ROLE)
