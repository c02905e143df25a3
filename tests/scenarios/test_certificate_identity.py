"""``broker agent`` with a machine's certificate, against a broker."""

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from broker.agent import keeper
from broker.agent.broker_api import BrokerApi, BrokerAwayError
from broker.agent.configuration import load_settings
from broker.agent.instance import make_identity
from broker.agent.keeper import Keeper
from tests.scenarios.test_roles_anywhere import ACTIONS, World, sts_of
from tests.support.broker import ACCOUNT, Key, RunningBroker
from tests.support.certificates import Issued, elliptic_key, issue, rsa_key
from tests.support.machine_agent import RunningAgent, add_profile, broker_client, until
from tests.support.waiting import until as waited


@pytest.fixture(scope="module")
def world(broker: RunningBroker, root: Key, iam: Any) -> World:
    return World(broker, root, iam)


def write(folder: Path, machine: Issued, *chain: Issued) -> dict[str, str]:
    """Its files, as the agent's settings name them."""
    folder.mkdir(exist_ok=True)
    certificate, key = folder / "machine.pem", folder / "machine.key"
    certificate.write_text("".join(issued.pem for issued in (machine, *chain)))
    key.write_text(machine.key_pem)
    key.chmod(0o600)
    return {"certificate_file": str(certificate), "private_key_file": str(key)}


def identity(world: World, files: Mapping[str, str], **more: str) -> dict[str, str]:
    return {
        **files,
        "trust_anchor_arn": world.anchor["trustAnchorArn"],
        "profile_arn": world.profile["profileArn"],
        "role_arn": world.role,
        **more,
    }


@pytest.fixture(params=["RSA", "EC"])
def machine(request: pytest.FixtureRequest, world: World) -> Issued:
    key = rsa_key() if request.param == "RSA" else elliptic_key()
    return world.intermediate.issue("web-1", key=key)


def agent(world: World, folder: Path, params: Mapping[str, object]) -> RunningAgent:
    made = RunningAgent(folder, world.broker.url, params)
    made.write_config()
    return made


def arn_of(world: World, *credentials: str) -> str:
    names = ("accessKeyId", "secretAccessKey", "sessionToken")
    sts = sts_of(world, dict(zip(names, credentials, strict=True)))
    arn: str = sts.get_caller_identity()["Arn"]
    return arn


def test_programs_get_the_role(world: World, machine: Issued, tmp_path: Path) -> None:
    """With the chain in the same file, and in one of its own."""
    files = write(tmp_path, machine, world.intermediate)
    made = agent(world, tmp_path, identity(world, files))
    printed = json.loads(made.run("process").stdout)
    assert printed["AccountId"] == ACCOUNT
    arn = arn_of(
        world,
        printed["AccessKeyId"],
        printed["SecretAccessKey"],
        printed["SessionToken"],
    )
    role, _, name = arn.rpartition("/")
    assert role == f"arn:aws:sts::{ACCOUNT}:assumed-role/Machine"
    assert int(name, 16) == machine.certificate.serial_number
    left = datetime.fromisoformat(printed["Expiration"]) - datetime.now(UTC)
    assert timedelta(minutes=55) < left <= timedelta(hours=1)
    chain = tmp_path / "chain.pem"
    chain.write_text(world.intermediate.pem)
    files = write(tmp_path, machine)
    for repeats in (0, 6):
        chain.write_text(
            (machine.pem + world.intermediate.pem) * repeats + chain.read_text()
        )
        made = agent(world, tmp_path, identity(world, files, chain_file=str(chain)))
        assert made.run("check").returncode == 0


def test_a_new_certificate_counts_from_the_next_renewal_on(
    world: World, tmp_path: Path
) -> None:
    made = agent(world, tmp_path, identity(world, write(tmp_path, world.root)))
    settings = load_settings(made.config)
    api = BrokerApi(settings.endpoint, settings.region)
    kept = make_identity(settings, api)
    for number in (1, 2):
        machine = world.intermediate.issue(f"web-{number}", key=rsa_key())
        write(tmp_path, machine, world.intermediate)
        credentials, grant = kept.get_credentials("2.0")
        assert grant.role_arn == world.role
        arn = arn_of(
            world,
            credentials.access_key_id,
            credentials.secret_access_key,
            credentials.session_token,
        )
        name = arn.rpartition("/")[2]
        assert int(name, 16) == machine.certificate.serial_number


