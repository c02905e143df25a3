"""``broker agent`` with a broker: AWS's clients find credentials automatically."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.installation import READER, Installation, trust
from tests.support.aws_cli import AWS_CLI_1, aws_cli_2, run_aws_cli
from tests.support.broker import ACCOUNT, REGION, Key, RunningBroker
from tests.support.machine_agent import (
    RunningAgent,
    add_profile,
    broker_client,
    joined,
    plain_environment,
    until,
)

SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role"
CALLER = (
    "import boto3, sys;"
    "print(boto3.client('sts', endpoint_url=sys.argv[1], region_name='eu-west-3')"
    ".get_caller_identity()['Arn'])"
)


@pytest.fixture(scope="module")
def api(broker: RunningBroker, root: Key, iam: Any) -> Any:
    for name in ("web", "db"):
        add_profile(iam, name)
    return broker_client(broker, root)


@pytest.fixture
def agent(tmp_path: Path, broker: RunningBroker, api: Any) -> Iterator[RunningAgent]:
    made = joined(tmp_path / "agent", broker, api)
    made.start()
    yield made
    made.stop()


def instance_id(agent: RunningAgent) -> str:
    status, body = agent.get("/latest/meta-data/instance-id")
    assert status == 200
    return body


def who(broker: RunningBroker, environment: dict[str, str]) -> str:
    """``GetCallerIdentity`` by a program with nothing but the endpoint configured."""
    done = subprocess.run(
        [sys.executable, "-c", CALLER, broker.url],
        env=plain_environment(**environment),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


def test_boto3_finds_the_instances_role(
    broker: RunningBroker, agent: RunningAgent
) -> None:
    text = who(broker, agent.metadata_environment())
    assert text == f"{SESSION}/web/{instance_id(agent)}"


def test_boto3_finds_the_containers_role(
    broker: RunningBroker, agent: RunningAgent
) -> None:
    text = who(broker, agent.container_environment())
    assert text == f"{SESSION}/web/{instance_id(agent)}"


def test_a_process_and_a_file_hand_out_the_same(
    broker: RunningBroker, agent: RunningAgent, tmp_path: Path
) -> None:
    expected = f"{SESSION}/web/{instance_id(agent)}"
    file = agent.folder / "credentials"
    until(file.exists)
    assert file.stat().st_mode & 0o777 == 0o600
    assert who(broker, {"AWS_SHARED_CREDENTIALS_FILE": str(file)}) == expected
    words = " ".join(f"'{word}'" for word in agent.words("process"))
    config = tmp_path / "config"
    config.write_text(f"[default]\ncredential_process = {words}\n")
    assert who(broker, {"AWS_CONFIG_FILE": str(config)}) == expected


@pytest.mark.parametrize("version", [1, 2])
def test_the_aws_cli_finds_the_instances_role(
    broker: RunningBroker, agent: RunningAgent, version: int
) -> None:
    program = AWS_CLI_1 if version == 1 else aws_cli_2()
    done = run_aws_cli(
        ["sts", "get-caller-identity", "--endpoint-url", broker.url],
        plain_environment(
            **agent.metadata_environment(), AWS_REGION=REGION, AWS_DEFAULT_REGION=REGION
        ),
        program=program,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["Arn"].startswith(f"{SESSION}/web/i-")


def test_another_profile_counts_on_the_running_machine(
    broker: RunningBroker, agent: RunningAgent, api: Any
) -> None:
    name = instance_id(agent)
    api.associate_instance_profile(InstanceId=name, InstanceProfileName="db")
    roles = "/latest/meta-data/iam/security-credentials/"
    until(lambda: agent.get(roles) == (200, "db"))
    text = who(broker, agent.metadata_environment())
    assert text == f"{SESSION}/db/{name}"
    api.disassociate_instance_profile(InstanceId=name)
    until(lambda: agent.get(roles)[0] == 404)
    assert not (agent.folder / "credentials").exists()
    api.associate_instance_profile(InstanceId=name, InstanceProfileName="web")
    until(lambda: agent.get(f"{roles}web")[0] == 200)


def test_the_end_of_an_instance_ends_its_credentials(
    broker: RunningBroker, agent: RunningAgent, api: Any
) -> None:
    roles = "/latest/meta-data/iam/security-credentials/"
    _, text = agent.get(f"{roles}web")
    match = json.loads(text)
    key = Key(match["AccessKeyId"], match["SecretAccessKey"], match["Token"])
    client = broker.client("sts", key)
    client.get_caller_identity()
    api.end_instance(InstanceId=instance_id(agent))
    ended_at = time.monotonic()
    with pytest.raises(client.exceptions.ClientError, match="ExpiredToken"):
        client.get_caller_identity()
    assert time.monotonic() - ended_at < 5
    until(lambda: agent.get(f"{roles}web")[0] == 404)
    # It stays ended over a restart; a new join token makes it another instance.
    agent.stop()
    agent.start()
    until(lambda: agent.get(roles)[0] == 404)
    token = api.create_join_token(InstanceProfileName="db")["Token"]
    Path(str(agent.identity["join_token_file"])).write_text(token)
    until(lambda: agent.get(roles) == (200, "db"))


def test_a_killed_agent_is_the_same_instance_again(agent: RunningAgent) -> None:
    before = instance_id(agent)
    agent.kill()
    agent.start()
    assert instance_id(agent) == before


def test_a_changed_file_counts_without_a_restart(agent: RunningAgent, api: Any) -> None:
    before = instance_id(agent)
    old, new = agent.folder / "credentials", agent.folder / "others"
    until(old.exists)
    right = agent.config.read_text()
    agent.config.write_text(f"{right}\n[metadat]\n")
    until(lambda: "metadat is unknown" in agent.log)
    assert instance_id(agent) == before, "a mistake changes nothing"
    # Another identity, and another file for its credentials.
    state = agent.folder / "other"
    state.mkdir()
    token = state / "join-token"
    token.write_text(api.create_join_token(InstanceProfileName="db")["Token"])
    agent.identity = {"join_token_file": str(token)}
    agent.top = {"state_dir": str(state)}
    agent.more = {"file": {"path": str(new)}}
    agent.write_config()
    until(new.exists)
    until(lambda: not old.exists())
    until(lambda: instance_id(agent) != before)
    roles = "/latest/meta-data/iam/security-credentials/"
    assert agent.get(roles) == (200, "db")


def test_what_is_checked(agent: RunningAgent) -> None:
    instance_id(agent)
    done = agent.run("check")
    assert done.returncode == 0, done.stdout
    assert "its role is" in done.stdout
    agent.stop()
    (agent.folder / "instance.json").chmod(0o644)
    done = agent.run("check")
    assert done.returncode == 1
    assert "chmod 600" in done.stdout
    assert "the agent is not running" in done.stdout


class Vouched:
    """An instance profile whose role lets an issuer's subject register machines."""

    def __init__(self, installation: Installation, name: str, subject: str) -> None:
        self.installation = installation
        self.name = name
        iam, issuer = installation.iam, installation.issuer
        self.provider = f"arn:aws:iam::{ACCOUNT}:oidc-provider/{issuer.host_and_path}"
        condition = {"StringEquals": {f"{issuer.host_and_path}:sub": subject}}
        iam.create_role(
            RoleName=name,
            AssumeRolePolicyDocument=trust(
                ({"Service": "ec2.amazonaws.com"}, "sts:AssumeRole", None),
                (
                    {"Federated": self.provider},
                    "broker:RegisterInstanceWithWebIdentity",
                    condition,
                ),
            ),
        )
        made = iam.create_instance_profile(InstanceProfileName=name)
        iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
        self.arn = made["InstanceProfile"]["Arn"]

    def agent(self, folder: Path, **claims: Any) -> RunningAgent:
        folder.mkdir(parents=True)
        token = folder / "token"
        token.write_text(self.installation.issuer.issuer.token(**claims))
        token.chmod(0o600)
        identity = {
            "web_identity_token_file": str(token),
            "instance_profile_arn": self.arn,
        }
        return RunningAgent(folder, self.installation.broker.url, identity)


