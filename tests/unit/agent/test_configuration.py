"""The agent's file: what it may say, and how a mistake is named."""

import re
from pathlib import Path

import pytest

from broker.agent.configuration import Address, ConfigurationError, load_settings
from tests.support.rows import cases

RIGHT = """
endpoint = "https://broker.example.com"
region = "eu-west-1"
[identity]
join_token_file = "/etc/broker-agent/join-token"
"""


def test_the_least(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(RIGHT)
    settings = load_settings(path)
    assert settings.endpoint == "https://broker.example.com"
    assert settings.identity.is_instance
    assert settings.metadata.listen == ()
    assert settings.metadata.hop_limit == 1
    assert not settings.metadata.allow_v1


def test_a_section_that_was_removed_says_what_to_use(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(RIGHT + '[pods]\ncluster = "shop"\n')
    with pytest.raises(ConfigurationError, match=r"has been removed.*docs/pods\.md"):
        load_settings(path)


def test_everything(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(
        """
        endpoint = "http://127.0.0.1:8080/"
        region = "eu-west-1"
        ca_file = "/etc/ca.pem"
        state_dir = "/run/agent"
        duration_seconds = 3600
        [identity]
        web_identity_token_file = "/run/token"
        role_arn = "arn:aws:iam::111122223333:role/web"
        session_name = "web-1"
        [metadata]
        listen = ["169.254.169.254:80", "[fd00:ec2::254]:80"]
        allow_v1 = true
        hop_limit = 2
        host_names = ["node-1"]
        availability_zone = "eu-west-1b"
        [container]
        listen = ["127.0.0.1:8101"]
        token_file = "/run/agent/token"
        [file]
        path = "/run/agent/credentials"
        profile = "web"
        """
    )
    settings = load_settings(path)
    assert settings.endpoint == "http://127.0.0.1:8080"
    assert settings.metadata.listen[1] == Address("fd00:ec2::254", 80)
    assert str(settings.metadata.listen[1]) == "[fd00:ec2::254]:80"
    assert not settings.identity.is_instance
    assert settings.file.profile == "web"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("endpoint = 'ftp://x'", "endpoint"),
        ("endpoint = 'http://broker.example.com'", "https only"),
        ("endpoint = 'https://broker.example.com/path'", "endpoint"),
        ("endpoint = 'https://broker.example.com/?x=1'", "endpoint"),
        ("endpoint = 'https://user@broker.example.com'", "endpoint"),
        ("endpoint = ''", "endpoint is missing"),
        ("region = ''", "region is missing"),
        ("region = 7", "region must be text"),
        ("state_dir = 'relative'", "/relative"),
        ("duration_seconds = 43201", "duration_seconds"),
        ("duration_seconds = true", "duration_seconds"),
        ("stat_dir = '/x'", "stat_dir is unknown"),
        ("region = ''\nregoin = 'eu-west-1'", "regoin is unknown"),
        ("endpoint = ''\nend_point = 'https://x'", "end_point is unknown"),
        ("[metadata]\nlisten = ['localhost:80']", "localhost:80"),
        ("[metadata]\nlisten = ['127.0.0.1']", "127.0.0.1"),
        ("[metadata]\nlisten = ['127.0.0.1:70000']", "70000"),
        ("[metadata]\nlisten = '127.0.0.1:80'", "metadata.listen must be a list"),
        ("[metadata]\nallow_v1 = 'no'", "metadata.allow_v1"),
        ("[metadata]\nallow-v1 = true", "metadata.allow-v1 is unknown"),
        ("[metadata]\nhop_limit = 0", "metadata.hop_limit"),
        (
            "duration_seconds = 900\n[metadata]\nlisten = ['127.0.0.1:80']",
            "at least 3600",
        ),
        ("[container]\nlisten = ['127.0.0.1:80']", "container.token_file"),
        ('[file]\nprofile = "a\\u000ab"\n', "file.profile"),
        ("[identity]", "has none"),
        ("[identity]\nrole_arn = 'x'", "has none"),
        ("[identity]\nweb_identity_token_file = '/t'", "needs role_arn or instance"),
        (
            "[identity]\nweb_identity_token_file = '/t'\naccess_key_file = '/k'",
            "exactly one",
        ),
        ("[identity]\naccess_key_file = '/k'", "needs role_arn"),
        ("[identity]\njoin_token_file = '/t'\nrole_arn = 'x'", "too"),
        (
            (
                "[identity]\nweb_identity_token_file = '/t'\nrole_arn = 'x'\n"
                "instance_profile_arn = 'y'"
            ),
            "too",
        ),
        ("[identity", "TOML"),
        ("metadata = 7", "metadata must be a table"),
        ("x = '" + "x" * 70_000 + "'", "bytes"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, change: str, named: str) -> None:
    path = tmp_path / "agent.toml"
    text = RIGHT
    name = change.partition(" =")[0]
    text = re.sub(rf"(?m)^{re.escape(name)} =.*\n", "", text)
    if "[identity" in change:
        text = text.partition("[identity]")[0]
    head, _, tables = text.partition("[identity]")
    top, _, table = change.partition("[") if "[" in change else (change, "", "")
    identity = f"[identity]{tables}" if tables else ""
    path.write_text(f"{head}{top}\n{identity}\n{f'[{table}' if table else ''}\n")
    with pytest.raises(ConfigurationError, match=re.escape(named)):
        load_settings(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        load_settings(tmp_path / "agent.toml")


CERTIFICATE = """
endpoint = "https://broker.example.com"
region = "eu-west-1"
[identity]
certificate_file = "/m.pem"
private_key_file = "/m.key"
trust_anchor_arn = "arn:aws:rolesanywhere:eu-west-1:111122223333:trust-anchor/1-a"
profile_arn = "arn:aws:rolesanywhere:eu-west-1:111122223333:profile/1-a"
role_arn = "arn:aws:iam::111122223333:role/web"
"""


def test_a_certificate(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(CERTIFICATE)
    identity = load_settings(path).identity
    assert identity.certificate_file == Path("/m.pem")
    assert not identity.is_instance


@cases("before, after, said")
def test_what_a_certificate_needs(
    tmp_path: Path, before: str, after: str, said: str
) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(CERTIFICATE.replace(before, after))
    with pytest.raises(ConfigurationError, match=said):
        load_settings(path)