async def test_an_ended_session_is_replaced(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its source identity, which leaves the other machines alone.

    The certificate from before opens nothing more; the machine's renewed one does.
    """
    monkeypatch.setattr(keeper, "CHECK_SECONDS", 0.2)
    kept = []
    for name in ("web-lost", "web-kept"):
        machine = world.intermediate.issue(name)
        files = write(tmp_path / name, machine, world.intermediate)
        made = agent(world, tmp_path / name, identity(world, files))
        settings = load_settings(made.config)
        api = BrokerApi(settings.endpoint, settings.region)
        kept.append(Keeper(make_identity(settings, api), api.now))
    tasks = [asyncio.create_task(item.run()) for item in kept]
    lost, other = [await item.wait_for() for item in kept]
    await waited(lambda: all(item._accepted for item in kept))
    revoke = ("sessions", "revoke", ACCOUNT, "--source-identity", "web-lost")
    await asyncio.to_thread(world.broker.command, *revoke)
    await asyncio.sleep(1.1)  # a certificate's times are whole seconds
    renewed = world.intermediate.issue("web-lost", starts=0)
    write(tmp_path / "web-lost", renewed, world.intermediate)
    await waited(lambda: kept[0].find() not in (lost, None))
    assert kept[1].find() is other
    for task, entry in zip(tasks, kept, strict=True):
        task.cancel()
        entry.close()


@pytest.mark.parametrize("case", ["stranger", "subject", "chain"])
def test_the_broker_decides(world: World, tmp_path: Path, case: str) -> None:
    strange = issue("Corp Machines", is_authority=True)
    files = {
        "stranger": lambda: write(tmp_path, strange.issue("web-1"), strange),
        "subject": lambda: write(
            tmp_path, world.intermediate.issue("db-1"), world.intermediate
        ),
        "chain": lambda: write(tmp_path, world.intermediate.issue("web-1")),
    }[case]()
    made = agent(world, tmp_path, identity(world, files))
    done = made.run("process")
    assert done.returncode == 1
    assert "AccessDeniedException" in done.stderr
    assert done.stdout == ""


def test_what_is_wrong_with_the_files_is_said(world: World, tmp_path: Path) -> None:
    issued, other = (world.intermediate.issue("web-1") for _ in range(2))
    files = write(tmp_path, issued, world.intermediate)
    made = agent(world, tmp_path, identity(world, files))
    key = Path(files["private_key_file"])
    for text, said in (
        (other.key_pem, "is not the one of the first certificate"),
        ("nothing", "cannot be used"),
        ("", "cannot be used"),
        (issued.key_pem + other.key_pem, "must have one RSA or EC key"),
    ):
        key.write_text(text)
        done = made.run("process")
        assert done.returncode == 1
        assert said in done.stderr
        assert "Traceback" not in done.stderr
    key.write_text(issued.key_pem)
    write(tmp_path, issued, *(issue(f"Level {number}") for number in range(6)))
    assert "more than 5 certificates" in made.run("process").stderr
    write(tmp_path, issued, world.intermediate)
    key.chmod(0o644)
    assert "can be read by others" in made.run("check").stdout
    Path(files["certificate_file"]).unlink()
    assert "cannot be used" in made.run("process").stderr


class Lossy(BrokerApi):
    """The broker, but the answer to a registration is lost."""

    def call(self, action: str, params: Mapping[str, str], **more: Any) -> Any:
        answer = super().call(action, params, **more)
        if action == "RegisterInstance":
            raise BrokerAwayError("the answer was lost")
        return answer


def test_an_instance_registers_with_its_certificate(
    world: World, tmp_path: Path
) -> None:
    """Once; afterwards it is known by its own key."""
    iam = world.iam
    add_profile(iam, "plant")
    profile = f"arn:aws:iam::{ACCOUNT}:instance-profile/plant"
    machine = world.intermediate.issue("web-7", key=rsa_key())
    files = write(tmp_path, machine, world.intermediate)
    made = agent(world, tmp_path, identity(world, files, instance_profile_arn=profile))
    done = made.run("process")
    assert done.returncode == 1
    assert "broker:CreateJoinToken" in done.stderr
    statements = [
        {"Effect": "Allow", "Action": "broker:CreateJoinToken", "Resource": profile},
        {
            "Effect": "Allow",
            "Action": "iam:PassRole",
            "Resource": f"arn:aws:iam::{ACCOUNT}:role/plant",
        },
    ]
    iam.put_role_policy(
        RoleName="Machine",
        PolicyName="Register",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": statements}),
    )
    settings = load_settings(made.config)
    with pytest.raises(BrokerAwayError):
        make_identity(settings, Lossy(settings.endpoint, settings.region)).get_grant()
    api = broker_client(world.broker, world.root_key)
    assert len(api.list_instances(InstanceProfileName="plant")["Instances"]) == 1
    names = []
    for _ in range(2):
        printed = json.loads(made.run("process").stdout)
        arn = arn_of(
            world,
            printed["AccessKeyId"],
            printed["SecretAccessKey"],
            printed["SessionToken"],
        )
        assert arn.startswith(f"arn:aws:sts::{ACCOUNT}:assumed-role/plant/i-")
        names.append(arn.rpartition("/")[2])
        # Without its certificate it is still the same machine.
        Path(files["certificate_file"]).unlink(missing_ok=True)
    assert len(set(names)) == 1
    assert len(api.list_instances(InstanceProfileName="plant")["Instances"]) == 1
    api.end_instance(InstanceId=names[0])
    write(tmp_path, machine, world.intermediate)
    done = made.run("process")
    assert done.returncode == 1
    assert "does not know" in done.stderr
    assert "does not know" in made.run("process").stderr


def test_what_a_certificate_admitted_ends_with_its_trust_anchor(
    world: World, tmp_path: Path
) -> None:
    """A join token that is not used yet, and a machine that is in."""
    iam, root = world.iam, issue("Mill", is_authority=True)
    add_profile(iam, "mill")
    profile = f"arn:aws:iam::{ACCOUNT}:instance-profile/mill"
    allowed = {
        "Effect": "Allow",
        "Action": ["broker:CreateJoinToken", "iam:PassRole"],
        "Resource": "*",
    }
    trusted = {
        "Effect": "Allow",
        "Principal": {"Service": "rolesanywhere.amazonaws.com"},
        "Action": ACTIONS,
    }
    role = iam.create_role(
        RoleName="MillMachine",
        AssumeRolePolicyDocument=json.dumps(
            {"Version": "2012-10-17", "Statement": trusted}
        ),
    )["Role"]["Arn"]
    iam.put_role_policy(
        RoleName="MillMachine",
        PolicyName="Register",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": allowed}),
    )
    anchor = world.api.create_trust_anchor(
        name="mill",
        enabled=True,
        source={
            "sourceType": "CERTIFICATE_BUNDLE",
            "sourceData": {"x509CertificateData": root.pem},
        },
    )["trustAnchor"]
    opened = world.api.create_profile(name="mill", roleArns=[role], enabled=True)
    params = {
        **write(tmp_path, root.issue("web-8", key=rsa_key())),
        "trust_anchor_arn": anchor["trustAnchorArn"],
        "profile_arn": opened["profile"]["profileArn"],
        "role_arn": role,
    }
    session = json.loads(agent(world, tmp_path, params).run("process").stdout)
    key = Key(
        session["AccessKeyId"], session["SecretAccessKey"], session["SessionToken"]
    )
    unused = broker_client(world.broker, key).create_join_token(
        InstanceProfileName="mill"
    )["Token"]
    made = agent(world, tmp_path, {**params, "instance_profile_arn": profile})
    assert made.run("process").returncode == 0
    world.api.delete_trust_anchor(trustAnchorId=anchor["trustAnchorId"])
    joining = tmp_path / "join-token"
    joining.write_text(unused)
    joining.chmod(0o600)
    late = tmp_path / "late"
    late.mkdir()
    refused = agent(world, late, {"join_token_file": str(joining)}).run("process")
    assert "InvalidClientTokenId" in refused.stderr
    until(lambda: "does not know" in made.run("process").stderr)