def test_a_provider_vouches_for_a_machine_and_ends_it(
    installation: Installation, tmp_path: Path
) -> None:
    vouched = Vouched(installation, "vouched", "node-1")
    agent = vouched.agent(tmp_path / "agent", sub="node-1")
    stranger = vouched.agent(tmp_path / "stranger", sub="node-2")
    path = "/latest/meta-data/iam/security-credentials/vouched"
    agent.start()
    stranger.start()
    try:
        status, text = agent.get(path)
        assert status == 200, agent.log
        match = json.loads(text)
        key = Key(match["AccessKeyId"], match["SecretAccessKey"], match["Token"])
        sts = installation.broker.client("sts", key)
        assert sts.get_caller_identity()["Arn"].startswith(f"{SESSION}/vouched/i-")
        until(lambda: "Not authorized to perform" in stranger.log)
        assert stranger.get(path)[0] == 503
        # What the subject's revocation reaches, machines included.
        installation.broker.command(
            "sessions",
            "revoke",
            ACCOUNT,
            "--subject",
            "node-1",
            "--issuer",
            installation.issuer.issuer.url,
        )
        until(lambda: agent.get(path)[0] == 404)
        with pytest.raises(sts.exceptions.ClientError, match="ExpiredToken"):
            sts.get_caller_identity()
        # The token could still register a machine; an ended one does not try.
        agent.stop()
        agent.start()
        until(lambda: agent.get(path)[0] == 404)
    finally:
        agent.stop()
        stranger.stop()


def test_a_role_by_a_token_or_an_access_key(
    installation: Installation, tmp_path: Path
) -> None:
    """Identities without an instance: the role that the file names."""
    iam, broker = installation.iam, installation.broker
    iam.create_user(UserName="worker")
    made = iam.create_access_key(UserName="worker")["AccessKey"]
    user = f"arn:aws:iam::{ACCOUNT}:user/worker"
    iam.create_role(
        RoleName="Worker",
        AssumeRolePolicyDocument=trust(({"AWS": user}, "sts:AssumeRole", None)),
    )
    token, keys = tmp_path / "token", tmp_path / "keys"
    token.write_text(installation.issuer.issuer.token())
    keys.write_text(
        f"[default]\naws_access_key_id = {made['AccessKeyId']}\n"
        f"aws_secret_access_key = {made['SecretAccessKey']}\n"
    )
    for number, identity in enumerate(
        (
            {"web_identity_token_file": str(token), "role_arn": READER},
            {
                "access_key_file": str(keys),
                "role_arn": f"arn:aws:iam::{ACCOUNT}:role/Worker",
                "session_name": "worker-1",
            },
        )
    ):
        folder = tmp_path / f"agent{number}"
        agent = RunningAgent(folder, broker.url, identity)
        agent.start()
        try:
            text = who(broker, agent.container_environment())
            role = identity["role_arn"].rpartition("/")[2]
            assert text.startswith(f"{SESSION}/{role}/"), agent.log
        finally:
            agent.stop()
        done = agent.run("check")
        assert "the broker gives" in done.stdout
